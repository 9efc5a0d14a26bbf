"""Vectors of Cohere: the body of a request to /v2/embed, and its answer in whichever form was asked for."""

import base64
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.cohere.question import ADAPTER
from maestro_adapters.wire.body import data_url, merge_options
from maestro_adapters.wire.bounds import Unreadable
from maestro_spi.embedding import Vector, Vectors

PARAMETERS = frozenset({"dimensions", "purpose", "truncate"})  # the request fields that are honoured, by path
AT_ONCE = 96  # inputs of one request

# What vectors are for, in Cohere's words; anything else is to be found.
INPUT_TYPES: Mapping[embedding_pb2.EmbeddingPurpose.ValueType, str] = {
    embedding_pb2.EMBEDDING_PURPOSE_QUERY: "search_query",
    embedding_pb2.EMBEDDING_PURPOSE_CODE_QUERY: "search_query",
    embedding_pb2.EMBEDDING_PURPOSE_CLASSIFICATION: "classification",
    embedding_pb2.EMBEDDING_PURPOSE_CLUSTERING: "clustering",
}
FOUND = "search_document"

Batch = Sequence[embedding_pb2.EmbedInput]


class Billed(msgspec.Struct):
    """What is billed."""

    input_tokens: float | None = None
    images: float | None = None
    image_tokens: float | None = None


class Meta(msgspec.Struct):
    """About the call."""

    billed_units: Billed | None = None


class Embedded(msgspec.Struct):
    """The answer: a list of vectors by form, or one list."""

    embeddings: dict[str, Any] | list[list[float]]
    id: str = ""
    meta: Meta | None = None


decode = msgspec.json.Decoder(Embedded).decode


def question(request: embedding_pb2.EmbedRequest, batch: Batch, provider: str) -> dict[str, Any]:
    """The body, the caller's own options last."""
    body: dict[str, Any] = {
        "model": request.model,
        "input_type": INPUT_TYPES.get(request.purpose, FOUND),
        "embedding_types": ["float"],
        "truncate": "END" if request.truncate else "NONE",
    }
    if all(each.HasField("text") for each in batch):
        body["texts"] = [_text(each) for each in batch]
    else:
        body["inputs"] = [{"content": [_content(each)]} for each in batch]
    if request.HasField("dimensions"):
        body["output_dimension"] = request.dimensions
    options: Any = request  # both kinds of request have them
    return merge_options(body, options, (ADAPTER, provider))


def vectors(body: bytes, batch: Batch, request_id: str) -> Vectors:
    """The answer's vectors."""
    told = decode(body)
    billed = (told.meta.billed_units if told.meta else None) or Billed()
    tokens = int((billed.input_tokens or 0) + (billed.image_tokens or 0))
    usage = common_pb2.Usage(
        input_tokens=tokens, total_tokens=tokens, source=common_pb2.USAGE_SOURCE_PROVIDER, model_calls=1
    )
    counted = tokens if len(batch) == 1 else 0
    numbers = [Vector(values, input_tokens=counted) for values in _numbers(told.embeddings)]
    return Vectors(numbers, usage=usage, request_id=request_id or told.id)


def _numbers(told: dict[str, Any] | list[list[float]]) -> list["array[float]"]:
    form, rows = "float", told
    if isinstance(told, dict):
        form, rows = next(iter(told.items()), ("float", []))
    read = _FORMS.get(form, _plain)
    try:
        return [read(row) for row in rows]
    except (TypeError, ValueError) as error:
        raise Unreadable("vectors that are no numbers") from error


def _plain(row: Any) -> "array[float]":
    return array("f", row)


def _packed(row: Any) -> "array[float]":
    """Little-endian, whatever this machine is."""
    values = array("f", base64.b64decode(row))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _bits(row: Any) -> "array[float]":
    """One dimension for each bit, the highest first: 1 where it is set, else -1."""
    packed = bytes(number & 0xFF for number in row)
    return array("f", [1.0 if byte >> place & 1 else -1.0 for byte in packed for place in range(7, -1, -1)])


_FORMS: Mapping[str, Callable[[Any], "array[float]"]] = {"base64": _packed, "binary": _bits, "ubinary": _bits}


def _text(each: embedding_pb2.EmbedInput) -> str:
    return f"{each.title}\n{each.text}" if each.title else each.text


def _content(each: embedding_pb2.EmbedInput) -> dict[str, Any]:
    if each.HasField("text"):
        return {"type": "text", "text": _text(each)}
    return {"type": "image_url", "image_url": {"url": data_url(each.media)}}
