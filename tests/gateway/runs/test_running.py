"""One answer in the making: whatever ends it, its source is closed and its stream has one end."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
from google.rpc import status_pb2

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.runs.running import ROOM, Delivery, Running
from maestro_spi.errors import MaestroError, Reason

Event = chat_pb2.ChatEvent
Source = Callable[[], AsyncGenerator[Event]]


def explain(error: MaestroError) -> status_pb2.Status:
    return status_pb2.Status(code=error.reason.value, message=error.message)


def fresh(delivery: Delivery | None = None) -> Running:
    return Running("chats/1", explain, delivery or Delivery())


class Closing:
    """A source that notes when it has been closed."""

    def __init__(self, events: list[Event], *, stall: bool = False) -> None:
        self.closed = asyncio.Event()
        self.given = 0
        self._events = events
        self._stall = stall

    async def play(self) -> AsyncGenerator[Event]:
        try:
            for event in self._events:
                self.given += 1
                yield event
            if self._stall:
                await asyncio.Event().wait()
        finally:
            self.closed.set()


def warnings(count: int) -> list[Event]:
    """Events that never join."""
    return [Event(warning=common_pb2.Warning(code=str(number))) for number in range(count)]


STARTED = Event(started=chat_pb2.ChatStarted(chat="chats/1"))
COMPLETED = Event(completed=chat_pb2.ChatCompleted(finish_reason=chat_pb2.FINISH_REASON_STOP))


async def read(running: Running) -> tuple[list[Event], MaestroError | None]:
    events: list[Event] = []
    async with asyncio.timeout(5):
        try:
            async for event in running.events():
                events.append(event)
        except MaestroError as error:
            return events, error
    return events, None


def ends(events: list[Event]) -> list[str]:
    kinds = [str(event.WhichOneof("event")) for event in events]
    return [kind for kind in kinds if kind in {"completed", "interrupted"}]


async def turns(count: int = 200) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_provider_waits_once_enough_has_gathered() -> None:
    source = Closing([STARTED, *warnings(ROOM * 3), COMPLETED])
    running = fresh()
    running.start(source.play())
    await turns()
    assert source.given == ROOM
    events, error = await read(running)
    assert error is None
    assert [event.sequence for event in events] == list(range(1, ROOM * 3 + 3))
    assert source.closed.is_set()


async def test_an_answer_that_was_whole_stays_whole_though_it_is_stopped_before_it_is_read() -> None:
    for count in (ROOM - 3, ROOM - 2, ROOM - 1):  # the last event may be the one that has to wait for room
        running = fresh()
        running.start(Closing([STARTED, *warnings(count), COMPLETED]).play())
        await turns()
        running.stop(MaestroError(Reason.CANCELLED_BY_OTHER, "too late"))
        await turns()
        events, error = await read(running)
        assert ends(events) in (["completed"], ["interrupted"])
        assert (error is None) == (ends(events) == ["completed"])


async def test_stopped_from_outside_the_source_is_closed_and_the_stream_says_why() -> None:
    source = Closing([STARTED], stall=True)
    running = fresh()
    running.start(source.play())
    await turns()
    running.stop(MaestroError(Reason.CANCELLED_BY_OTHER, "enough"))
    running.stop(MaestroError(Reason.DEADLINE_EXCEEDED, "the first reason counts"))
    events, error = await read(running)
    assert source.closed.is_set()
    assert ends(events) == ["interrupted"]
    assert error is not None
    assert error.reason is Reason.CANCELLED_BY_OTHER
    assert error.metadata["lastSequence"] == "1"


async def test_before_it_has_started_a_failure_is_a_status_alone() -> None:
    source = Closing([], stall=True)
    running = fresh()
    running.start(source.play())
    await turns()
    running.stop(MaestroError(Reason.DEADLINE_EXCEEDED, "late"))
    events, error = await read(running)
    assert events == []
    assert error is not None
    assert "lastSequence" not in error.metadata


async def test_a_fault_of_a_source_is_ours_and_keeps_its_cause() -> None:
    async def broken() -> AsyncGenerator[Event]:
        yield STARTED
        raise ZeroDivisionError("secret")

    running = fresh()
    running.start(broken())
    events, error = await read(running)
    assert ends(events) == ["interrupted"]
    assert error is not None
    assert error.reason is Reason.INTERNAL
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert "secret" not in events[-1].interrupted.error.message


async def test_a_reader_who_leaves_closes_the_source_before_it_is_gone() -> None:
    source = Closing([STARTED, *warnings(3)], stall=True)
    running = fresh()
    running.start(source.play())
    events = running.events()
    await anext(events)
    await events.aclose()
    assert source.closed.is_set()
    assert running.over


async def test_cancelled_while_it_settles_it_settles_all_the_same() -> None:
    settled = asyncio.Event()
    may_settle = asyncio.Event()

    async def slow_to_close() -> AsyncGenerator[Event]:
        try:
            yield STARTED
            await asyncio.Event().wait()
        finally:
            await may_settle.wait()
            settled.set()

    running = fresh()
    running.start(slow_to_close())
    await turns(5)
    leaving = asyncio.create_task(running.leave())
    await turns(5)
    leaving.cancel()
    await turns(5)
    assert not leaving.done()
    may_settle.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert settled.is_set()


@pytest.mark.parametrize("size", range(1, 140))
async def test_padding_fills_every_delta_to_the_same_steps(size: int) -> None:
    running = fresh(Delivery(pad=True))
    running.start(Closing([STARTED, Event(text_delta="x" * size), COMPLETED]).play())
    events, _ = await read(running)
    assert events[1].ByteSize() % 64 == 0
