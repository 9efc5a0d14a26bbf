"""Durations, sizes and addresses as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from maestro_gateway.config.quantities import YEAR, Duration, Size, address, host_and_port, is_local, written

DURATION = TypeAdapter[float](Duration)
SIZE = TypeAdapter[int](Size)


@given(st.integers(min_value=0, max_value=int(YEAR) * 1000))
def test_a_duration_is_read_back_as_it_was_written(milliseconds: int) -> None:
    assert DURATION.validate_python(written(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
    assert DURATION.validate_python(f"{milliseconds}ms") == pytest.approx(milliseconds / 1000)


@given(st.text() | st.floats() | st.integers() | st.booleans() | st.none() | st.lists(st.integers()))
def test_whatever_is_written_is_a_duration_or_a_mistake(value: object) -> None:
    with suppress(ValidationError):
        assert 0 <= DURATION.validate_python(value) <= YEAR


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("500ms", 0.5), ("1h30m", 5400), ("1.5 h", 5400), ("1d", 86400), ("7", 7), (7, 7), ("0.25", 0.25)],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    assert DURATION.validate_python(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "2 weeks", "-1s", -1, "1s2", True, float("inf"), float("nan"), "9999d", "٣s", "1 s x"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("64 MiB", 2**26), ("10MB", 10**7), ("0", 0), (5, 5), ("1KiB", 1024), ("3 B", 3)]
)
def test_sizes_are_read(text: object, bytes_: int) -> None:
    assert SIZE.validate_python(text) == bytes_


@pytest.mark.parametrize("text", ["", "MiB", "1.5 MiB", "-1", -1, True, "1 mib"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        SIZE.validate_python(text)


LOCAL = ["127.0.0.1:7070", "127.9.9.9:1", "localhost:1", "[::1]:7070", "unix:/run/maestro.sock", "unix:here"]
ABROAD = [
    "0.0.0.0:7070",
    "[::]:7070",
    "10.0.0.1:1",
    "example.com:443",
    "localhost.example.com:1",
    "[2001:db8::1]:1",
    "127.1:1",
]


@pytest.mark.parametrize("text", LOCAL)
def test_loopback_and_sockets_are_of_this_machine(text: str) -> None:
    assert address(text) == text
    assert is_local(text)


@pytest.mark.parametrize("text", ABROAD)
def test_everything_else_is_not(text: str) -> None:
    assert address(text) == text
    assert not is_local(text)


@pytest.mark.parametrize(
    "text", ["", ":7070", "localhost", "http://localhost:1", "a b:1", "localhost:-1", "::1:7070", "unix:"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|names no socket"):
        address(text)


def test_a_socket_has_no_port() -> None:
    with pytest.raises(ValueError, match="is not an address"):
        host_and_port("unix:/run/maestro.sock")
