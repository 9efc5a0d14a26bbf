"""What a dialect of embeddings is to the harness: `DIALECT = EmbedDialect(…)` in its file of `dialects/`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from maestro.v1 import embedding_pb2
from maestro_adapters import registry
from maestro_spi import AdapterSettings, EmbeddingAdapter, MaestroError, Reason, Vectors
from tests.conformance.compare import Allowed, differences
from tests.conformance.exchange import Exchange
from tests.conformance.replay import Plan, Replay

PATIENCE = 5.0
DIGITS = 6  # to which the recordings' numbers are rounded


def texts(*inputs: str, model: str, **fields: Any) -> embedding_pb2.EmbedRequest:
    """A request of ours."""
    return embedding_pb2.EmbedRequest(
        model=model, inputs=[embedding_pb2.EmbedInput(text=text) for text in inputs], **fields
    )


@dataclass(frozen=True)
class EmbedDialect:
    """A dialect of embeddings. What differs from one to another are translations of recordings, and data."""

    name: str  # of the adapter
    protocols: frozenset[str]
    settings: Callable[[Exchange, str], AdapterSettings]  # the adapter, for a provider at this address
    ours: Callable[[Exchange], embedding_pb2.EmbedRequest]  # the recorded request, or a small one where there is none
    reasons: Mapping[int, Reason]  # HTTP status of an error -> what it is
    allowed: Sequence[Allowed] = ()
    normal: Callable[[Any], Any] = lambda body: body
    not_applicable: Callable[[Exchange], str] = lambda exchange: ""
    embeds: bool = True

    def inapplicable(self, exchange: Exchange) -> str:
        """As the dialect says."""
        return self.not_applicable(exchange)

    async def play(self, exchange: Exchange) -> list[str]:
        """Whole and split at random; then the request that was sent."""
        headers = {
            "content-type": "application/json",
            **{key.lower(): value for key, value in exchange.headers.items()},
        }
        for seed in (0, crc32(exchange.id.encode()) or 1):
            async with Replay(exchange.status, headers, exchange.body, Plan(seed)) as replay:
                told = await self._embed(exchange, replay.url)
            if wrong := self._against(exchange, told):
                return [line if not seed else f"split: {line}" for line in wrong]
        if exchange.request is None:
            return []
        sent = replay.asked[0]
        wrong = [
            str(difference)
            for difference in differences(self.normal(exchange.asked), self.normal(sent.json))
            if not any(allowed.covers(difference) for allowed in self.allowed)
        ]
        if exchange.path and sent.path != exchange.path:
            wrong.append(f"sent to {sent.path}, recorded {exchange.path}")
        return wrong

    async def _embed(self, exchange: Exchange, url: str) -> Vectors | MaestroError:
        adapter = registry.load(self.settings(exchange, url))
        assert isinstance(adapter, EmbeddingAdapter)
        try:
            async with asyncio.timeout(PATIENCE):
                return await adapter.embed(self.ours(exchange))
        except MaestroError as error:
            return error
        finally:
            await adapter.aclose()

    def _against(self, exchange: Exchange, told: Vectors | MaestroError) -> list[str]:
        expected = exchange.expected
        if isinstance(told, MaestroError):
            wanted = self.reasons.get(exchange.status)
            code = (expected.get("error") or {}).get("code")
            if wanted is None:
                return [f"error {told}"]
            wrong = [] if told.reason is wanted else [f"reason {told.reason.name}, expected {wanted.name}"]
            return wrong if not code or told.word.code == str(code) else [*wrong, f"code {told.word.code}, not {code}"]
        if expected.get("kind") == "error":
            return ["no error, expected one"]
        first = [round(value, DIGITS) for value in told.vectors[0].values[:4]]
        about = expected["embedding"]
        pairs: list[tuple[str, Any, Any]] = [
            ("vectors", len(told.vectors), about["count"]),
            ("dimensions", len(told.vectors[0].values), about["dims"]),
            ("input tokens", told.usage.input_tokens, expected.get("input_tokens")),
            ("model", told.model, expected.get("model")),
        ]
        wrong = [f"{what} {got!r}, expected {want!r}" for what, got, want in pairs if want and got != want]
        if any(abs(got - want) > 2e-6 for got, want in zip(first, about["first"], strict=False)):
            wrong.append(f"first numbers {first}, expected {about['first']}")
        return wrong
