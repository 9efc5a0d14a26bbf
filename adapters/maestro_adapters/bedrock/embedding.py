"""Vectors of Bedrock: Titan's, one input at a time, and Cohere's, many at once."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.bedrock.question import ADAPTER
from maestro_adapters.cohere.embedding import FOUND, INPUT_TYPES
from maestro_adapters.wire.body import base64_of, invalid, merge_options
from maestro_adapters.wire.bounds import Unreadable
from maestro_spi.embedding import Vector, Vectors
from maestro_spi.errors import MaestroError, Reason, Resource

Request = embedding_pb2.EmbedRequest
Batch = Sequence[embedding_pb2.EmbedInput]

EMBEDS = frozenset({"dimensions", "purpose", "truncate"})  # the request fields that some models honour, by path
COUNTED = "x-amzn-bedrock-input-token-count"  # the header that counts for those whose answer does not


@dataclass(frozen=True, slots=True)
class Embedding:
    """How one kind of model embeds: how much at once, what it is asked, and what it says."""

    at_once: int
    takes: frozenset[str]  # of EMBEDS
    ask: Callable[[Request, Batch], dict[str, Any]]
    read: Callable[[bytes], tuple[list["array[float]"], int]]  # vectors, and tokens where they are told

    def question(self, request: Request, batch: Batch, provider: str) -> dict[str, Any]:
        """The body, the caller's own options last."""
        options: Any = request  # both kinds of request have them
        return merge_options(self.ask(request, batch), options, (ADAPTER, provider))

    def vectors(self, body: bytes, headers: Mapping[str, str], request: Request) -> Vectors:
        """The answer."""
        numbers, tokens = self.read(body)
        tokens = tokens or int(headers.get(COUNTED) or 0)
        source = common_pb2.USAGE_SOURCE_PROVIDER
        usage = common_pb2.Usage(input_tokens=tokens, total_tokens=tokens, source=source, model_calls=1)
        counted = tokens if len(numbers) == 1 else 0
        return Vectors(
            [Vector(values, input_tokens=counted) for values in numbers],
            model=request.model,
            usage=usage,
            warnings=[*self._dropped(request)],
            request_id=headers.get("x-amzn-requestid", ""),
        )

    def _dropped(self, request: Request) -> Iterator[common_pb2.Warning]:
        for field in ("purpose", "truncate"):
            if getattr(request, field) and field not in self.takes:
                message = f"{request.model} does not honour it"
                yield common_pb2.Warning(code="PARAMETER_DROPPED", message=message, field=field)


class _TitanSaid(msgspec.Struct, rename="camel"):
    embedding: list[float] | None = None
    input_text_token_count: int = 0
    message: str | None = None


class _CohereSaid(msgspec.Struct):
    embeddings: list[list[float]] | dict[str, list[list[float]]]


_titan_said = msgspec.json.Decoder(_TitanSaid).decode
_cohere_said = msgspec.json.Decoder(_CohereSaid).decode


def embedding_of(model: str) -> Embedding:
    """How the model of this name embeds."""
    for mark, embedding in EMBEDDINGS.items():
        if mark in model:
            return embedding
    raise MaestroError(
        Reason.MODEL_NOT_FOUND,
        f"{model!r} is no embedding model of Bedrock that is known here; there are those of: {', '.join(EMBEDDINGS)}",
        resource=Resource("model", model),
        phase="route",
        model=model,
    )


def _ask_titan(request: Request, batch: Batch) -> dict[str, Any]:
    body: dict[str, Any] = {"inputText": _text(batch[0])}
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    return body


def _ask_titan_image(request: Request, batch: Batch) -> dict[str, Any]:
    first = batch[0]
    body: dict[str, Any] = {"inputText": first.text} if first.HasField("text") else {"inputImage": _image(first)}
    if request.HasField("dimensions"):
        body["embeddingConfig"] = {"outputEmbeddingLength": request.dimensions}
    return body


def _read_titan(body: bytes) -> tuple[list["array[float]"], int]:
    told = _titan_said(body)
    if told.embedding is None:
        raise Unreadable(told.message or "an answer without a vector")
    return [array("f", told.embedding)], told.input_text_token_count


def _ask_cohere(request: Request, batch: Batch) -> dict[str, Any]:
    body: dict[str, Any] = {"input_type": INPUT_TYPES.get(request.purpose, FOUND)}
    if batch[0].HasField("media"):
        body["images"] = [f"data:{each.media.mime_type};base64,{_image(each)}" for each in batch]
        body["input_type"] = "image"
    else:
        body["texts"] = [_text(each) for each in batch]
    if request.HasField("dimensions"):
        body["output_dimension"] = request.dimensions
    body["truncate"] = "END" if request.truncate else "NONE"
    body["embedding_types"] = ["float"]
    return body


def _read_cohere(body: bytes) -> tuple[list["array[float]"], int]:
    told = _cohere_said(body).embeddings
    rows = told if isinstance(told, list) else next(iter(told.values()), [])
    return [array("f", row) for row in rows], 0


def _text(each: embedding_pb2.EmbedInput) -> str:
    if not each.HasField("text"):
        raise invalid("inputs", "this model embeds text; texts and images go in requests of their own")
    return f"{each.title}\n{each.text}" if each.title else each.text


def _image(each: embedding_pb2.EmbedInput) -> str:
    if not each.HasField("media") or each.media.WhichOneof("source") != "data":
        raise invalid("inputs", "the bytes of an image are needed; texts and images go in requests of their own")
    return base64_of(each.media)


# By what the model's name holds; the first that fits.
EMBEDDINGS: Mapping[str, Embedding] = {
    "titan-embed-image": Embedding(1, frozenset({"dimensions"}), _ask_titan_image, _read_titan),
    "titan-embed": Embedding(1, frozenset({"dimensions"}), _ask_titan, _read_titan),
    "cohere.embed": Embedding(96, EMBEDS, _ask_cohere, _read_cohere),
}
