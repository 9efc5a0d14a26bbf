"""Reflection over the wire: open on this machine, for callers with a key elsewhere, off where the operator says so."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.doubles.asking import refused
from tests.doubles.gateway import BEARER, Wire, wired

VERSIONS = ["v1", "v1alpha"]
SERVICES = {
    "maestro.v1.ChatService",
    "maestro.v1.CapabilityService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
Answer = reflection_pb2.ServerReflectionResponse


async def reflect(wire: Wire, version: str, metadata: Any = (), **asked: str) -> Answer:
    async def requests() -> AsyncGenerator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**asked)

    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    call: Any = wire.channel.stream_stream(
        method, reflection_pb2.ServerReflectionRequest.SerializeToString, Answer.FromString
    )(requests(), metadata=metadata)
    async with asyncio.timeout(5):
        answers: list[Answer] = [answer async for answer in call]
    return answers[0]


async def services(wire: Wire, version: str, metadata: Any = ()) -> set[str]:
    answer = await reflect(wire, version, metadata, list_services="*")
    return {service.name for service in answer.list_services_response.service}


@pytest.mark.parametrize("version", VERSIONS)
async def test_on_this_machine_anybody_may_ask(wire: Wire, version: str) -> None:
    assert await services(wire, version) >= SERVICES


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_is_described_with_all_it_stands_on(wire: Wire, version: str) -> None:
    for name in await services(wire, version):
        pending, seen = [{"file_containing_symbol": name}], set()
        while pending:
            answer = await reflect(wire, version, **pending.pop())
            assert not answer.HasField("error_response"), name
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                pending += [{"file_by_filename": needed} for needed in file.dependency if needed not in seen]
                seen.update([file.name, *file.dependency])


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_not_there_is_not_found(wire: Wire, version: str) -> None:
    answer = await reflect(wire, version, file_containing_symbol="maestro.v1.NoService")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_off_this_machine_only_callers_with_a_key_may_ask(tmp_path: Path, version: str) -> None:
    far = {"MAESTRO_ADDRESS": "0.0.0.0:0"}
    async with wired(tmp_path, "listen: {insecure: true}", environ=far) as wire:
        assert await services(wire, version, BEARER) >= SERVICES
        for metadata, reason in (
            ((), "CREDENTIALS_MISSING"),
            ((("authorization", "Bearer other"),), "CREDENTIALS_INVALID"),
            ((*BEARER, *BEARER), "CREDENTIALS_INVALID"),
        ):
            answer = await refused(services(wire, version, metadata))
            assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


@pytest.mark.parametrize("version", VERSIONS)
async def test_switched_off_it_is_not_there(tmp_path: Path, version: str) -> None:
    async with wired(tmp_path, "listen: {reflection: false}") as wire:
        answer = await refused(services(wire, version, BEARER))
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED
