"""Leaving in good order: streams that run may end, and what is cut off is settled before the gateway goes."""

import asyncio
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maestro.v1 import chat_pb2, content_pb2
from tests.doubles.endless import Endless
from tests.doubles.gateway import BEARER, Around, RunningGateway, Wire, wired
from tests.doubles.process import serving

STREAMS = 500
HELLO = chat_pb2.ChatRequest(
    messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hello")])]
)
NOW = "listen: {drain: {notice: 0, grace: 30s, barrier: 3s}}"
SOON = "listen: {drain: {notice: 0, grace: 500ms, barrier: 3s}}"


async def opened(wire: Wire, plug: Endless) -> list[asyncio.Task[list[chat_pb2.ChatEvent]]]:
    """So many streams, all of them speaking."""

    async def listen() -> list[chat_pb2.ChatEvent]:
        return [event async for event in wire.chat.StreamChat(HELLO, metadata=BEARER)]

    readers = [asyncio.create_task(listen()) for _ in range(STREAMS)]
    async with asyncio.timeout(30):
        while plug.speaking < STREAMS:
            await asyncio.sleep(0)
    return readers


async def test_streams_that_run_end_well_inside_the_grace(tmp_path: Path) -> None:
    settled: Counter[str] = Counter()
    around = Around(settle=lambda settlement: settled.update([settlement.outcome]))
    async with wired(tmp_path, NOW, around=around) as wire:
        stop = asyncio.Event()
        plug = Endless(lambda: None, stop=stop)
        wire.gateway.fleet.plugs["scripted"] = plug
        readers = await opened(wire, plug)
        leaving = asyncio.create_task(wire.gateway.drain(asyncio.Event(), notice=False))
        while wire.gateway.ready:
            await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*readers)
            assert await leaving
        assert all(events[-1].HasField("completed") for events in answers)
        assert settled == {"OK": STREAMS}
        assert wire.gateway.envelope.open == 0


async def test_streams_that_do_not_end_are_cut_and_settled_before_the_gateway_goes(tmp_path: Path) -> None:
    settled: Counter[str] = Counter()
    around = Around(settle=lambda settlement: settled.update([settlement.outcome]))
    async with wired(tmp_path, SOON, around=around) as wire:
        plug = Endless(lambda: None, stop=asyncio.Event())
        wire.gateway.fleet.plugs["scripted"] = plug
        readers = await opened(wire, plug)
        async with asyncio.timeout(10):
            assert await wire.gateway.drain(asyncio.Event(), notice=False)
        assert settled == {"CANCELLED": STREAMS}
        assert plug.speaking == 0
        ends = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(end, grpc.aio.AioRpcError) for end in ends)


async def test_health_says_that_the_gateway_is_leaving(wire: Wire) -> None:
    stub = health_pb2_grpc.HealthStub(wire.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="maestro.v1.ChatService"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    leaving = asyncio.create_task(wire.gateway.drain(asyncio.Event(), notice=False))
    async with asyncio.timeout(5):
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
    await leaving


async def stalled(
    gateway: RunningGateway, channel: grpc.aio.Channel
) -> "grpc.aio.UnaryStreamCall[object, chat_pb2.ChatEvent]":
    """A stream that has said something, and will never say more."""
    from maestro.v1 import chat_pb2_grpc

    request = chat_pb2.ChatRequest()
    request.CopyFrom(HELLO)
    request.provider_options_json["scripted"] = '[{"text": "one "}, {"stall": true}]'
    metadata = (("authorization", f"Bearer {gateway.key}"),)
    call = chat_pb2_grpc.ChatServiceStub(channel).StreamChat(request, metadata=metadata)
    while not (await call.read()).text_delta:
        pass
    return call


async def test_a_second_signal_cuts_at_once_and_still_settles(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            call = await stalled(gateway, channel)
            os.kill(gateway.process.pid, signal.SIGINT)
            assert gateway.process.stdout is not None
            assert "leaving: 1 calls may finish" in await asyncio.to_thread(gateway.process.stdout.readline)
            os.kill(gateway.process.pid, signal.SIGINT)
            assert await asyncio.to_thread(gateway.process.wait, 5) == 0
            assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_an_idle_gateway_leaves_at_the_first_signal(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path) as gateway:
            os.kill(gateway.process.pid, number)
            assert await asyncio.to_thread(gateway.process.wait, 5) == 0


def test_a_taken_address_is_told_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        second = subprocess.run(
            [*gateway.process.args, "--address", gateway.address],  # type: ignore[misc,list-item]
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MAESTRO_KEY": "k"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert second.returncode == 1
        assert f"cannot listen on {gateway.address}" in second.stderr
        assert "Traceback" not in second.stderr
