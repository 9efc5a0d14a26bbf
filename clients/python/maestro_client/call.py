"""One call: its deadline, metadata and span, and its failure in our words."""
# ruff: noqa: ASYNC109 - these timeouts are deadlines: they travel with the call.

import asyncio
from collections.abc import Mapping
from typing import Generic, TypeVar, cast
from weakref import WeakSet

import grpc

from maestro_client.channel import Channel
from maestro_client.errors import error, from_call
from maestro_client.tracing import Span, Tracing

Q = TypeVar("Q")
A = TypeVar("A")
Metadata = Mapping[str, str]

STOPPED = "the call was cancelled here"


class ServerStream(Generic[A]):
    """An answer of many messages, as it comes. Whoever opened it reads it to its end or cancels it."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Q, A], span: Span) -> None:
        self._call = call
        self._span = span
        self._over = False

    async def read(self) -> A | None:
        """The next message; None after the last of a call that ended well."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as failure:
            failed = from_call(failure)
            self._end(failed.code, failed.message)
            raise failed from None
        except asyncio.CancelledError:
            self.cancel()  # gRPC leaves a call alone whose reader is cancelled while the request is still on its way
            _raise_unless_the_task_ends()
            raise
        if message is grpc.aio.EOF:
            self._end(grpc.StatusCode.OK)
            return None
        return cast(A, message)

    def cancel(self) -> None:
        """Stop the call; nothing happens where it is over."""
        self._call.cancel()
        self._end(grpc.StatusCode.CANCELLED, STOPPED)

    def _end(self, code: grpc.StatusCode, message: str = "") -> None:
        if not self._over:
            self._over = True
            self._span.end(code, message)


class Calls:
    """Makes calls on one channel. A call's own timeout, in seconds, goes before the client's."""

    def __init__(self, channel: Channel, tracing: Tracing, timeout: float | None) -> None:
        self.channel = channel
        self._tracing = tracing
        self._timeout = timeout
        self._made: WeakSet[grpc.aio.Call] = WeakSet()

    async def close(self) -> None:
        """Cancel what still runs, and hang up."""
        for call in list(self._made):  # the channel itself finds only calls that a task waits for
            call.cancel()
        await self.channel.close()

    async def unary(
        self,
        rpc: str,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, A],
        request: Q,
        timeout: float | None,
        metadata: Metadata | None,
    ) -> A:
        """Ask, and wait for the answer."""
        span = self._tracing.start(rpc)
        code, said = grpc.StatusCode.UNKNOWN, ""
        try:
            call = method(request, timeout=self._limit(timeout), metadata=self._metadata(span, metadata))
            self._made.add(call)
            answer = await call
            code = grpc.StatusCode.OK
            return answer
        except grpc.aio.AioRpcError as failure:
            failed = from_call(failure)
            code, said = failed.code, failed.message
            raise failed from None
        except asyncio.CancelledError:
            code, said = grpc.StatusCode.CANCELLED, STOPPED
            _raise_unless_the_task_ends()
            raise
        finally:
            span.end(code, said)

    def stream(
        self,
        rpc: str,
        method: grpc.aio.UnaryStreamMultiCallable[Q, A],
        request: Q,
        timeout: float | None,
        metadata: Metadata | None,
    ) -> ServerStream[A]:
        """Ask, and read the answer as it comes."""
        span = self._tracing.start(rpc)
        call = method(request, timeout=self._limit(timeout), metadata=self._metadata(span, metadata))
        self._made.add(call)
        return ServerStream(call, span)

    def _limit(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout

    def _metadata(self, span: Span, metadata: Metadata | None) -> grpc.aio.Metadata:
        own = {key.lower(): value for key, value in (metadata or {}).items()}
        return grpc.aio.Metadata(*{**self.channel.metadata, **span.metadata, **own}.items())


def _raise_unless_the_task_ends() -> None:
    """gRPC says CancelledError also where the call alone was cancelled, from another task or by closing the channel."""
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise error(grpc.StatusCode.CANCELLED, STOPPED) from None
