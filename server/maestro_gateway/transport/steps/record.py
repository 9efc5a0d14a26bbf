"""Step: access log and metrics."""

import asyncio
import logging

from maestro_gateway.base.call import Call
from maestro_gateway.base.clock import Clock
from maestro_gateway.base.telemetry import Telemetry
from maestro_spi.errors import MaestroError, Reason

LOG = logging.getLogger("maestro.call")


class Record:
    """One line a call: how it ended and what it used, never what was said. Outermost, so that refusals count."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry

    async def enter(self, call: Call) -> None:
        """The call has its times already."""

    def leave(self, call: Call, error: BaseException | None) -> None:
        match error:
            case None:
                self._write(call, "OK")
            case MaestroError():
                self._write(call, error.reason.name)
            case asyncio.CancelledError() | GeneratorExit():
                self._write(call, self._why_cut(call).name)
            case _:
                self._write(call, Reason.INTERNAL.name)

    def _why_cut(self, call: Call) -> Reason:
        """gRPC cuts a call for two reasons and tells neither: the caller hung up, or their deadline passed."""
        late = call.deadline is not None and self._clock.monotonic() >= call.deadline
        return Reason.DEADLINE_EXCEEDED if late else Reason.CALLER_CANCELLED

    def _write(self, call: Call, outcome: str) -> None:
        elapsed = self._clock.monotonic() - call.started
        self._telemetry.call_ended(call.method, outcome, elapsed)
        if LOG.isEnabledFor(logging.INFO):
            # Made by hand: looking up on the stack where this stands would cost more than the line is worth.
            line = LOG.makeRecord(LOG.name, logging.INFO, __file__, 0, outcome, (), None)
            line.__dict__.update(
                request_id=call.request_id,
                method=call.method,
                tenant=call.caller.tenant,
                key=call.caller.key,
                chat=call.chat,
                provider=call.provider,
                model=call.model,
                input_tokens=call.input_tokens,
                output_tokens=call.output_tokens,
                elapsed_ms=round(elapsed * 1000, 3),
                first_content_ms=_millis(call.first_content, call.started),
            )
            LOG.handle(line)


def _millis(at: float | None, since: float) -> float | None:
    return None if at is None else round((at - since) * 1000, 3)
