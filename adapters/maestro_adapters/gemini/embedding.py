"""Vectors: EmbedRequest -> what the three embedding calls of Google take, and back."""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.gemini.conversation import Json, media
from maestro_adapters.gemini.said import ModalityCount
from maestro_adapters.gemini.usage import modalities
from maestro_adapters.wire.body import invalid, merge
from maestro_adapters.wire.body import parse as parse_json
from maestro_spi.embedding import Inputs, Vector, Vectors
from maestro_spi.estimate import TOKENS_PER_MEDIA, text_tokens

BATCH = 100  # contents of one call, as the API has it
PREDICT_BATCH = 5  # instances of one call to Vertex's older models: some take no more

TASKS: Mapping[embedding_pb2.EmbeddingPurpose.ValueType, str] = {
    embedding_pb2.EMBEDDING_PURPOSE_QUERY: "RETRIEVAL_QUERY",
    embedding_pb2.EMBEDDING_PURPOSE_DOCUMENT: "RETRIEVAL_DOCUMENT",
    embedding_pb2.EMBEDDING_PURPOSE_SIMILARITY: "SEMANTIC_SIMILARITY",
    embedding_pb2.EMBEDDING_PURPOSE_CLASSIFICATION: "CLASSIFICATION",
    embedding_pb2.EMBEDDING_PURPOSE_CLUSTERING: "CLUSTERING",
    embedding_pb2.EMBEDDING_PURPOSE_CODE_QUERY: "CODE_RETRIEVAL_QUERY",
}
# The fields of a request that are honoured; to cut or to fail is a choice at Vertex alone.
PARAMETERS = frozenset({"dimensions", "purpose", "inputs.title", "inputs.media"})
VERTEX_PARAMETERS = PARAMETERS | {"truncate"}


class _Statistics(Struct):
    token_count: float = 0
    truncated: bool = False


class _Values(Struct):
    values: list[float] = []
    statistics: _Statistics | None = None


class _Prediction(Struct):
    embeddings: _Values


class _Usage(Struct, rename="camel"):
    prompt_token_count: int = 0
    prompt_token_details: list[ModalityCount] | None = None
    prompt_tokens_details: list[ModalityCount] | None = None


class _Embedded(Struct, rename="camel"):
    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: _Usage | None = None
    truncated: bool = False


_decode = msgspec.json.Decoder(_Embedded).decode


def batch_size(vertex: bool, model: str) -> int:
    """How many inputs one call takes."""
    return PREDICT_BATCH if vertex and not _contents(model) else BATCH


def ask(request: embedding_pb2.EmbedRequest, inputs: Inputs, vertex: bool, options: Iterable[str]) -> tuple[str, Json]:
    """The verb and the body for one batch. Vertex has a call of its own for the models that are not Gemini's."""
    if not vertex:
        verb, body = "batchEmbedContents", _batch(request, inputs)
    elif _contents(request.model):
        verb, body = _embed_contents(request, inputs)
    else:
        verb, body = "predict", _predict(request, inputs)
    for name in dict.fromkeys(options):
        if name in request.provider_options_json:
            field = f'provider_options_json["{name}"]'
            merge(body, parse_json(request.provider_options_json[name], field))
    return verb, body


def read(body: bytes, inputs: Inputs) -> Vectors:
    """The vectors of one batch, whichever call it was. Not every model counts tokens; then they are estimated."""
    told = _decode(body)
    values = list(told.embeddings or ())
    values += [prediction.embeddings for prediction in told.predictions or ()]
    if told.embedding is not None:
        values.append(told.embedding)
    counted = [each.statistics or _Statistics() for each in values]
    vectors = [
        Vector(array("f", each.values), int(count.token_count), count.truncated or told.truncated)
        for each, count in zip(values, counted, strict=True)
    ]
    usage = common_pb2.Usage(input_tokens=sum(vector.input_tokens for vector in vectors))
    if told.usage_metadata is not None:
        spent = told.usage_metadata
        usage.input_tokens = spent.prompt_token_count or usage.input_tokens
        usage.input_by_modality.extend(modalities(spent.prompt_token_details, spent.prompt_tokens_details))
    usage.source = common_pb2.USAGE_SOURCE_PROVIDER
    if not usage.input_tokens:
        usage.source = common_pb2.USAGE_SOURCE_ESTIMATED
        usage.input_tokens = sum(text_tokens(item.text) if item.text else TOKENS_PER_MEDIA for item in inputs)
    usage.total_tokens = usage.input_tokens
    return Vectors(vectors, usage=usage)


def _contents(model: str) -> bool:
    return "gemini" in model.rpartition("/")[2]


def _batch(request: embedding_pb2.EmbedRequest, inputs: Inputs) -> Json:
    model = request.model if "/" in request.model else f"models/{request.model}"
    config = _config(request)
    return {"requests": [{"model": model, **_one(item, number), **config} for number, item in enumerate(inputs)]}


def _embed_contents(request: embedding_pb2.EmbedRequest, inputs: Inputs) -> tuple[str, Json]:
    config = {**_config(request), "autoTruncate": request.truncate}  # theirs is to cut, ours is to fail
    asked = []
    for number, item in enumerate(inputs):
        one = _one(item, number)
        told = {**config, **({"title": one.pop("title")} if "title" in one else {})}
        asked.append({**one, "embedContentConfig": told})
    return ("embedContent", asked[0]) if len(asked) == 1 else ("batchEmbedContents", {"requests": asked})


def _predict(request: embedding_pb2.EmbedRequest, inputs: Inputs) -> Json:
    instances = []
    for number, item in enumerate(inputs):
        if item.WhichOneof("input") != "text":
            raise invalid(f"inputs[{number}]", f"{request.model} embeds text only")
        instance: Json = {"content": item.text}
        if request.purpose:
            instance["task_type"] = TASKS[request.purpose]
        if item.title:
            instance["title"] = item.title
        instances.append(instance)
    parameters: Json = {"autoTruncate": request.truncate}
    if request.HasField("dimensions"):
        parameters["outputDimensionality"] = request.dimensions
    return {"instances": instances, "parameters": parameters}


def _config(request: embedding_pb2.EmbedRequest) -> dict[str, Any]:
    config: Json = {}
    if request.purpose:
        config["taskType"] = TASKS[request.purpose]
    if request.HasField("dimensions"):
        config["outputDimensionality"] = request.dimensions
    return config


def _one(item: embedding_pb2.EmbedInput, number: int) -> Json:
    part = {"text": item.text} if item.WhichOneof("input") == "text" else media(item.media, f"inputs[{number}]")
    told: Json = {"content": {"parts": [part]}}
    if item.title:
        told["title"] = item.title
    return told
