"""What everything stands on: who may what, names in order, time in the contract's words, one value at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_gateway.base.call import NOBODY, Caller
from maestro_gateway.base.clock import SystemClock, duration, seconds, timestamp
from maestro_gateway.base.ids import ALPHABET, TimedIds
from maestro_gateway.base.live import Live
from tests.doubles.clock import HandClock


@pytest.mark.parametrize(
    ("scopes", "asked", "expected"),
    [
        ({"chat"}, "chat", True),
        ({"tools"}, "tools.invoke", True),
        ({"tools.invoke"}, "tools.invoke", True),
        ({"tools.invoke"}, "tools.read", False),
        ({"tools.invoke"}, "tools", False),
        ({"*"}, "admin", True),
        ({"chat"}, "chats", False),
        ({"chat"}, "admin", False),
        (set(), "chat", False),
    ],
)
def test_a_noun_holds_its_verbs_and_a_star_holds_all(scopes: set[str], asked: str, expected: bool) -> None:
    assert Caller(tenant="t", key="k", scopes=frozenset(scopes)).may(asked) is expected


def test_nobody_may_nothing() -> None:
    assert not NOBODY.may("chat")
    assert not NOBODY.may("")


def test_names_sort_by_birth_and_are_never_the_same() -> None:
    clock = HandClock()
    ids = TimedIds(clock)
    names = []
    for _ in range(50):
        names.append(ids.new())
        clock.now += 0.001
    assert sorted(names) == names
    assert len({len(name) for name in names}) == 1
    assert set("".join(names)) <= set(ALPHABET)
    assert len({ids.new() for _ in range(1000)}) == 1000


@given(st.floats(min_value=0, max_value=10**9))
def test_a_duration_comes_back_to_the_nanosecond(value: float) -> None:
    assert seconds(duration(value)) == pytest.approx(value, abs=1e-9, rel=1e-12)


@given(st.integers(min_value=0, max_value=2**62))
def test_a_moment_comes_back_exactly(wall: int) -> None:
    assert timestamp(wall).ToNanoseconds() == wall


async def test_the_real_clock_goes_forward() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.wall() > 1_600_000_000 * 10**9


def test_a_value_is_swapped_whole_and_the_old_one_comes_back() -> None:
    live = Live("old")
    assert live.value == "old"
    assert live.swap("new") == "old"
    assert live.value == "new"
