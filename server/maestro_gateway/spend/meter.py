"""Counts as the stream flows; stops it when over."""

from collections.abc import Callable
from dataclasses import dataclass

from maestro.v1 import chat_pb2, common_pb2
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.estimate import BYTES_PER_TOKEN

Price = Callable[[common_pb2.Usage, str], None]  # writes the cost into a usage; the second is the service tier

DELTAS = frozenset({"text_delta", "reasoning_delta", "arguments_delta", "refusal_delta"})


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Where an answer is cut off: in tokens, and the field of the request that says so."""

    tokens: int
    field: str
    limit: int  # as the field has it


class Meter:
    """What one answer has used: the provider's count where it has come, an estimate in between; and what it costs."""

    __slots__ = ("_bytes", "_ceiling", "_count", "_input", "_limit", "_price", "_reported", "_tier", "usage")

    def __init__(self, count: Callable[[], int], ceiling: Ceiling | None, price: Price) -> None:
        """`count` estimates the tokens of the question, and is called only where they matter."""
        self.usage = common_pb2.Usage()
        self._count = count
        self._input: int | None = None
        self._ceiling = ceiling
        self._price = price
        self._tier = ""
        self._bytes = 0
        self._limit = ceiling.tokens if ceiling else 0
        self._reported = False

    @property
    def input_estimate(self) -> int:
        """The tokens of the question, as far as nobody has counted them."""
        if self._input is None:
            self._input = self._count()
        return self._input

    def observe(self, event: chat_pb2.ChatEvent) -> None:
        """Count one event; over the request's own ceiling it raises REQUEST_LIMIT_REACHED."""
        kind = event.WhichOneof("event")
        if kind in DELTAS:
            text: str = getattr(event, kind)
            self._bytes += len(text) if text.isascii() else len(text.encode())
            if self._limit and self.input_estimate + self._bytes // BYTES_PER_TOKEN > self._limit:
                raise self._over()
        elif kind == "usage":
            self.report(event.usage)
        elif kind == "completed":
            self._tier = event.completed.provider_metadata.service_tier
            self.report(event.completed.usage)

    def report(self, usage: common_pb2.Usage) -> None:
        """What the provider has counted so far."""
        if usage.total_tokens or usage.input_tokens or usage.output_tokens:
            self._reported = True
            self.usage.CopyFrom(usage)

    def _over(self) -> MaestroError:
        assert self._ceiling is not None
        field, limit = self._ceiling.field, self._ceiling.limit
        return MaestroError(
            Reason.REQUEST_LIMIT_REACHED,
            f"the answer passed {field} ({limit}); raise it, or ask for a shorter answer",
            metadata={"limit": field, "value": str(limit)},
            phase="quota",
        )

    def spent(self) -> common_pb2.Usage:
        """What is to be billed now. Where the provider was cut off before it counted, an estimate that says so."""
        if not self._reported and self._bytes:
            output = -(-self._bytes // BYTES_PER_TOKEN)
            self.usage.input_tokens = self.input_estimate
            self.usage.output_tokens = output
            self.usage.total_tokens = self.input_estimate + output
            self.usage.source = common_pb2.USAGE_SOURCE_ESTIMATED
            self.usage.ClearField("cost")
        if not self.usage.HasField("cost"):
            self._price(self.usage, self._tier)
        return self.usage
