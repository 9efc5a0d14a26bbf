"""Outermost: writes each message, closes what it read from."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
OURS = "/maestro."
GONE = 5.0  # seconds in which gRPC surely tells that a caller has gone
STALL = 15.0  # seconds that a caller may leave a message unread

# The generators behind the one that Deliver reads: a tracing interceptor in between iterates, but does not close them.
OPENED: ContextVar[list[AsyncGenerator[Any]]] = ContextVar("opened")


class Deliver(grpc.aio.ServerInterceptor):
    """What gRPC runs for a stream is the coroutine here: it writes, and sees CancelledError when the caller hangs up.

    A generator in its place would see GeneratorExit, or nothing until the garbage collector comes by. Whatever the
    generators behind it hold is given back, innermost first, before the coroutine ends.
    """

    def __init__(self, stall: float = STALL) -> None:
        self._stall = stall

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        # Other services, such as health, bring handlers of their own that write by themselves.
        if handler is None or not handler.response_streaming or not handler_call_details.method.startswith(OURS):
            return handler
        answer: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(self._writer(answer), handler.request_deserializer, handler.response_serializer)

    def _writer(self, answer: Callable[[Any, Any], AsyncGenerator[Any]]) -> Callable[[Any, Any], Awaitable[None]]:
        async def deliver(request: Any, context: Any) -> None:
            opened: list[AsyncGenerator[Any]] = []
            OPENED.set(opened)
            gone = False
            async with _Watch(self._stall) as watch, aclosing(answer(request, context)) as messages:
                try:
                    async for message in messages:
                        watch.writing_since = watch.now()
                        await context.write(message)
                        watch.writing_since = None
                except grpc.aio.InternalError:
                    gone = True
                finally:
                    for generator in reversed(opened):
                        await generator.aclose()
            if gone:
                await hung_up()

        return deliver


async def hung_up() -> None:
    """To be awaited where gRPC could not send: the caller has gone, and the cancellation that says so is on its way.

    Whoever went on would end the call as a fault, which it is not, and gRPC would log one.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(GONE):
            await asyncio.Event().wait()


class _Watch:
    """Ends the call of a reader who stopped reading: one lazy timer a stream, nothing but two assignments a message."""

    __slots__ = ("_limit", "_task", "_timer", "now", "writing_since")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.writing_since: float | None = None

    async def __aenter__(self) -> "_Watch":
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self._task = asyncio.current_task()
        self._timer = loop.call_later(self._limit, self._look, loop)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        since = self.writing_since
        if since is not None and self.now() - since >= self._limit and self._task is not None:
            self._task.cancel("the caller has stopped reading")
            return
        self._timer = loop.call_at((self.now() if since is None else since) + self._limit, self._look, loop)
