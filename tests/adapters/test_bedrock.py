"""Bedrock against a provider on loopback: what is signed and sent, what is kept, and what goes back."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from maestro.v1 import capability_pb2, chat_pb2, content_pb2, embedding_pb2
from maestro_adapters.bedrock.adapter import Bedrock
from maestro_adapters.bedrock.question import question
from maestro_adapters.registry import load
from maestro_adapters.wire.aws_events import encode
from maestro_spi import AdapterSettings, Answer, EmbeddingAdapter, MaestroError, Reason
from tests.conformance.exchange import OWN, Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.replay import Asked, Replay

SECRET = "secret-of-aws"
KEY = f"AKIAIOSFODNN7EXAMPLE:{SECRET}"
OURS: dict[str, Exchange] = {each.id.removeprefix("bedrock/"): each for each in own(["bedrock"])}


def settings(url: str | None, key: str | None = KEY, **options: Any) -> AdapterSettings:
    options = {"region": "eu-west-1", **options}
    return AdapterSettings(name="aws", adapter="bedrock", base_url=url, api_key=key, options=options)  # type: ignore[arg-type]  # pydantic reads it


def request(*parts: content_pb2.Part, model: str = "amazon.nova-lite-v1:0", **fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts or [content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model=model, messages=[said], **fields)


def provider(name: str) -> Replay:
    exchange = OURS[name]
    return Replay(exchange.status, exchange.headers, exchange.body)


async def ask(replay: Replay, asked: chat_pb2.ChatRequest | None = None, key: str | None = KEY, **options: Any) -> Told:
    async with replay:
        return await converse(settings(replay.url, key, **options), asked or request())


def body(asked: chat_pb2.ChatRequest) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is sent, and what the answer warns of."""
    answer = Answer("aws", asked)
    told = question(asked, "aws", answer).body
    return told, [(event.warning.code, event.warning.field) for event in answer.drain() if event.HasField("warning")]


def signature(asked: Asked) -> str:
    """As AWS computes it, from what arrived."""
    scope, signed = (asked.headers["authorization"].split(", ")[n].partition("=")[2] for n in (0, 1))
    date, region, service, last = scope.split("/")[1:]
    names = signed.split(";")
    path = asked.path.replace("%", "%25")
    lines = [asked.method, path, "", *(f"{name}:{asked.headers[name]}" for name in names), "", signed]
    canonical = "\n".join([*lines, hashlib.sha256(asked.body).hexdigest()])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{asked.headers['x-amz-date']}\n{date}/{region}/{service}/{last}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for piece in (date, region, service, last, text):
        key = hmac.digest(key, piece.encode(), "sha256")
    return key.hex()


async def test_requests_are_signed_as_aws_wants_it():
    replay = provider("text_stream")
    await ask(replay, key=f"{KEY}:session-token")
    (asked,) = replay.asked
    assert asked.path == "/model/amazon.nova-lite-v1%3A0/converse-stream"
    assert "/eu-west-1/bedrock/aws4_request" in asked.headers["authorization"]
    assert asked.headers["authorization"].endswith(f"Signature={signature(asked)}")
    assert asked.headers["x-amz-security-token"] == "session-token"
    assert asked.headers["accept"] == "application/vnd.amazon.eventstream"


async def test_a_key_of_bedrocks_own_is_sent_as_it_is():
    replay = provider("text_whole")
    told = await ask(replay, key="bedrock-api-key-1", stream=False)
    assert told.error is None
    assert replay.asked[0].headers["authorization"] == "Bearer bedrock-api-key-1"


async def test_without_credentials_nothing_is_sent(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    replay = provider("text_stream")
    told = await ask(replay, key=None)
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_NOT_CONFIGURED
    assert replay.asked == []


async def test_credentials_come_from_awss_own_chain(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    replay = provider("text_stream")
    told = await ask(replay, key=None)
    assert told.error is None
    assert "AKIAI44QH8DHBEXAMPLE" in replay.asked[0].headers["authorization"]
    assert replay.asked[0].headers["authorization"].endswith(f"Signature={signature(replay.asked[0])}")


async def test_a_look_at_the_models_says_how_it_is():
    for status, health in (
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (403, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (503, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ):
        async with Replay(status, {"content-type": "application/json"}, b'{"modelSummaries":[]}') as replay:
            adapter = load(settings(replay.url))
            assert (await adapter.check()).health == health
            await adapter.aclose()
        assert (replay.asked[0].method, replay.asked[0].path) == ("GET", "/foundation-models")


def test_the_address_is_of_the_region():
    assert Bedrock(settings(None))._base == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert Bedrock(settings(None, region="cn-north-1"))._base.endswith(".amazonaws.com.cn")


async def test_raw_events_and_the_raw_answer_are_there_for_who_asks():
    include = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW]
    told = await ask(provider("text_stream"), request(include=include))
    raw = [event.provider_event.type for event in told.events if event.HasField("provider_event")]
    assert raw[0] == "messageStart"
    assert raw[-2:] == ["messageStop", "metadata"]
    assert len(json.loads(told.answer.provider_metadata.raw_json)) == len(raw)
    assert told.answer.provider_metadata.request_id == "req-1"


@pytest.mark.parametrize("name", ["reasoning_stream", "reasoning_omitted_stream", "reasoning_redacted_stream"])
async def test_signed_reasoning_goes_back_and_to_nobody_else(name):
    told = await ask(provider(name))
    again = request(model="eu.anthropic.claude-sonnet-4-5-20250929-v1:0")
    again.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=told.answer.messages[0].parts)
    sent, warned = body(again)
    block = sent["messages"][1]["content"][0]["reasoningContent"]
    said = {
        "reasoning_stream": {"reasoningText": {"text": "First, think.", "signature": "c2lnbmVk"}},
        "reasoning_omitted_stream": {"reasoningText": {"text": "", "signature": "b21pdHRlZA=="}},
        "reasoning_redacted_stream": {"redactedContent": "c2VjcmV0"},
    }
    assert block == said[name]
    assert warned == []
    again.messages[1].parts[0].provider_state.provider = "another"
    sent, warned = body(again)
    assert [list(block) for block in sent["messages"][1]["content"]] == [["text"]]
    assert warned == [("PROVIDER_STATE_DROPPED", "messages[1].parts[0].provider_state")]


async def test_what_its_tool_answered_goes_back_as_it_came():
    told = await ask(provider("code_stream"), request(include=[chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT]))
    again = request()
    again.messages.extend(told.answer.messages)
    sent, warned = body(again)
    call, result, text = sent["messages"][1]["content"]
    assert call["toolUse"]["type"] == "server_tool_use"
    assert result["toolResult"]["content"] == [{"json": {"stdOut": "42", "exitCode": 0}}]
    assert text == {"text": "42."}
    assert warned == []


async def test_cited_text_goes_back_with_its_sources():
    told = await ask(provider("citations_stream"))
    cited = told.answer.messages[0].parts[1].citations[0]
    assert (cited.title, cited.uri, cited.cited_text) == ("policy", "https://example.com/policy", "20 days")
    assert (cited.start_page, cited.end_page) == (2, 3)
    again = request()
    again.messages.extend(told.answer.messages)
    block = body(again)[0]["messages"][1]["content"][1]["citationsContent"]
    assert block["content"] == [{"text": "20 days."}]
    assert block["citations"][0]["title"] == "policy"


async def test_names_of_tools_are_spelt_there_and_back():
    tools = [chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name)) for name in ("files.read", "files_read")]
    sent, _ = body(request(tools=tools))
    names = [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]]
    assert names == ["files_read", "files_read_"]
    events = [
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "files_read"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "tool_use"}),
    ]
    frames = b"".join(encode({":event-type": kind}, json.dumps(said).encode()) for kind, said in events)
    told = await ask(Replay(200, OURS["text_stream"].headers, frames), request(tools=tools))
    assert told.answer.messages[0].parts[0].tool_call.name == "files.read"


async def test_titan_embeds_one_at_a_time_and_the_answer_is_one():
    async with provider("embed_titan") as replay:
        adapter = load(settings(replay.url))
        assert isinstance(adapter, EmbeddingAdapter)
        inputs = [embedding_pb2.EmbedInput(text=str(number)) for number in range(6)]
        asked = embedding_pb2.EmbedRequest(model="amazon.titan-embed-text-v2:0", inputs=inputs, truncate=True)
        told = await adapter.embed(asked)
        await adapter.aclose()
    assert sorted(sent.json["inputText"] for sent in replay.asked) == list("012345")
    assert len(told.vectors) == 6
    assert told.usage.input_tokens == 18
    assert [(warning.code, warning.field) for warning in told.warnings] == [("PARAMETER_DROPPED", "truncate")]


async def test_a_model_that_embeds_nothing_is_not_found():
    adapter = Bedrock(settings("http://127.0.0.1:9"))
    with pytest.raises(MaestroError) as raised:
        await adapter.embed(embedding_pb2.EmbedRequest(model="amazon.nova-lite-v1:0"))
    await adapter.aclose()
    assert raised.value.reason is Reason.MODEL_NOT_FOUND


def test_the_secret_is_in_no_repr():
    adapter = Bedrock(settings(None))
    assert SECRET not in repr(adapter) + repr(adapter._signer) + repr(adapter._failures)


@pytest.mark.parametrize("file", sorted((OWN / "bedrock").glob("*.json")), ids=lambda file: file.stem)
def test_the_bytes_of_an_exchange_are_the_frames_that_it_shows(file):
    response = json.loads(file.read_text())["response"]
    frames = b""
    for kind, said in response.get("frames", []):
        told = "exception" if kind.endswith("Exception") else "event"
        headers = {f":{told}-type": kind, ":content-type": "application/json", ":message-type": told}
        frames += encode(headers, json.dumps(said, ensure_ascii=False).encode())
    assert base64.b64decode(response.get("body_b64", "")) == frames
