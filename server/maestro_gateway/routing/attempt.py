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
                with (
                    _Try(call, target, trail, self._clock, self._telemetry, hold=more) as this,
                    self._patience(request, target) as patience,
                ):
                    request.model = target.facts.name
                    adapter = self._fleet.lend(target.provider, target.emulated)
                    async with aclosing(adapter.chat(request)) as events:
                        patience.wait()
                        async for event in events:
                            patience.came()
                            for ready in this.heard(event, patience):
                                yield ready
                            patience.wait()
                return
            except MaestroError as error:
                if trail.first_content is not None or not (more and error.retryable):
                    error.attempts = trail.attempts
                    raise

    def _patience(self, request: chat_pb2.ChatRequest, target: Target) -> Patience:
        if not request.HasField("timeouts"):
            return Patience(target.provider, self._limits.first_token, self._limits.idle, 0)
        said = request.timeouts
        return Patience(
            target.provider,
            seconds(said.first_token) or self._limits.first_token,
            seconds(said.idle) or self._limits.idle,
            seconds(said.attempt),
        )


class _Try:
    """One target's turn: on the trail from when it is entered; left, it tells there how it ended."""

    __slots__ = (
        "_attempt",
        "_began",
        "_call",
        "_clock",
        "_held",
        "_hold",
        "_outcome",
        "_span",
        "_target",
        "_telemetry",
        "_trail",
    )

    def __init__(
        self, call: Call, target: Target, trail: Trail, clock: Clock, telemetry: Telemetry, *, hold: bool
    ) -> None:
        self._call = call
        self._target = target
        self._trail = trail
        self._clock = clock
        self._telemetry = telemetry
        self._hold = hold
        self._held: list[chat_pb2.ChatEvent] = []
        self._outcome = CUT

    def __enter__(self) -> "_Try":
        call, target, trail = self._call, self._target, self._trail
        self._began = self._clock.monotonic()
        self._attempt = common_pb2.Attempt(
            provider=target.provider,
            model=target.facts.name,
            cause="fallback" if trail.attempts else "primary",
            start_time=timestamp(self._clock.wall()),
        )
        trail.attempts.append(self._attempt)
        trail.target = target
        call.provider, call.model = target.provider, target.facts.name
        self._span = self._telemetry.try_started(target.provider, target.facts.name, call.request_id)
        return self

    def heard(self, event: chat_pb2.ChatEvent, patience: Patience) -> Sequence[chat_pb2.ChatEvent]:
        """What may be told now that this has come."""
        if event.HasField("completed"):  # whoever reads on has the whole trail in hand
            self._outcome = "OK"
            self._attempt.elapsed.CopyFrom(duration(self._clock.monotonic() - self._began))
            self._attempt.provider_request_id = event.completed.provider_metadata.request_id
        elif self._trail.first_content is None:
            kind = event.WhichOneof("event")
            patience.heard(kind)
            if kind in CONTENT:
                self._spoken()
            elif self._hold:
                self._held.append(event)
                return ()
        if not self._held:
            return (event,)
        held, self._held = self._held, []
        return (*held, event)

    def _spoken(self) -> None:
        call, target = self._call, self._target
        self._trail.first_content = call.first_content = now = self._clock.monotonic()
        self._telemetry.first_content(target.provider, target.facts.name, now - call.started)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        attempt, target = self._attempt, self._target
        if isinstance(error, MaestroError):
            self._outcome = error.reason.name
            self._failed(error)
        took = self._clock.monotonic() - self._began
        if not attempt.HasField("elapsed"):
            attempt.elapsed.CopyFrom(duration(took))
        if self._outcome == CUT:
            attempt.code = code_pb2.CANCELLED  # why, whoever cut it knows
        self._telemetry.try_ended(self._span, target.provider, target.facts.name, self._outcome, took)

    def _failed(self, error: MaestroError) -> None:
        attempt, target = self._attempt, self._target
        error.provider, error.model = error.provider or target.provider, error.model or target.facts.name
        error.metadata.setdefault("provider", target.provider)
        if self._trail.first_content is not None:
            # Sent again as it is, it would be bought twice and may say another thing.
            error.retryable, error.phase = False, "stream"
        attempt.code = TABLE[error.reason].code
        attempt.reason = f"ERROR_REASON_{error.reason.name}"
        attempt.provider_request_id = error.word.request_id
