"""Every chat is settled once, with what was used, whatever ends it."""

import asyncio

import pytest

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.spend.accounts import Accounts, Settlement
from maestro_gateway.spend.meter import Ceiling, Meter
from maestro_gateway.spend.prices import UNKNOWN
from maestro_spi.errors import MaestroError, Reason

Event = chat_pb2.ChatEvent


def call() -> Call:
    return Call(method="m", request_id="r", metadata={}, started=0.0)


def usage(tokens: int) -> common_pb2.Usage:
    return common_pb2.Usage(input_tokens=1, output_tokens=tokens - 1, total_tokens=tokens)


def five() -> int:
    return 5


def free(usage: common_pb2.Usage, tier: str) -> None:
    """No price is known."""


FAILURE = MaestroError(Reason.PROVIDER_UNAVAILABLE, "x")


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, "OK"),
        (FAILURE, "PROVIDER_UNAVAILABLE"),
        (asyncio.CancelledError(), "CANCELLED"),
        (GeneratorExit(), "CANCELLED"),
        (ZeroDivisionError(), "INTERNAL"),
    ],
)
async def test_a_chat_is_settled_once_however_it_ends(raised: BaseException | None, outcome: str) -> None:
    books: list[Settlement] = []
    accounts = Accounts(books.append, UNKNOWN)
    ending = None
    try:
        async with accounts.open(call(), five) as meter:
            meter.observe(Event(usage=usage(9)))
            if raised is not None:
                raise raised
    except BaseException as ended:
        ending = ended
    assert ending is raised
    (settled,) = books
    assert (settled.outcome, settled.usage.total_tokens, settled.request_id) == (outcome, 9, "r")


async def test_a_failure_learns_what_was_spent_all_the_same() -> None:
    async def breaks_off() -> None:
        async with Accounts(lambda _: None, UNKNOWN).open(call(), five) as meter:
            meter.observe(Event(text_delta="x" * 40))
            raise MaestroError(Reason.STREAM_BROKEN, "x")

    with pytest.raises(MaestroError) as failed:
        await breaks_off()
    assert failed.value.usage is not None
    assert failed.value.usage.output_tokens == 10
    assert failed.value.usage.source == common_pb2.USAGE_SOURCE_ESTIMATED


def test_the_providers_count_goes_before_the_estimate_and_the_last_one_holds() -> None:
    meter = Meter(five, None, free)
    meter.observe(Event(text_delta="x" * 400))
    assert meter.spent().output_tokens == 100
    meter.observe(Event(usage=usage(7)))
    meter.observe(Event(completed=chat_pb2.ChatCompleted(usage=usage(8))))
    assert meter.spent().total_tokens == 8


def test_nothing_said_is_nothing_spent() -> None:
    assert Meter(five, None, free).spent() == common_pb2.Usage()


def test_the_requests_own_ceiling_ends_it() -> None:
    meter = Meter(five, Ceiling(10, "limits.max_total_tokens", 10), free)
    meter.observe(Event(text_delta="x" * 20))
    with pytest.raises(MaestroError) as over:
        meter.observe(Event(reasoning_delta="x" * 4))
    assert over.value.reason is Reason.REQUEST_LIMIT_REACHED
