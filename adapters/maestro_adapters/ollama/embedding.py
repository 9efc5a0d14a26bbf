"""Vectors of Ollama: the body of a request to /api/embed, and its answer."""

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.ollama.question import ADAPTER
from maestro_adapters.wire.body import invalid, merge_options
from maestro_spi.embedding import Vector, Vectors
from maestro_spi.estimate import text_tokens

PARAMETERS = frozenset({"dimensions", "truncate"})  # the request fields that are honoured, by path
AT_ONCE = 64  # inputs; the server has no limit, and is somebody's own machine

Batch = Sequence[embedding_pb2.EmbedInput]


class Embedded(msgspec.Struct):
    """The answer."""

    embeddings: list[list[float]]
    model: str = ""
    prompt_eval_count: int | None = None


decode = msgspec.json.Decoder(Embedded).decode


def question(request: embedding_pb2.EmbedRequest, batch: Batch, provider: str) -> dict[str, Any]:
    """The body, the caller's own options last."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": [_text(each) for each in batch],
        "truncate": request.truncate,
    }
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    options: Any = request  # both kinds of request have them
    return merge_options(body, options, (ADAPTER, provider))


def vectors(body: bytes, batch: Batch) -> Vectors:
    """The answer's vectors."""
    told = decode(body)
    tokens, source = told.prompt_eval_count, common_pb2.USAGE_SOURCE_PROVIDER
    if tokens is None:
        tokens, source = sum(text_tokens(_text(each)) for each in batch), common_pb2.USAGE_SOURCE_ESTIMATED
    usage = common_pb2.Usage(input_tokens=tokens, total_tokens=tokens, source=source, model_calls=1)
    counted = tokens if len(batch) == 1 else 0
    return Vectors(
        [Vector(array("f", row), input_tokens=counted) for row in told.embeddings], model=told.model, usage=usage
    )


def _text(each: embedding_pb2.EmbedInput) -> str:
    if not each.HasField("text"):
        raise invalid("inputs", "texts are embedded, and no media")
    return f"{each.title}\n{each.text}" if each.title else each.text
