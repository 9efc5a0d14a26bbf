"""Health over the wire: for balancers by gRPC, for those who ask no other way by HTTP, and gRPC's own statistics."""

import asyncio
import contextlib
from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maestro_gateway.transport.grpc_server import CannotListenError
from tests.doubles.asking import ask, refused
from tests.doubles.gateway import BEARER, Wire, wired

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ["", "maestro.v1.ChatService", "maestro.v1.CapabilityService"]
ADMIN = "listen: {probes: '127.0.0.1:0', channelz: '127.0.0.1:0'}"


@pytest.mark.parametrize("name", NAMES)
async def test_the_server_and_each_service_say_that_they_serve(wire: Wire, name: str) -> None:
    answer = await health_pb2_grpc.HealthStub(wire.channel).Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == SERVING


async def test_a_service_that_is_not_there_is_not_found(wire: Wire) -> None:
    request = health_pb2.HealthCheckRequest(service="maestro.v1.NoService")
    answer = await refused(health_pb2_grpc.HealthStub(wire.channel).Check(request))
    assert answer.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", NAMES)
async def test_whoever_watches_sees_the_gateway_leave_while_a_call_still_runs(tmp_path: Path, name: str) -> None:
    request = ask(script=[{"text": ["a ", "b ", "c "], "every": 0.05}])
    async with wired(tmp_path, "listen: {drain: {notice: 100ms}}") as wire, asyncio.timeout(5):
        running = wire.chat.StreamChat(request, metadata=BEARER)
        assert (await running.read()).HasField("started")
        watch = health_pb2_grpc.HealthStub(wire.channel).Watch(health_pb2.HealthCheckRequest(service=name))
        assert (await watch.read()).status == SERVING
        draining = asyncio.create_task(wire.gateway.drain(asyncio.Event(), notice=True))
        assert (await watch.read()).status == NOT_SERVING
        assert not draining.done()
        watch.cancel()
        last = None
        while event := await running.read():
            last = event
        assert last is not None
        assert last.HasField("completed")
        assert await draining is True


async def get(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_probes_answer_over_http(tmp_path: Path) -> None:
    async with wired(tmp_path, ADMIN) as wire:
        probes = wire.gateway.probes
        for path, expected in (("/livez", 200), ("/readyz", 200), ("/readyz?verbose=1", 200), ("/other", 404)):
            assert status(await get(probes, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())) == expected
        assert status(await get(probes, b"POST /livez HTTP/1.1\r\nhost: x\r\n\r\n")) == 405
        head = await get(probes, b"HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        assert head.endswith(b"\r\n\r\n")
        await wire.gateway.drain(asyncio.Event(), notice=False)
        assert status(await get(probes, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")) == 503
        assert status(await get(probes, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")) == 200


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x00\r\n\r\n", b"x" * 20_000, b"GET\r\n\r\n", b"\r\n\r\n"])
async def test_a_probe_that_speaks_no_http_breaks_nothing(tmp_path: Path, noise: bytes) -> None:
    async with wired(tmp_path, ADMIN) as wire:
        with contextlib.suppress(ConnectionError):  # it was not read to its end
            await get(wire.gateway.probes, noise)
        assert status(await get(wire.gateway.probes, b"GET /livez HTTP/1.1\r\n\r\n")) == 200


async def test_channelz_answers_on_its_own_port_alone(tmp_path: Path) -> None:
    async with wired(tmp_path, ADMIN) as wire, grpc.aio.insecure_channel(wire.gateway.channelz) as channel:
        await wire.chat.CompleteChat(ask(), metadata=BEARER)
        request = channelz_pb2.GetServersRequest()
        servers = (await channelz_pb2_grpc.ChannelzStub(channel).GetServers(request)).server
        assert sum(server.data.calls_started for server in servers) >= 1
        answer = await refused(channelz_pb2_grpc.ChannelzStub(wire.channel).GetServers(request, metadata=BEARER))
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def test_both_are_off_unless_asked_for(wire: Wire) -> None:
    assert (wire.gateway.probes, wire.gateway.channelz) == ("", "")


@pytest.mark.parametrize("setting", ["probes", "channelz"])
async def test_a_port_that_is_taken_is_named(tmp_path: Path, setting: str) -> None:
    async with wired(tmp_path, ADMIN) as wire:
        taken = getattr(wire.gateway, setting)
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(CannotListenError, match=f"listen.{setting}"):
            async with wired(other, f"listen: {{{setting}: '{taken}'}}"):
                pass
