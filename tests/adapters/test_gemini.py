"""The adapter and Google's SDK against a provider on loopback: what is sent, signed and closed."""

import asyncio
import json
from typing import Any

import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.gemini.adapter import Gemini
from maestro_spi import AdapterSettings, MaestroError, Reason
from tests.conformance.exchange import own
from tests.conformance.play import converse
from tests.conformance.replay import Plan, Replay

KEY = "AIza-of-nobody"
OURS = {each.id: each for each in own(["gemini", "vertex"])}


class Tokens(Credentials):
    """Credentials that give a token once they are asked for one, or fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.failure = failure
        self.refreshed = 0

    def refresh(self, request: Any) -> None:
        self.refreshed += 1
        if self.failure is not None:
            raise self.failure
        self.token = "ya29.token"


def settings(url: str, name: str = "gemini", key: str = KEY, **options: Any) -> AdapterSettings:
    told = {"name": name, "adapter": name, "base_url": url, "options": options, "api_key": key or None}
    return AdapterSettings.model_validate(told)


def adapter(url: str, name: str = "gemini", *, tokens: Tokens | None = None, key: str = KEY, **options: Any) -> Gemini:
    return Gemini(settings(url, name, "" if tokens is not None else key, **options), credentials=tokens)


def request(**fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(**{"model": "gemini-2.5-flash", "messages": [said], **fields})


def saying(name: str, plan: Plan = Plan()) -> Replay:  # noqa: B008 - frozen
    return Replay(OURS[name].status, OURS[name].headers, OURS[name].body, plan)


async def chat(made: Gemini, asked: chat_pb2.ChatRequest | None = None) -> list[chat_pb2.ChatEvent]:
    try:
        async with asyncio.timeout(5):
            return [event async for event in made.chat(asked or request())]
    finally:
        await made.aclose()


async def embed(made: Gemini, count: int, **fields: Any) -> Any:
    inputs = [embedding_pb2.EmbedInput(text="four") for _ in range(count)]
    try:
        async with asyncio.timeout(5):
            return await made.embed(embedding_pb2.EmbedRequest(inputs=inputs, **fields))
    finally:
        await made.aclose()


async def test_the_sdk_sends_the_key_to_the_gemini_api():
    async with saying("gemini-text_stream") as replay:
        await chat(adapter(replay.url))
    (asked,) = replay.asked
    assert asked.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    assert asked.query == {"alt": "sse"}
    assert asked.headers["x-goog-api-key"] == KEY
    assert "google-genai-sdk/" in asked.headers["x-goog-api-client"]
    assert KEY not in asked.body.decode()


async def test_vertex_gets_a_token_that_is_kept_for_the_next_call():
    tokens = Tokens()
    async with saying("vertex-stream") as replay:
        made = adapter(replay.url, "vertex", tokens=tokens, project="p-1", location="europe-west4")
        for _ in range(2):
            events = [event async for event in made.chat(request())]
            assert events[-1].HasField("completed")
        await made.aclose()
    assert [asked.headers["authorization"] for asked in replay.asked] == ["Bearer ya29.token"] * 2
    assert "x-goog-api-key" not in replay.asked[0].headers
    assert replay.asked[0].path.startswith("/v1beta1/projects/p-1/locations/europe-west4/publishers/google/models/")
    assert tokens.refreshed == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RefreshError("revoked"), Reason.PROVIDER_AUTH_FAILED),
        (TransportError("no route"), Reason.PROVIDER_UNAVAILABLE),
    ],
)
async def test_a_token_that_cannot_be_had_is_an_error_before_anything_is_sent(failure, reason):
    async with saying("vertex-stream") as replay:
        with pytest.raises(MaestroError) as failed:
            await chat(adapter(replay.url, "vertex", tokens=Tokens(failure), project="p-1"))
    assert failed.value.reason is reason
    assert failed.value.provider == "vertex"
    assert not replay.asked


@pytest.mark.parametrize("name", ["gemini", "vertex"])
async def test_without_credentials_it_is_made_and_refuses_calls(name):
    with pytest.raises(MaestroError) as failed:
        await chat(adapter("http://127.0.0.1:9", name, key=""))
    assert failed.value.reason is Reason.PROVIDER_NOT_CONFIGURED


@pytest.mark.parametrize("model", ["", "../files", "a?b=c", "a&b", "a#b", "a b", "a%2e", "modéle"])
async def test_a_name_that_would_lead_elsewhere_is_no_model(model):
    async with saying("gemini-text_stream") as replay:
        with pytest.raises(MaestroError) as failed:
            await chat(adapter(replay.url), request(model=model))
    assert failed.value.reason is Reason.MODEL_NOT_FOUND
    assert not replay.asked


async def test_what_was_said_before_an_error_in_the_same_read_is_told():
    async with saying("gemini-error_in_stream") as replay:
        told = await converse(settings(replay.url), request())
    assert "".join(event.text_delta for event in told.events) == "Half "
    assert told.error is not None
    assert not told.error.retryable


async def test_a_refusal_is_told_with_googles_word_and_delay_and_without_the_key():
    async with saying("gemini-error_429") as replay:
        made = adapter(replay.url)
        with pytest.raises(MaestroError) as failed:
            await chat(made)
    error = failed.value
    assert error.reason is Reason.PROVIDER_RATE_LIMITED
    assert error.retry_delay == 34.5
    assert error.word.http_status == 429
    for shown in (str(error), repr(error), repr(made), repr(vars(made)), repr(error.word)):
        assert KEY not in shown


async def test_usage_survives_a_cut():
    body = OURS["gemini-text_stream"].body
    async with saying("gemini-text_stream", Plan(cut="clean", cut_after=body.index(b"\r\n\r\n") + 4)) as replay:
        with pytest.raises(MaestroError) as failed:
            await chat(adapter(replay.url))
    assert failed.value.reason is Reason.STREAM_BROKEN
    assert failed.value.usage is not None
    assert failed.value.usage.input_tokens == 7


async def test_a_whole_answer_is_asked_for_where_there_is_no_stream():
    async with saying("gemini-text_whole") as replay:
        events = await chat(adapter(replay.url, stream=False))
    assert replay.asked[0].path.endswith(":generateContent")
    assert replay.asked[0].query == {}
    assert events[-1].completed.finish_reason == chat_pb2.FINISH_REASON_STOP


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (403, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (503, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ],
)
async def test_a_look_costs_no_tokens(status, health):
    async with Replay(status, {"content-type": "application/json"}, b'{"models":[]}') as replay:
        made = adapter(replay.url)
        assert (await made.check()).health == health
        await made.aclose()
    (asked,) = replay.asked
    assert (asked.method, asked.path, asked.query) == ("GET", "/v1beta/models", {"pageSize": "1"})


async def test_vertex_is_looked_at_without_its_project():
    async with Replay(200, {"content-type": "application/json"}, b"{}") as replay:
        made = adapter(replay.url, "vertex", tokens=Tokens(), project="p-1")
        assert (await made.check()).health == capability_pb2.PROVIDER_HEALTH_SERVING
        await made.aclose()
    assert replay.asked[0].path == "/v1beta1/publishers/google/models"


def vectors(count: int, **more: Any) -> Replay:
    body = {"embeddings": [{"values": [float(number)]} for number in range(count)], **more}
    return Replay(200, {"content-type": "application/json"}, json.dumps(body).encode())


async def test_tokens_that_google_does_not_count_are_estimated():
    async with vectors(2) as replay:
        told = await embed(adapter(replay.url), 2, model="gemini-embedding-001")
    assert told.usage.input_tokens == 2
    assert told.usage.source == common_pb2.USAGE_SOURCE_ESTIMATED


async def test_more_inputs_than_one_call_takes_are_split():
    async with vectors(100) as replay:
        told = await embed(adapter(replay.url), 200, model="gemini-embedding-001")
    assert [len(asked.json["requests"]) for asked in replay.asked] == [100, 100]
    assert [vector.values[0] for vector in told.vectors] == [float(number) for number in range(100)] * 2


async def test_an_embedding_that_is_refused_has_its_reason():
    async with saying("gemini-error_404") as replay:
        with pytest.raises(MaestroError) as failed:
            await embed(adapter(replay.url), 1, model="gemini-embedding-0")
    assert failed.value.reason is Reason.MODEL_NOT_FOUND


async def test_options_of_one_request_reach_the_embedding():
    async with vectors(1) as replay:
        options = {"gemini": '{"documentOcr":true}'}
        await embed(adapter(replay.url), 1, model="gemini-embedding-001", provider_options_json=options)
    assert replay.asked[0].json["documentOcr"] is True


async def test_older_models_of_vertex_embed_text_only():
    media = embedding_pb2.EmbedInput(media=content_pb2.Media(mime_type="image/png", data=b"png"))
    made = adapter("http://127.0.0.1:9", "vertex", project="p-1")
    with pytest.raises(MaestroError) as failed:
        await made.embed(embedding_pb2.EmbedRequest(model="text-embedding-005", inputs=[media]))
    await made.aclose()
    assert failed.value.reason is Reason.INVALID_FIELD
