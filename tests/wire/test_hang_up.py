"""A caller who hangs up: wherever it happens, everything is given back, in order, once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from maestro.v1 import capability_pb2, chat_pb2, content_pb2
from maestro_gateway.base.call import Call
from maestro_gateway.base.telemetry import Telemetry
from maestro_gateway.config.telemetry import Observed
from tests.doubles.endless import Endless
from tests.doubles.gateway import BEARER, Around, Wire, wired

POINTS = 200
HELLO = chat_pb2.ChatRequest(
    messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hello")])]
)
ORDER = ["adapter closed", "settled", "inner step left", "outer step left", "coroutine cancelled"]


class Notes:
    """What ended, in the order in which it did; a queue so that a test can wait for it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.writes = 0  # begun
        self.written = 0

    async def five(self) -> list[str]:
        async with asyncio.timeout(5):
            return [await self.queue.get() for _ in ORDER]

    async def blocked(self) -> None:
        """Wait until a write has not come to its end for many turns of the loop: the reader's window is full."""
        async with asyncio.timeout(5):
            turns, seen = 0, -1
            while turns < 40:
                await asyncio.sleep(0)
                turns = turns + 1 if self.writes == self.written + 1 == seen else 0
                seen = self.writes


class Noted:
    """A step that only notes its end."""

    def __init__(self, notes: Notes, name: str) -> None:
        self._notes = notes
        self._name = name

    async def enter(self, call: Call) -> None: ...

    def leave(self, call: Call, error: BaseException | None) -> None:
        self._notes.queue.put_nowait(f"{self._name} step left")


class Writing:
    """gRPC's context, with an eye on its writes."""

    def __init__(self, context: Any, notes: Notes) -> None:
        self._context = context
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        self._notes.writes += 1
        await self._context.write(message)
        self._notes.written += 1


class Outermost(grpc.aio.ServerInterceptor):
    """Sees how the coroutine that gRPC runs ends."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        behaviour = handler.unary_stream or handler.unary_unary
        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler

        async def watched(request: Any, context: Any) -> Any:
            try:
                self._notes.writes = self._notes.written = 0
                return await behaviour(request, Writing(context, self._notes))
            except asyncio.CancelledError:
                self._notes.queue.put_nowait("coroutine cancelled")
                raise

        return make(watched, handler.request_deserializer, handler.response_serializer)


@asynccontextmanager
async def endless(folder: Path, fragment: str, *, tracing: bool) -> AsyncGenerator[tuple[Wire, Notes]]:
    notes = Notes()
    around = Around(
        steps=[Noted(notes, "outer"), Noted(notes, "inner")],
        interceptors=[Outermost(notes)],
        settle=lambda _: notes.queue.put_nowait("settled"),
    )
    async with wired(folder, observed=traced() if tracing else None, around=around) as wire:
        wire.gateway.fleet.plugs["scripted"] = Endless(lambda: notes.queue.put_nowait("adapter closed"), fragment)
        yield wire, notes


def traced() -> Observed:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return Observed(Telemetry(provider.get_tracer("test")), provider, [provider.shutdown])


@pytest.mark.parametrize("tracing", [False, True], ids=["tracing off", "tracing on"])
@pytest.mark.parametrize("size", [16, 4096], ids=["small events", "events that block the write"])
async def test_hanging_up_anywhere_gives_everything_back_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tracing: bool, size: int
) -> None:
    caplog.set_level(logging.WARNING)
    async with endless(tmp_path, "x" * size, tracing=tracing) as (wire, notes):
        await wire.capability.GetServerInfo(capability_pb2.GetServerInfoRequest(), metadata=BEARER)
        assert [await notes.queue.get() for _ in range(2)] == ["inner step left", "outer step left"]
        before = len(asyncio.all_tasks())
        for point in range(POINTS):
            call = wire.chat.StreamChat(HELLO, metadata=BEARER)
            for _ in range(point):
                assert await call.read() is not grpc.aio.EOF
            if not point:
                await call.wait_for_connection()
            if size > 1024:
                await notes.blocked()
            call.cancel()
            assert await notes.five() == ORDER, f"point {point}"
        assert notes.queue.empty()
        assert await as_many_as(before) <= before
    assert [record.getMessage() for record in caplog.records] == []


async def test_hanging_up_on_a_whole_answer_gives_everything_back_too(tmp_path: Path) -> None:
    async with endless(tmp_path, "x", tracing=False) as (wire, notes):
        plug = wire.gateway.fleet.plugs["scripted"]
        for _ in range(20):
            call = wire.chat.CompleteChat(HELLO, metadata=BEARER)
            async with asyncio.timeout(5):
                while not plug.speaking:  # type: ignore[attr-defined]
                    await asyncio.sleep(0)
            call.cancel()
            assert await notes.five() == ORDER


async def as_many_as(before: int) -> int:
    """How many tasks there are, once those that are ending have ended; gRPC itself always has some."""
    async with asyncio.timeout(5):
        while (left := len(asyncio.all_tasks())) > before:
            await asyncio.sleep(0)
    return left
