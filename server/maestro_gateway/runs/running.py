"""One answer in the making: numbered, joined where it waits, stopped from outside."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from google.rpc import status_pb2

from maestro.v1 import chat_pb2, common_pb2
from maestro_gateway.base.clock import seconds
from maestro_spi.errors import MaestroError, Reason
from maestro_spi.reasons import TABLE
from maestro_stream.fold import Fold
from maestro_stream.merge import merge

ChatEvent = chat_pb2.ChatEvent
ROOM = 64  # events that may wait for a slow reader; then the provider waits too
HEARTBEAT = 15.0
PAD = 64  # deltas are filled up to a multiple of it


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a reader wants the events."""

    heartbeat: float = HEARTBEAT
    window: float = 0.0
    window_bytes: int = 0
    pad: bool = False
    whole: bool = False  # the finished answer inside `completed`

    @classmethod
    def of(cls, request: chat_pb2.ChatRequest) -> "Delivery":
        """As the request says."""
        whole = chat_pb2.CHAT_INCLUDE_FINAL_RESPONSE in request.include
        if not request.HasField("stream"):
            return WHOLE if whole else PLAIN
        stream = request.stream
        return cls(
            heartbeat=seconds(stream.heartbeat) or HEARTBEAT,
            window=seconds(stream.coalesce_window),
            window_bytes=stream.coalesce_bytes,
            pad=stream.pad,
            whole=whole,
        )


PLAIN, WHOLE = Delivery(), Delivery(whole=True)  # as most want it


class Running:
    """Plays a source of events to its end: in the caller's task, or in one of its own, for a reader.

    A reader needs the other task so that reading goes on while a write is in flight: fragments then join the one that
    waits. Whatever ends the answer, the source is closed when `ended` returns: adapter, account and all.
    """

    def __init__(self, chat: str, explain: Callable[[MaestroError], status_pb2.Status], delivery: Delivery) -> None:
        self.chat = chat
        self.fold = Fold()
        self.error: MaestroError | None = None
        # Kept up to date by whoever plays the source, so that an end from outside can tell them too.
        self.usage: common_pb2.Usage | None = None
        self.attempts: list[common_pb2.Attempt] = []
        self.loop = asyncio.get_running_loop()  # asked for once: Python asks the kernel who it is each time
        self._explain = explain
        self._delivery = delivery
        self._sequence = 0
        self._last = ChatEvent()
        self._waiting: deque[ChatEvent] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._listening = False
        self._task: asyncio.Task[Any] | None = None
        self._over = asyncio.Event()

    # What the engine does with it.

    async def play(self, source: AsyncGenerator[ChatEvent]) -> None:
        """Play it here and now, to its end. Nobody listens, so nothing is kept waiting: only the fold grows."""
        self._task = asyncio.current_task(self.loop)
        await self._play(source)

    def start(self, source: AsyncGenerator[ChatEvent]) -> None:
        """Begin, for the reader of `events`."""
        self._listening = True
        self._task = asyncio.create_task(self._play(source), name=self.chat)
        self._task.add_done_callback(lambda _: self._over.set())  # also where it was cancelled before it began

    def stop(self, error: MaestroError) -> None:
        """End it with this error, wherever it is; the first one counts."""
        if self._task is not None and not self.over and self.error is None:
            self.error = error
            self._task.cancel()

    @property
    def over(self) -> bool:
        """Has its source been closed?"""
        return self._task is None or self._over.is_set()

    async def ended(self) -> None:
        """Wait until a stopped source is closed, even when cancelled meanwhile: settling comes first."""
        cancelled: asyncio.CancelledError | None = None
        while not self.over:
            try:
                await self._over.wait()
            except asyncio.CancelledError as again:
                cancelled = again
        if cancelled is not None:
            raise cancelled

    async def leave(self) -> None:
        """The reader has gone: nobody pays for text that nobody reads."""
        if not self.over:
            self.stop(_hung_up())
            await self.ended()

    # The side of the provider.

    async def _play(self, source: AsyncGenerator[ChatEvent]) -> None:
        try:
            async with aclosing(source) as events:
                async for event in events:
                    self._take(event)
                    if len(self._waiting) >= ROOM:
                        await self._until_read()
        except asyncio.CancelledError:
            stopped = self.error is not None
            self.error = self.error or _hung_up()
            self._interrupt(self.error)
            if not (stopped and self._task is not None and self._task.uncancel() == 0):
                raise  # somebody else wants this task to end
        except MaestroError as error:
            self.error = self.error or error
            self._interrupt(self.error)
        except Exception as fault:  # a task ends here; the envelope, which tells no secrets, gets it as the cause
            self.error = MaestroError(Reason.INTERNAL, "a fault of the gateway ended the answer")
            self.error.__cause__ = fault
            self._interrupt(self.error)
        finally:
            self._over.set()
            _wake(self._reader)

    def _take(self, event: ChatEvent) -> None:
        self._sequence += 1 + event.merged
        event.sequence = self._sequence
        self._last = event
        self.fold.add(event)
        if self._delivery.whole and event.HasField("completed"):
            event.completed.response.CopyFrom(self.fold.response())
        if self._listening:
            waiting = self._waiting
            if not (waiting and merge(waiting[-1], event)):
                waiting.append(event)
                if self._reader is not None:
                    _wake(self._reader)
            elif 0 < self._delivery.window_bytes <= waiting[-1].ByteSize():
                _wake(self._reader)

    def _interrupt(self, error: MaestroError) -> None:
        """The last event of a failed stream. Before `started` there is none: the status alone says it."""
        if self._last.HasField("completed") and error.reason is not Reason.INTERNAL:
            self.error = None  # the answer was whole when this came, and has been told so
            return
        error.usage = error.usage or self.usage
        error.attempts = error.attempts or self.attempts
        if error.attempts and error.attempts[-1].code and not error.attempts[-1].reason:
            # Stopped from outside: the try did not know why.
            error.attempts[-1].code = TABLE[error.reason].code
            error.attempts[-1].reason = f"ERROR_REASON_{error.reason.name}"
        if self._sequence:
            error.chat = error.chat or self.chat
            error.metadata.setdefault("lastSequence", str(self._sequence))
            last = chat_pb2.ChatInterrupted(error=self._explain(error), usage=error.usage, attempts=error.attempts)
            self._take(ChatEvent(interrupted=last))

    async def _until_read(self) -> None:
        self._room = self.loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    # The side of the reader.

    async def events(self) -> AsyncGenerator[ChatEvent]:
        """Each event once, in order, to its end event; then the error, if there was one."""
        beat = _Heartbeat(self._delivery.heartbeat, self._pulse)
        try:
            while True:
                while self._waiting:
                    if self._delivery.window:
                        await self._gather()
                    event = self._waiting.popleft()
                    if self._room is not None and len(self._waiting) <= ROOM // 2:
                        _wake(self._room)
                    yield _padded(event) if self._delivery.pad else event
                if self.over:
                    break
                await self._until_more(beat)
            await self.ended()
            if self.error is not None:
                raise self.error
        finally:
            beat.cancel()
            await self.leave()

    async def _until_more(self, beat: "_Heartbeat") -> None:
        self._reader = self.loop.create_future()
        beat.waiting_since = beat.now()
        try:
            await self._reader
        finally:
            self._reader = None
            beat.waiting_since = None

    async def _gather(self) -> None:
        """Let fragments join for the window asked for, unless there is enough, or something else behind."""
        first = self._waiting[0]
        if len(self._waiting) > 1 or self.over or not _joinable(first):
            return
        if 0 < self._delivery.window_bytes <= first.ByteSize():
            return
        loop = asyncio.get_running_loop()
        self._reader = enough = loop.create_future()
        timer = loop.call_later(self._delivery.window, _wake, enough)
        try:
            await enough
        finally:
            timer.cancel()
            self._reader = None

    def _pulse(self) -> None:
        """A sign of life, between `started` and the end."""
        if self._sequence and not self._waiting and not self.over:
            self._take(ChatEvent(heartbeat=chat_pb2.Heartbeat()))


class _Heartbeat:
    """Calls `pulse` after so much silence: one lazy timer a stream."""

    def __init__(self, after: float, pulse: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self.waiting_since: float | None = None
        self._after = after
        self._pulse = pulse
        self._call_at = loop.call_at
        self._timer = self._call_at(self.now() + after, self._look)

    def cancel(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        since = self.waiting_since
        if since is not None and self.now() - since >= self._after:
            self._pulse()
            since = None
        self._timer = self._call_at((self.now() if since is None else since) + self._after, self._look)


def _hung_up() -> MaestroError:
    return MaestroError(Reason.CALLER_CANCELLED, "the caller has hung up")


def _wake(sleeper: asyncio.Future[None] | None) -> None:
    if sleeper is not None and not sleeper.done():
        sleeper.set_result(None)


def _joinable(event: ChatEvent) -> bool:
    kind = event.WhichOneof("event")
    return kind is not None and kind.endswith("_delta")


def _padded(event: ChatEvent) -> ChatEvent:
    """Lengths of encrypted packets then tell nothing of the text."""
    if _joinable(event):
        event.padding = secrets.token_bytes(-(event.ByteSize() + 2) % PAD or PAD)  # never none: that would show
    return event
