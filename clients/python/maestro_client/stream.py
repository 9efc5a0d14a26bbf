"""A chat's answer as it comes: events, text, and the answer they fold to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import grpc

from maestro.v1 import chat_pb2
from maestro_client.call import ServerStream
from maestro_client.errors import MaestroError, cut, error, from_status
from maestro_stream.fold import Fold

PATIENCE = 1.0  # seconds that a call whose last event is here may take to end


class ChatStream:
    """The events of one answer, once.

    Use it as a context manager: leaving it stops an answer that is not whole yet. The call begins when it is entered
    or first read. A failure is a MaestroError with the answer so far in `partial`; a stream that stops without its last
    event is one too. Events newer than this client are passed over.
    """

    def __init__(self, start: Callable[[], ServerStream[chat_pb2.ChatEvent]]) -> None:
        self._start = start
        self._call: ServerStream[chat_pb2.ChatEvent] | None = None
        self._fold = Fold()
        self._request_id = ""
        self._begun = False
        self._told = False  # the last event is here
        self._closed = False
        self._failure: MaestroError | None = None

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> chat_pb2.ChatEvent:
        while not self._told and self._failure is None:
            event = await self._next()
            match event.WhichOneof("event"):
                case None:
                    continue
                case "started":
                    self._request_id = event.started.request_id
                case "completed":
                    self._told = True
                case "interrupted":
                    self._told = True
                    await self.aclose()
                    raise self._fail(from_status(event.interrupted.error))
                case _:
                    pass
            return event
        raise StopAsyncIteration

    async def text(self) -> AsyncIterator[str]:
        """The text alone, as it comes. It cannot be taken back: with `allow_midstream_restart`, read the events."""
        async for event in self:
            if event.WhichOneof("event") == "text_delta":
                yield event.text_delta

    @property
    def response(self) -> chat_pb2.ChatResponse:
        """The answer so far; its state is RUNNING until the last event."""
        return self._fold.response()

    async def final(self) -> chat_pb2.ChatResponse:
        """Read what is left; the whole answer."""
        async for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        await self.aclose()
        return self.response

    def cancel(self) -> None:
        """Stop the answer; whoever is reading it gets Cancelled."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    async def aclose(self) -> None:
        """Let go of the call: a whole answer's ends by itself, any other is stopped."""
        if self._call is not None and self._told:
            with suppress(MaestroError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while await self._call.read() is not None:
                        pass
        self.cancel()

    def _open(self) -> ServerStream[chat_pb2.ChatEvent]:
        if self._call is None:
            if self._closed:
                raise error(grpc.StatusCode.CANCELLED, "the stream was closed before it was read")
            self._call = self._start()
        return self._call

    async def _next(self) -> chat_pb2.ChatEvent:
        try:
            event = await self._open().read()
        except MaestroError as failure:
            failed = self._fail(failure)
            if failed is failure:
                raise
            raise failed from None
        if event is None:
            raise self._fail(cut("the stream ended before the answer did"))
        self._begun = True
        self._fold.add(event)
        return event

    def _fail(self, failure: MaestroError) -> MaestroError:
        if self._begun:
            if failure.code is grpc.StatusCode.UNAVAILABLE and not failure.reason:
                failure = cut(failure.message)  # the connection went: what was bought is not to be bought again
            failure.partial = self.response
            failure.request_id = failure.request_id or self._request_id
        self._failure = failure
        return failure
