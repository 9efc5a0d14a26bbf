"""One target after another, until one speaks; keeps the trail of reasons."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from google.rpc import code_pb2

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock, duration, seconds, timestamp
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.routing.catalog import Target
from maestro_gateway.routing.fleet import Fleet
from maestro_gateway.routing.patience import CONTENT, Patience
from maestro_spi.errors import MaestroError
from maestro_spi.reasons import TABLE

CUT = "CANCELLED"  # the outcome of a try that was stopped from outside


@dataclass(slots=True)
class Trail:
    """What was tried for one answer, and who speaks now."""

    attempts: list[common_pb2.Attempt] = field(default_factory=list)
    target: Target | None = None
    first_content: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a silent provider is waited for, where the request does not say."""

    first_token: float
    idle: float


class Attempts:
    """Plays a request to its targets in order. A failed try costs the caller nothing but time, until the first content.

    Where another target could still take over, what a provider says before its first content is held back.
    """

    def __init__(self, fleet: Fleet, clock: Clock, telemetry: Telemetry, limits: Limits) -> None:
        self._fleet = fleet
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits

    async def play(
        self, call: Call, request: chat_pb2.ChatRequest, targets: Sequence[Target], trail: Trail
    ) -> AsyncGenerator[chat_pb2.ChatEvent]:
        """The events of the first target that speaks."""
        for number, target in enumerate(targets):
            more = number + 1 < len(targets)
            try:
                async with aclosing(self._try(call, request, target, trail, hold=more)) as events:
                    async for event in events:
                        yield event
                return
            except MaestroError as error:
                if trail.first_content is not None or not (more and error.retryable):
                    error.attempts = trail.attempts
                    raise

    async def _try(
        self, call: Call, request: chat_pb2.ChatRequest, target: Target, trail: Trail, *, hold: bool
    ) -> AsyncGenerator[chat_pb2.ChatEvent]:
        began = self._clock.monotonic()
        attempt = common_pb2.Attempt(
            provider=target.provider,
            model=target.facts.name,
            cause="fallback" if trail.attempts else "primary",
            start_time=timestamp(self._clock.wall()),
        )
        trail.attempts.append(attempt)
        trail.target = target
        call.provider, call.model = target.provider, target.facts.name
        request.model = target.facts.name
        span = self._telemetry.try_started(target.provider, target.facts.name, call.request_id)
        outcome = CUT
        try:
            async with aclosing(self._read(call, request, target, trail, hold=hold)) as events:
                async for event in events:
                    if event.HasField("completed"):  # whoever reads on has the whole trail in hand
                        outcome = "OK"
                        attempt.elapsed.CopyFrom(duration(self._clock.monotonic() - began))
                        attempt.provider_request_id = event.completed.provider_metadata.request_id
                    yield event
        except MaestroError as error:
            outcome = error.reason.name
            error.provider, error.model = error.provider or target.provider, error.model or target.facts.name
            error.metadata.setdefault("provider", target.provider)
            if (
                trail.first_content is not None
            ):  # sent again as it is, it would be bought twice and may say another thing
                error.retryable, error.phase = False, "stream"
            attempt.code = TABLE[error.reason].code
            attempt.reason = f"ERROR_REASON_{error.reason.name}"
            attempt.provider_request_id = error.word.request_id
            raise
        finally:
            took = self._clock.monotonic() - began
            if not attempt.HasField("elapsed"):
                attempt.elapsed.CopyFrom(duration(took))
            if outcome == CUT:
                attempt.code = code_pb2.CANCELLED  # why, whoever cut it knows
            self._telemetry.try_ended(span, target.provider, target.facts.name, outcome, took)

    async def _read(
        self, call: Call, request: chat_pb2.ChatRequest, target: Target, trail: Trail, *, hold: bool
    ) -> AsyncGenerator[chat_pb2.ChatEvent]:
        first_token = seconds(request.timeouts.first_token) or self._limits.first_token
        idle = seconds(request.timeouts.idle) or self._limits.idle
        held: list[chat_pb2.ChatEvent] = []
        with Patience(target.provider, first_token, idle, seconds(request.timeouts.attempt)) as patience:
            async with aclosing(self._fleet.lend(target.provider, target.emulated).chat(request)) as events:
                while (event := await patience.next(events)) is not None:
                    if trail.first_content is None:
                        kind = event.WhichOneof("event")
                        patience.heard(kind)
                        if kind in CONTENT:
                            self._spoken(call, target, trail)
                        elif hold and kind != "completed":
                            held.append(event)
                            continue
                        for early in held:
                            yield early
                        held.clear()
                    yield event

    def _spoken(self, call: Call, target: Target, trail: Trail) -> None:
        trail.first_content = call.first_content = self._clock.monotonic()
        self._telemetry.first_content(target.provider, target.facts.name, trail.first_content - call.started)
