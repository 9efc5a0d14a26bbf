"""Credentials, environment, TLS and retries of a channel."""

import asyncio

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2

from maestro_client import Client, ConnectionSettingsError, Unavailable
from maestro_client.channel import Channel

REMOTE = "gateway.example:7070"


@pytest.fixture
def home(tmp_path, key):
    (tmp_path / "key").write_text(f"{key}\n")
    return {"MAESTRO_HOME": str(tmp_path)}


def test_the_environment_says_where_and_who(key):
    channel = Channel(environ={"MAESTRO_ADDRESS": "localhost:1", "MAESTRO_KEY": f" {key}\n"})
    assert channel.address.target == "localhost:1"
    assert channel.metadata == {"authorization": f"Bearer {key}"}


def test_arguments_go_before_the_environment():
    channel = Channel("localhost:2", "mine", environ={"MAESTRO_ADDRESS": "localhost:1", "MAESTRO_KEY": "theirs"})
    assert channel.address.target == "localhost:2"
    assert channel.metadata == {"authorization": "Bearer mine"}


def test_without_anything_it_is_the_embedded_gateway(home, key):
    channel = Channel(environ=home)
    assert channel.address.target == "127.0.0.1:7070"
    assert channel.metadata == {"authorization": f"Bearer {key}"}


def test_the_kept_key_serves_unix_sockets_too(home, key):
    assert Channel("unix:/run/maestro.sock", environ=home).metadata == {"authorization": f"Bearer {key}"}


def test_the_kept_key_never_goes_to_another_machine(home):
    assert Channel(f"https://{REMOTE}", environ=home).metadata == {}
    assert Channel(REMOTE, insecure=True, environ=home).metadata == {}


def test_the_variable_goes_before_the_file_and_an_empty_key_before_both(home):
    environ = {**home, "MAESTRO_KEY": "other"}
    assert Channel(environ=environ).metadata == {"authorization": "Bearer other"}
    assert Channel(key="", environ=environ).metadata == {}


def test_no_key_anywhere_is_for_the_gateway_to_judge(tmp_path):
    assert Channel(environ={"MAESTRO_HOME": str(tmp_path / "nowhere")}).metadata == {}


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "key").mkdir()
    with pytest.raises(ConnectionSettingsError, match=str(tmp_path / "key")):
        Channel(environ={"MAESTRO_HOME": str(tmp_path)})


@pytest.mark.parametrize("address", [REMOTE, f"http://{REMOTE}", "10.0.0.1:7070", "dns:///gateway.example"])
def test_plaintext_to_another_machine_must_be_asked_for(address, key):
    with pytest.raises(ConnectionSettingsError, match="insecure=True") as caught:
        Channel(address, key, environ={})
    assert key not in str(caught.value)
    assert Channel(address, key, insecure=True, environ={}).metadata == {"authorization": f"Bearer {key}"}


def test_https_or_an_authority_is_enough_for_another_machine(tmp_path, key):
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    assert Channel(f"https://{REMOTE}", key, environ={}).metadata
    assert Channel(REMOTE, key, ca=authority, environ={}).metadata


def test_a_missing_authority_or_half_a_certificate_is_an_error(tmp_path):
    with pytest.raises(ConnectionSettingsError, match="cannot read"):
        Channel(REMOTE, ca=tmp_path / "nothing.pem", environ={})
    with pytest.raises(ConnectionSettingsError, match="cert_key"):
        Channel(REMOTE, cert=tmp_path / "cert.pem", environ={})


@pytest.mark.parametrize("key", ["mk_canary\nx: y", "mk_canary ÿ"])
def test_a_key_that_is_none_is_refused_and_not_shown(key):
    with pytest.raises(ConnectionSettingsError) as caught:
        Channel(key=key, environ={})
    assert "canary" not in str(caught.value)


async def test_the_key_is_in_no_repr(fake, client, key):
    channel = Channel(fake.address, key, environ={})
    for shown in (repr(client), repr(channel), repr(client.chat), repr(channel.address)):
        assert key not in shown


async def test_the_key_and_the_name_of_the_client_arrive(client, fake, key):
    async with asyncio.timeout(5):
        await client.capabilities.server_info(metadata={"X-Request-Id": "mine"})
    assert fake.metadata["authorization"] == f"Bearer {key}"
    assert fake.metadata["user-agent"].startswith("maestro-python/")
    assert fake.metadata["x-request-id"] == "mine"


async def test_unavailable_is_tried_three_times(client, fake, fails):
    gone = fails(grpc.StatusCode.UNAVAILABLE, "starting")
    fake.failures_first = [gone, gone]
    async with asyncio.timeout(5):
        assert (await client.capabilities.server_info()).tenant == "default"
    assert len(fake.requests) == 3
    fake.failures_first = [gone, gone, gone]
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(5):
            await client.capabilities.server_info()
    assert caught.value.retryable
    assert len(fake.requests) == 6


async def test_what_the_gateway_pushes_back_is_not_sent_again(client, fake, fails):
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_STREAM_BROKEN")
    pushback = (("grpc-retry-pushback-ms", "-1"),)
    fake.failures_first = [fails(grpc.StatusCode.UNAVAILABLE, "broken", (info,), pushback)]
    with pytest.raises(Unavailable, match="STREAM_BROKEN"):
        async with asyncio.timeout(5):
            await client.chat.complete("Hi")
    assert len(fake.requests) == 1


async def test_a_gateway_that_is_not_there_is_unavailable(key):
    async with asyncio.timeout(5), Client("127.0.0.1:1", key) as client:
        with pytest.raises(Unavailable) as caught:
            await client.capabilities.server_info()
    assert caught.value.reason == ""
    assert caught.value.retryable


async def test_a_unix_socket_serves(serve, tmp_path, key):
    fake = await serve(f"unix:{tmp_path}/maestro.sock")
    async with asyncio.timeout(5), Client(fake.address, key) as client:
        assert (await client.capabilities.server_info()).tenant == "default"


async def test_tls_with_a_certificate_on_each_side(serve, tmp_path, key):
    authority = trustme.CA()
    ours, theirs = authority.issue_cert("client.example"), authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    chain = b"".join(pem.bytes() for pem in theirs.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(theirs.private_key_pem.bytes(), chain)], authority.cert_pem.bytes(), require_client_auth=True
    )
    fake = await serve(credentials=credentials)
    known = {"ca": tmp_path / "ca.pem", "cert": tmp_path / "cert.pem", "cert_key": tmp_path / "key.pem"}
    async with asyncio.timeout(5), Client(fake.address, key, **known) as client:
        assert (await client.capabilities.server_info()).tenant == "default"
    async with asyncio.timeout(5), Client(fake.address, key, ca=tmp_path / "ca.pem") as client:
        with pytest.raises(Unavailable):
            await client.capabilities.server_info()
