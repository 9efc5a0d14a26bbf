"""Whatever an error holds, its status is small enough to arrive, and says what the table says."""

import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro.v1 import common_pb2, error_pb2
from maestro_gateway.services.status import DETAILS_BYTES, pushback, status
from maestro_spi.errors import MaestroError, Precondition, ProviderWord, Reason, Resource, Violation
from maestro_spi.reasons import TABLE
from tests.doubles.asking import unpacked

texts = st.text(alphabet=st.sampled_from('ax é漢😀"\n\x00'), max_size=40).map(lambda text: text * 50)


@st.composite
def errors(draw: st.DrawFn) -> MaestroError:
    error = MaestroError(
        draw(st.sampled_from(Reason)),
        draw(texts),
        retry_delay=draw(st.none() | st.floats(0, 10**6)),
        metadata=draw(st.dictionaries(texts, texts, max_size=30)),
        violations=[Violation(draw(texts), draw(texts), draw(texts))] * draw(st.integers(0, 250)),
        preconditions=[Precondition(draw(texts), draw(texts), draw(texts))] * draw(st.integers(0, 250)),
        resource=draw(st.none() | st.builds(Resource, texts, texts)),
        provider=draw(texts),
        model=draw(texts),
        word=ProviderWord(500, draw(texts), draw(texts), draw(texts)),
    )
    error.attempts = [common_pb2.Attempt(provider="p", model="m" * 200, reason="r")] * draw(st.integers(0, 40))
    error.usage = common_pb2.Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    error.chat = "chats/1"
    return error


@given(error=errors(), request_id=texts)
@settings(max_examples=150, deadline=None)
def test_any_error_at_all_fits(error: MaestroError, request_id: str) -> None:
    told = status(error, request_id)
    details = unpacked(told)
    assert sum(detail.ByteSize() for detail in told.details) <= DETAILS_BYTES
    assert told.ByteSize() <= DETAILS_BYTES + 1024
    assert told.code == TABLE[error.reason].code
    assert {error_details_pb2.ErrorInfo, error_details_pb2.RequestInfo, error_pb2.ErrorContext} <= details.keys()
    assert details[error_details_pb2.ErrorInfo].reason == f"ERROR_REASON_{error.reason.name}"
    assert bool(error.violations) == (error_details_pb2.BadRequest in details)
    assert (error.resource is not None) == (error_details_pb2.ResourceInfo in details)
    assert details[error_pb2.ErrorContext].chat == "chats/1", "partial content can still be found"


def test_half_a_character_of_a_provider_does_not_break_the_telling() -> None:
    half = "\ud83d"
    error = MaestroError(Reason.PROVIDER_UNAVAILABLE, half, metadata={"a": half}, word=ProviderWord(message=half))
    assert status(error, "r").message == "?"


def test_what_is_short_is_told_in_full() -> None:
    error = MaestroError(Reason.INVALID_FIELD, "bad", violations=[Violation(f"f{n}", "r", "d") for n in range(30)])
    assert len(unpacked(status(error, "r"))[error_details_pb2.BadRequest].field_violations) == 30


@pytest.mark.parametrize(
    ("reason", "delay", "tokens", "expected"),
    [
        (Reason.PROVIDER_UNAVAILABLE, None, 0, None),
        (Reason.PROVIDER_UNAVAILABLE, 1.5, 0, 1500),
        (Reason.PROVIDER_UNAVAILABLE, 0.0, 0, 0),
        (Reason.PROVIDER_UNAVAILABLE, 1.5, 7, -1),
        (Reason.STREAM_BROKEN, None, 0, -1),
    ],
)
def test_the_transport_may_not_buy_the_same_tokens_twice(
    reason: Reason, delay: float | None, tokens: int, expected: int | None
) -> None:
    error = MaestroError(reason, "x", retry_delay=delay)
    error.usage = common_pb2.Usage(total_tokens=tokens)
    assert pushback(error) == expected
