"""Who may call what, over the wire: no method answers a caller it does not know."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maestro.v1 import capability_pb2
from maestro_gateway.services.descriptors import Descriptors
from tests.doubles.asking import ask, refused
from tests.doubles.gateway import BEARER, KEY, Wire, wired

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one gateway for all of them
CONTRACT = Descriptors()
METHODS = {name: CONTRACT.needs(method) for name, method in CONTRACT.methods()}
ENVIRON = {"STOPPED": "key-switched-off", "NOTHING": "key-for-nothing", "READER": "key-to-read", "CHATTER": "key-chat"}
KEYS = """
keys:
  - {name: stopped, secret: env:STOPPED, scopes: ["*"], disabled: true}
  - {name: nothing, secret: env:NOTHING, scopes: [], tenant: acme}
  - {name: reader, secret: env:READER, scopes: [models]}
  - {name: chatter, secret: env:CHATTER, scopes: [chat], tenant: acme}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Wire]:
    async with wired(tmp_path_factory.mktemp("gateway"), KEYS, environ=ENVIRON) as made:
        yield made


async def send(wire: Wire, method: str, metadata: Any) -> None:
    """Bytes that are no message: a caller who is let in hears so, and nobody else."""
    if method.endswith("/StreamChat"):
        async for _ in wire.channel.unary_stream(f"/{method}")(b"\xff", metadata=metadata):
            pass
    else:
        await wire.channel.unary_unary(f"/{method}")(b"\xff", metadata=metadata)


def header(value: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", value),)


STRANGERS: Mapping[str, tuple[Any, str]] = {
    "no key": ((), "CREDENTIALS_MISSING"),
    "empty": (header(""), "CREDENTIALS_MISSING"),
    "a scheme alone": (header("Bearer"), "CREDENTIALS_MISSING"),
    "a scheme and spaces": (header("Bearer   "), "CREDENTIALS_MISSING"),
    "a key alone": (header(KEY), "CREDENTIALS_MISSING"),
    "another scheme": (header(f"Basic {KEY}"), "CREDENTIALS_MISSING"),
    "another header": ((("x-api-key", KEY),), "CREDENTIALS_MISSING"),
    "binary": ((("authorization-bin", f"Bearer {KEY}".encode()),), "CREDENTIALS_MISSING"),
    "garbage": (header("Bearer \x21\x7e~~~" + "z" * 3000), "CREDENTIALS_INVALID"),
    "a wrong key": (header("Bearer key-for-nobody"), "CREDENTIALS_INVALID"),
    "half a key": (header(f"Bearer {KEY[:-1]}"), "CREDENTIALS_INVALID"),
    "a key and more": (header(f"Bearer {KEY}x"), "CREDENTIALS_INVALID"),
    "two keys in one": (header(f"Bearer {KEY} {KEY}"), "CREDENTIALS_INVALID"),
    "two keys in a list": (header(f"Bearer {KEY},Bearer {KEY}"), "CREDENTIALS_INVALID"),
    "a key in capitals": (header(f"Bearer {KEY.upper()}"), "CREDENTIALS_INVALID"),
    "a good header and a bad one": ((*header(f"Bearer {KEY}"), *header("Bearer other")), "CREDENTIALS_INVALID"),
    "a bad header and a good one": ((*header("Bearer other"), *header(f"Bearer {KEY}")), "CREDENTIALS_INVALID"),
    "switched off": (header(f"Bearer {ENVIRON['STOPPED']}"), "TENANT_SUSPENDED"),
    "without a scope": (header(f"Bearer {ENVIRON['NOTHING']}"), "SCOPE_MISSING"),
}
CODES = {
    "CREDENTIALS_MISSING": grpc.StatusCode.UNAUTHENTICATED,
    "CREDENTIALS_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "TENANT_SUSPENDED": grpc.StatusCode.PERMISSION_DENIED,
    "SCOPE_MISSING": grpc.StatusCode.PERMISSION_DENIED,
}


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_answers_a_stranger(wire: Wire, method: str) -> None:
    async with asyncio.timeout(5):
        for stranger, (metadata, reason) in STRANGERS.items():
            answer = await refused(send(wire, method, metadata))
            assert (answer.reason, answer.code) == (reason, CODES[reason]), stranger
            assert KEY not in str(answer)


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_reads_the_request_of_a_caller_it_knows(wire: Wire, method: str) -> None:
    for value in (f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} "):
        assert (await refused(send(wire, method, header(value)))).reason == "INVALID_FIELD"


@pytest.mark.parametrize("method", METHODS)
async def test_a_key_opens_the_methods_of_its_scopes_and_no_others(wire: Wire, method: str) -> None:
    for scope, key in (("models", "READER"), ("chat", "CHATTER")):
        answer = await refused(send(wire, method, header(f"Bearer {ENVIRON[key]}")))
        if METHODS[method] == scope:
            assert answer.reason == "INVALID_FIELD"
        else:
            assert answer.reason == "SCOPE_MISSING"
            assert answer.info.metadata["scope"] == METHODS[method]
            assert answer.context.phase == "auth"


async def test_a_refused_caller_learns_nothing_of_the_request(wire: Wire) -> None:
    large = b"\xff" * (65 * 2**20)
    answer = await refused(wire.channel.unary_unary("/maestro.v1.ChatService/CompleteChat")(large))
    assert answer.reason == "CREDENTIALS_MISSING"


async def test_a_caller_is_who_the_key_says(wire: Wire) -> None:
    request = capability_pb2.GetServerInfoRequest()
    about = await wire.capability.GetServerInfo(request, metadata=header(f"Bearer {ENVIRON['READER']}"))
    assert (about.tenant, list(about.scopes)) == ("default", ["models"])
    everything = await wire.capability.GetServerInfo(request, metadata=BEARER)
    assert (everything.tenant, list(everything.scopes)) == ("default", ["*"])


async def test_health_needs_no_key(wire: Wire) -> None:
    health = health_pb2_grpc.HealthStub(wire.channel)
    for service in ("", "maestro.v1.ChatService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_refusals_count_in_the_access_log(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "maestro.call")
    await refused(wire.chat.CompleteChat(ask(), metadata=()))
    await refused(wire.chat.CompleteChat(ask(), metadata=header("Bearer key-for-nobody")))
    assert [record.message for record in caplog.records] == ["CREDENTIALS_MISSING", "CREDENTIALS_INVALID"]
    assert "key-for-nobody" not in caplog.text
