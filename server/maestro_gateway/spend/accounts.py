"""open -> Meter -> settle, whatever happens in between."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from maestro.v1 import common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.spend.meter import Ceiling, Meter
from maestro_gateway.spend.prices import Prices
from maestro_spi.errors import MaestroError


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one chat has used in the end, for whoever keeps the books."""

    tenant: str
    key: str
    request_id: str
    chat: str
    provider: str
    model: str
    outcome: str  # OK, CANCELLED, or a reason
    usage: common_pb2.Usage


class Accounts:
    """Every chat is settled exactly once: when it ends well, fails, is cancelled, or its caller leaves."""

    def __init__(self, settle: Callable[[Settlement], None], prices: Prices) -> None:
        self._settle = settle
        self.prices = prices

    @asynccontextmanager
    async def open(self, call: Call, input_estimate: int, ceiling: Ceiling | None = None) -> AsyncGenerator[Meter]:
        """The account of one answer. An error that passes through learns what was spent all the same."""

        def price(usage: common_pb2.Usage, tier: str) -> None:
            self.prices.bill(call.provider, call.model, usage, tier)

        meter = Meter(input_estimate, ceiling, price)
        outcome = "INTERNAL"
        try:
            yield meter
            outcome = "OK"
        except MaestroError as error:
            outcome = error.reason.name
            error.usage = meter.spent()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "CANCELLED"
            raise
        finally:
            usage = meter.spent()
            call.input_tokens, call.output_tokens = usage.input_tokens, usage.output_tokens
            self._settle(
                Settlement(
                    tenant=call.caller.tenant,
                    key=call.caller.key,
                    request_id=call.request_id,
                    chat=call.chat,
                    provider=call.provider,
                    model=call.model,
                    outcome=outcome,
                    usage=usage,
                )
            )
