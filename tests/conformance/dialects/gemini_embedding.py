"""The embedding calls of the Gemini API and of Vertex."""

import asyncio
import base64
from typing import Any
from zlib import crc32

from maestro.v1 import common_pb2, embedding_pb2
from maestro_adapters.registry import load
from maestro_spi.embedding import EmbeddingAdapter, Vectors
from tests.conformance.compare import differences
from tests.conformance.dialects import gemini
from tests.conformance.exchange import Exchange
from tests.conformance.play import PATIENCE
from tests.conformance.replay import Plan, Replay

Json = dict[str, Any]

TASKS = {
    "RETRIEVAL_QUERY": embedding_pb2.EMBEDDING_PURPOSE_QUERY,
    "RETRIEVAL_DOCUMENT": embedding_pb2.EMBEDDING_PURPOSE_DOCUMENT,
    "SEMANTIC_SIMILARITY": embedding_pb2.EMBEDDING_PURPOSE_SIMILARITY,
    "CLASSIFICATION": embedding_pb2.EMBEDDING_PURPOSE_CLASSIFICATION,
    "CLUSTERING": embedding_pb2.EMBEDDING_PURPOSE_CLUSTERING,
    "CODE_RETRIEVAL_QUERY": embedding_pb2.EMBEDDING_PURPOSE_CODE_QUERY,
}


class GeminiEmbedding:
    """Plays recordings of batchEmbedContents, embedContent and predict."""

    name = "gemini"
    protocols = frozenset({"gemini.embed", "vertex.embed"})

    def inapplicable(self, exchange: Exchange) -> str:
        """A content of several parts has no words in the contract: there an input is one text or one medium."""
        several = any(len(one["content"]["parts"]) > 1 for one in exchange.asked.get("requests", ()))
        return "one content of several parts; the contract's inputs are one text or one medium each" if several else ""

    async def play(self, exchange: Exchange) -> list[str]:
        """Whole and split at random; then the request that was sent."""
        wrong: list[str] = []
        request = _ours(exchange)
        for seed in (0, crc32(exchange.id.encode()) or 1):
            async with Replay(exchange.status, exchange.headers, exchange.body, Plan(seed)) as replay:
                adapter = load(gemini.settings(exchange, replay.url))
                assert isinstance(adapter, EmbeddingAdapter)
                async with asyncio.timeout(PATIENCE):
                    told = await adapter.embed(request)
                await adapter.aclose()
            wrong += _against(exchange, told)
        asked = replay.asked[0]
        if exchange.request is None:
            return wrong
        if asked.path != exchange.path.replace("<", "%3C").replace(">", "%3E"):
            wrong.append(f"sent to {asked.path}, recorded {exchange.path}")
        return wrong + [str(each) for each in differences(_normal(exchange.asked), _normal(asked.json))]


def _ours(exchange: Exchange) -> embedding_pb2.EmbedRequest:
    request = embedding_pb2.EmbedRequest(model=gemini.where(exchange)["model"])
    body = exchange.asked
    if not body:
        request.inputs.extend(
            embedding_pb2.EmbedInput(text="Hello") for _ in range(exchange.expected["embedding"]["count"])
        )
    for one in body.get("requests") or ([body] if "content" in body else ()):
        _input(request, one["content"]["parts"][0])
        _config(request, {**one, **one.get("embedContentConfig", {})})
    for one in body.get("instances", ()):
        request.inputs.add(text=one["content"], title=one.get("title", ""))
        _config(request, {"taskType": one["task_type"]} if "task_type" in one else {})
    _config(request, body.get("parameters", {}))
    return request


def _input(request: embedding_pb2.EmbedRequest, part: Json) -> None:
    if "text" in part:
        request.inputs.add(text=part["text"])
    else:
        media = request.inputs.add().media
        media.mime_type = part["inlineData"]["mimeType"]
        media.data = base64.b64decode(part["inlineData"]["data"])


def _config(request: embedding_pb2.EmbedRequest, told: Json) -> None:
    if "outputDimensionality" in told:
        request.dimensions = told["outputDimensionality"]
    if "taskType" in told:
        request.purpose = TASKS[told["taskType"]]
    request.truncate = request.truncate or told.get("autoTruncate", False)


def _normal(body: Json) -> Json:
    """A body in one spelling."""
    told: Json = {key: value for key, value in body.items() if key != "model"}  # named in the path, and in each request
    told["requests"] = [{**one, "content": {"parts": one["content"]["parts"]}} for one in body.get("requests", ())]
    parameters = {"autoTruncate": False, **body.get("parameters", {})}  # Google's own choice is to cut, ours to fail
    return {**told, "parameters": parameters}


def _against(exchange: Exchange, told: Vectors) -> list[str]:
    wanted = exchange.expected["embedding"]
    first = [round(number, 6) for number in told.vectors[0].values[:4]]
    pairs: list[tuple[str, Any, Any]] = [
        ("vectors", len(told.vectors), wanted["count"]),
        ("dimensions", len(told.vectors[0].values), wanted["dims"]),
    ]
    if exchange.expected["input_tokens"] is not None:
        pairs += [
            ("input tokens", told.usage.input_tokens, exchange.expected["input_tokens"]),
            ("source of the count", told.usage.source, common_pb2.USAGE_SOURCE_PROVIDER),
        ]
    wrong = [f"{name} {got}, expected {expected}" for name, got, expected in pairs if got != expected]
    if any(abs(got - expected) > 2e-6 for got, expected in zip(first, wanted["first"], strict=True)):
        wrong.append(f"first numbers {first}, expected {wanted['first']}")
    return wrong


DIALECT = GeminiEmbedding()
