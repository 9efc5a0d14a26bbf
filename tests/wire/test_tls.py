"""TLS, client certificates, sockets and ports: who can reach the gateway, and how."""

import socket
from pathlib import Path

import grpc
import pytest
import trustme

from maestro.v1 import chat_pb2_grpc
from maestro_gateway.config.problems import ConfigError
from maestro_gateway.transport.grpc_server import CannotListenError
from tests.doubles.asking import Told, ask, refused
from tests.doubles.gateway import BEARER, KEY, wired

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certify(folder: Path, authority: trustme.CA, *, client_ca: trustme.CA | None = None) -> str:
    """A gateway.yaml that serves TLS with a certificate of this authority."""
    issued = authority.issue_cert(HOST)
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = folder / "key.pem"
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    mutual = ""
    if client_ca is not None:
        (folder / "clients.pem").write_bytes(client_ca.cert_pem.bytes())
        mutual = ", client_ca: clients.pem"
    return f"listen: {{tls: {{certificate: cert.pem, key: key.pem{mutual}}}}}"


def trusting(authority: trustme.CA, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), client.private_key_pem.bytes(), chain)


async def chat(address: str, credentials: grpc.ChannelCredentials | None) -> str:
    channel = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with channel:
        answer = await chat_pb2_grpc.ChatServiceStub(channel).CompleteChat(ask(), metadata=BEARER, timeout=5)
    text: str = answer.messages[0].parts[0].text
    return text


def cannot_connect(answer: Told) -> None:
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert answer.reason == ""


async def test_a_client_that_trusts_the_authority_is_answered(tmp_path: Path, authority: trustme.CA) -> None:
    async with wired(tmp_path, certify(tmp_path, authority)) as wire:
        assert await chat(wire.address, trusting(authority))


async def test_a_client_of_another_authority_hangs_up(tmp_path: Path, authority: trustme.CA) -> None:
    async with wired(tmp_path, certify(tmp_path, authority)) as wire:
        cannot_connect(await refused(chat(wire.address, trusting(trustme.CA()))))
        cannot_connect(await refused(chat(wire.address, None)))
        assert await chat(wire.address, trusting(authority))


async def test_with_client_certificates_everybody_must_show_one(tmp_path: Path, authority: trustme.CA) -> None:
    clients = trustme.CA()
    async with wired(tmp_path, certify(tmp_path, authority, client_ca=clients)) as wire:
        known = clients.issue_cert("client.example")
        assert await chat(wire.address, trusting(authority, known))
        cannot_connect(await refused(chat(wire.address, trusting(authority))))
        stranger = trustme.CA().issue_cert("client.example")
        cannot_connect(await refused(chat(wire.address, trusting(authority, stranger))))
        own = authority.issue_cert("client.example")
        cannot_connect(await refused(chat(wire.address, trusting(authority, own))))


async def test_a_socket_serves_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with wired(tmp_path, environ={"MAESTRO_ADDRESS": f"unix:{path}"}) as wire:
        assert wire.address == f"unix:{path}"
        assert path.is_socket()
        assert await chat(wire.address, None)
        assert (await wire.chat.CompleteChat(ask(), metadata=BEARER)).chat


async def test_plaintext_off_this_machine_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="insecure"):
        async with wired(tmp_path, environ={"MAESTRO_ADDRESS": "0.0.0.0:0"}):
            pass


async def test_a_second_gateway_on_the_same_port_says_so(tmp_path: Path) -> None:
    async with wired(tmp_path) as first:
        with pytest.raises(CannotListenError, match="MAESTRO_ADDRESS"):
            async with wired(tmp_path, environ={"MAESTRO_ADDRESS": first.address}):
                pass
        assert await chat(first.address, None)


async def test_a_port_of_somebody_else_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        with pytest.raises(CannotListenError, match=address):
            async with wired(tmp_path, environ={"MAESTRO_ADDRESS": address}):
                pass


async def test_the_key_is_in_no_word_about_the_settings(tmp_path: Path) -> None:
    async with wired(tmp_path) as wire:
        assert KEY not in repr(wire.gateway.settings)
