"""Steps about a call, without any transport: known, allowed, recorded."""

import asyncio

import pytest

from maestro_gateway.base.call import NOBODY, Call, Caller
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.transport.steps.authenticate import Authenticate
from maestro_gateway.transport.steps.authorize import Authorize
from maestro_gateway.transport.steps.record import Record
from maestro_spi.errors import MaestroError, Reason
from tests.doubles.clock import HandClock

ANN = Caller(tenant="acme", key="ann", scopes=frozenset({"chat"}))
OFF = Caller(tenant="acme", key="off", scopes=frozenset({"*"}), suspended=True)


def call(authorization: str = "", deadline: float | None = None) -> Call:
    metadata = {"authorization": authorization} if authorization else {}
    return Call(method="S/Chat", request_id="r", metadata=metadata, started=1_000.0, deadline=deadline)


async def identify(secret: str) -> Caller | None:
    return {"ann": ANN, "off": OFF}.get(secret)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("", Reason.CREDENTIALS_MISSING),
        ("ann", Reason.CREDENTIALS_MISSING),
        ("Basic ann", Reason.CREDENTIALS_MISSING),
        ("Bearer ", Reason.CREDENTIALS_MISSING),
        ("Bearer bob", Reason.CREDENTIALS_INVALID),
        ("Bearer off", Reason.TENANT_SUSPENDED),
    ],
)
async def test_whoever_is_not_known_is_turned_away(authorization: str, reason: Reason) -> None:
    made = call(authorization)
    with pytest.raises(MaestroError) as refused:
        await Authenticate(identify).enter(made)
    assert refused.value.reason is reason
    assert made.caller is NOBODY


async def test_a_key_makes_the_caller() -> None:
    made = call("Bearer ann")
    await Authenticate(identify).enter(made)
    assert made.caller is ANN


async def test_a_right_opens_the_method_and_a_missing_one_is_named() -> None:
    made = call()
    made.caller = ANN
    await Authorize({"S/Chat": "chat"}).enter(made)
    with pytest.raises(MaestroError) as refused:
        await Authorize({"S/Chat": "admin"}).enter(made)
    assert refused.value.reason is Reason.SCOPE_MISSING
    assert refused.value.metadata["scope"] == "admin"


@pytest.mark.parametrize(
    ("raised", "deadline", "outcome"),
    [
        (None, None, "OK"),
        (MaestroError(Reason.MODEL_NOT_FOUND, "x"), None, "MODEL_NOT_FOUND"),
        (asyncio.CancelledError(), None, "CALLER_CANCELLED"),
        (asyncio.CancelledError(), 2_000.0, "CALLER_CANCELLED"),
        (asyncio.CancelledError(), 1_000.0, "DEADLINE_EXCEEDED"),
        (GeneratorExit(), None, "CALLER_CANCELLED"),
        (ZeroDivisionError(), None, "INTERNAL"),
    ],
)
async def test_one_line_tells_how_a_call_ended(
    raised: BaseException | None, deadline: float | None, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "maestro.call")
    made = call("Bearer secret", deadline)
    record = Record(HandClock(), Telemetry())
    await record.enter(made)
    record.leave(made, raised)
    (line,) = caplog.records
    assert line.getMessage() == outcome
    assert "secret" not in str(vars(line))
