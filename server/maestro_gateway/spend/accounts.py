"""open -> Meter -> settle, whatever happens in between."""

import asyncio
from collections.abc import Callable

import msgspec

from maestro.v1 import common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.spend.meter import Ceiling, Meter
from maestro_gateway.spend.prices import Prices
from maestro_spi.errors import MaestroError


class Settlement(msgspec.Struct, frozen=True):
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

    def open(self, call: Call, count: Callable[[], int], ceiling: Ceiling | None = None) -> "Account":
        """The account of one answer; `count` estimates the tokens of the question, should nobody else count them."""

        def price(usage: common_pb2.Usage, tier: str) -> None:
            self.prices.bill(call.provider, call.model, usage, tier)

        return Account(call, Meter(count, ceiling, price), self._settle)


class Account:
    """A context that is settled when it is left. An error that passes through learns what was spent all the same."""

    __slots__ = ("_call", "_meter", "_settle")

    def __init__(self, call: Call, meter: Meter, settle: Callable[[Settlement], None]) -> None:
        self._call = call
        self._meter = meter
        self._settle = settle

    async def __aenter__(self) -> Meter:
        return self._meter

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        call, usage = self._call, self._meter.spent()
        if isinstance(error, MaestroError):
            error.usage = usage
        call.input_tokens, call.output_tokens = usage.input_tokens, usage.output_tokens
        self._settle(
            Settlement(
                tenant=call.caller.tenant,
                key=call.caller.key,
                request_id=call.request_id,
                chat=call.chat,
                provider=call.provider,
                model=call.model,
                outcome=_outcome(error),
                usage=usage,
            )
        )


def _outcome(error: BaseException | None) -> str:
    match error:
        case None:
            return "OK"
        case MaestroError():
            return error.reason.name
        case asyncio.CancelledError() | GeneratorExit():
            return "CANCELLED"
        case _:
            return "INTERNAL"
