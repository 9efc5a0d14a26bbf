"""OpenAI behind Azure: where each call goes, and with which credentials."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.azure import Azure
from maestro_spi import AdapterSettings, MaestroError, Reason
from tests.conformance.dialects.azure import DIALECTS
from tests.conformance.exchange import own
from tests.conformance.replay import Replay

EXCHANGES = {exchange.id: exchange for exchange in own(["azure"])}
CHAT, RESPONSES, _ = DIALECTS


class Identity:
    """Gives one token, as Entra does; or none."""

    def __init__(self, token: str = "entra-token") -> None:
        self._token = token
        self.scopes: list[str] = []
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if not self._token:
            raise ClientAuthenticationError("no identity was found")
        return AccessToken(self._token, int(time.time()) + 3600)

    async def close(self) -> None:
        self.closed = True


def request(model: str = "our-gpt") -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hello")])
    return chat_pb2.ChatRequest(model=model, messages=[said])


def settings(url: str | None, key: str | None = "key-1", **options: Any) -> AdapterSettings:
    return AdapterSettings(name="azure", adapter="azure", base_url=url, api_key=key, options=options)


@asynccontextmanager
async def resource(name: str = "azure/chat_stream") -> AsyncGenerator[Replay]:
    async with CHAT.replay(EXCHANGES[name]) as replay:
        yield replay


async def read(adapter: Azure, asked: chat_pb2.ChatRequest) -> list[chat_pb2.ChatEvent]:
    try:
        async with aclosing(adapter.chat(asked)) as events:
            return [event async for event in events]
    finally:
        await adapter.aclose()


@pytest.mark.parametrize("tail", ["", "/", "/openai", "/openai/v1/"])
async def test_an_address_may_be_that_of_the_resource_or_of_its_api(tail: str):
    async with resource() as replay:
        await read(Azure(settings(replay.url + tail)), request())
    assert replay.asked[0].path == "/openai/v1/chat/completions"
    assert replay.asked[0].json["model"] == "our-gpt"
    assert replay.asked[0].headers["authorization"] == "Bearer key-1"


async def test_a_dated_version_names_the_deployment_in_the_path():
    async with resource() as replay:
        await read(Azure(settings(replay.url, api_version="2024-10-21")), request())
    (asked,) = replay.asked
    assert (asked.path, asked.query) == (
        "/openai/deployments/our-gpt/chat/completions",
        {"api-version": "2024-10-21"},
    )
    assert asked.headers["api-key"] == "key-1"
    assert "authorization" not in asked.headers


async def test_each_deployment_is_asked_by_its_own_api():
    options = {"api": "responses", "apis": {"old": "chat"}, "models": ["new", "old"]}
    async with resource("azure/responses_v1_stream") as replay:
        adapter = Azure(settings(replay.url, **options))
        facts = {each.name: each.parameters for each in adapter.models()}
        await read(adapter, request("new"))
    assert replay.asked[0].path == "/openai/v1/responses"
    assert "generation.stop_sequences" in facts["old"]
    assert "generation.stop_sequences" not in facts["new"]
    async with resource() as replay:
        await read(Azure(settings(replay.url, **options)), request("old"))
    assert replay.asked[0].path == "/openai/v1/chat/completions"


@pytest.mark.parametrize("version", ["v1", "2024-10-21"])
async def test_without_a_key_the_identity_of_the_machine_is_used(version: str):
    identity = Identity()
    async with resource() as replay:
        await read(Azure(settings(replay.url, None, api_version=version), credential=identity), request())
    assert replay.asked[0].headers["authorization"] == "Bearer entra-token"
    assert "api-key" not in replay.asked[0].headers
    assert identity.scopes[0] == "https://cognitiveservices.azure.com/.default"
    assert identity.closed


async def test_without_an_identity_the_gateway_is_not_let_in():
    async with resource() as replay:
        with pytest.raises(MaestroError) as refused:
            await read(Azure(settings(replay.url, None), credential=Identity("")), request())
    assert refused.value.reason is Reason.PROVIDER_AUTH_FAILED
    assert not replay.asked


async def test_credentials_in_the_sdks_own_variables_are_not_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "from-the-environment")
    async with resource() as replay:
        await read(Azure(settings(replay.url, api_version="2024-10-21")), request())
    assert "from-the-environment" not in str(replay.asked[0].headers)


async def test_the_address_of_the_resource_is_needed():
    with pytest.raises(ValueError, match="base_url is needed"):
        Azure(settings(None))


async def test_a_prompt_that_is_filtered_and_a_deployment_that_is_not_there():
    for name, reason in (
        ("azure/prompt_filtered", Reason.PROMPT_BLOCKED),
        ("azure/deployment_not_found", Reason.MODEL_NOT_FOUND),
    ):
        async with resource(name) as replay:
            with pytest.raises(MaestroError) as failed:
                await read(Azure(settings(replay.url)), request())
        assert failed.value.reason is reason
