"""The adapter and the official SDK against a provider on loopback: what is sent, what is kept, and what goes wrong."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from maestro.v1 import capability_pb2, chat_pb2, content_pb2
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, Reason
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.replay import Plan, Replay

KEY = "sk-ant-secret-0123456789"
OURS = {each.id.removeprefix("anthropic-"): each for each in own(["anthropic"])}
CONTENT = OURS["text_stream"].body.index(b"rld")  # in the middle of the first words


def settings(url: str, **options: Any) -> AdapterSettings:
    return AdapterSettings(name="claude", adapter="anthropic", base_url=url, api_key=KEY, options=options)  # type: ignore[arg-type]  # pydantic reads it


def request(**fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model="claude-sonnet-4-5", messages=[said], **fields)


def provider(name: str, plan: Plan = Plan(), **changed: Any) -> Replay:  # noqa: B008 - frozen
    exchange: Exchange = OURS[name]
    told: dict[str, Any] = {"status": exchange.status, "headers": exchange.headers, "body": exchange.body} | changed
    return Replay(told["status"], told["headers"], told["body"], plan)


async def ask(replay: Replay, asked: chat_pb2.ChatRequest | None = None, **options: Any) -> Told:
    async with replay:
        return await converse(settings(replay.url, **options), asked or request())


async def test_the_sdk_sends_the_key_and_the_version_that_we_are_pinned_to():
    replay = provider("text_stream")
    await ask(replay, request(provider_options_json={"claude": '{"betas":["b1","b2"]}'}), betas=["b0"])
    (asked,) = replay.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/v1/messages", {"beta": "true"})
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.headers["anthropic-beta"] == "b0,b1,b2"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json["stream"] is True


async def test_an_answer_can_be_asked_for_whole():
    replay = provider("text_whole")
    told = await ask(replay, stream=False)
    assert replay.asked[0].json["stream"] is False
    assert told.answer.messages[0].parts[0].text == "Hello."


async def test_what_it_says_about_itself_is_told():
    headers = {**OURS["text_stream"].headers, "anthropic-ratelimit-tokens-remaining": "7"}
    told = (await ask(provider("text_stream", headers=headers))).answer.provider_metadata
    assert (told.response_id, told.request_id, told.service_tier) == ("msg_01", "req_01", "standard")
    assert told.headers["anthropic-ratelimit-tokens-remaining"] == "7"


async def test_raw_events_and_the_raw_answer_are_passed_on_if_they_are_asked_for():
    include = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW]
    told = await ask(provider("text_stream"), request(include=include))
    types = [event.provider_event.type for event in told.events if event.HasField("provider_event")]
    assert types[0] == "message_start"
    assert types[-1] == "message_stop"
    assert [event["type"] for event in json.loads(told.answer.provider_metadata.raw_json)] == types
    whole = await ask(provider("text_whole"), request(include=include), stream=False)
    assert json.loads(whole.answer.provider_metadata.raw_json)["id"] == "msg_01"


async def test_what_the_question_left_out_is_warned_of_after_the_start():
    asked = request(generation=chat_pb2.GenerationConfig(service_tier="flex"))
    told = await ask(provider("text_stream", Plan(seed=3)), asked)
    assert told.events[0].started.model == "claude-sonnet-4-5-20250929"
    assert [warning.field for warning in told.answer.warnings] == ["generation.service_tier"]


async def test_a_tool_that_answers_for_an_older_model_is_its_answer():
    block = {"type": "tool_use", "id": "toolu_01", "name": "answer", "input": {"n": 1}}
    body = json.loads(OURS["tools_whole"].body) | {"content": [block]}
    wanted = chat_pb2.ResponseFormat(json_object=chat_pb2.JsonObjectFormat())
    replay = provider("tools_whole", body=json.dumps(body).encode())
    told = await ask(replay, request(response_format=wanted))
    assert replay.asked[0].json["tool_choice"] == {"type": "tool", "name": "answer"}
    assert json.loads(told.answer.messages[0].parts[0].text) == {"n": 1}
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP


@pytest.mark.parametrize("cut", ["close", "reset", "clean"])
async def test_a_stream_cut_after_content_is_broken(cut):
    told = await ask(provider("text_stream", Plan(cut=cut, cut_after=CONTENT)))
    assert told.error is not None
    assert told.error.reason is Reason.STREAM_BROKEN
    assert not told.error.retryable
    assert told.answer.messages[0].parts[0].text == "Hello, "


@pytest.mark.parametrize(("cut", "reason"), [("close", "PROVIDER_UNAVAILABLE"), ("clean", "STREAM_BROKEN")])
async def test_a_stream_cut_before_content_may_be_tried_again(cut, reason):
    told = await ask(provider("text_stream", Plan(cut=cut, cut_after=5)))
    assert told.error is not None
    assert (told.error.reason.name, told.error.retryable) == (reason, True)


async def test_silence_is_a_timeout():
    for plan in (Plan(late=True), Plan(stall_after=0), Plan(stall_after=CONTENT)):
        told = await ask(provider("text_stream", plan), read_timeout=0.2)
        assert told.error is not None
        assert told.error.reason is Reason.PROVIDER_TIMEOUT


async def test_a_missing_closing_frame_is_not_waited_for_long():
    size = len(OURS["no_closing_frame"].body)
    told = await ask(provider("no_closing_frame", Plan(stall_after=size)))
    assert told.error is None
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP


async def test_nobody_there_is_unavailable():
    told = await converse(settings("http://127.0.0.1:1"), request())
    assert told.error is not None
    assert (told.error.reason, told.error.retryable) == (Reason.PROVIDER_UNAVAILABLE, True)


@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("text/html", b"<html>Welcome</html>"),
        ("application/json", b""),
        ("application/json", b"[1]"),
        ("text/event-stream", b"event: message_start\ndata: {not json\n\n"),
        ("text/event-stream", b'event: message_start\ndata: {"type":"\xff"}\n\n'),
        (
            "text/event-stream",
            b'event: content_block_start\ndata: {"type":"content_block_start","content_block":7}\n\n',
        ),
    ],
)
async def test_what_cannot_be_read_is_a_protocol_error(type, body):
    told = await ask(provider("text_stream", headers={"content-type": type}, body=body))
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_PROTOCOL_ERROR


async def test_an_error_of_another_shape_goes_by_its_status():
    for status, reason in [
        (502, "PROVIDER_UNAVAILABLE"),
        (408, "PROVIDER_TIMEOUT"),
        (422, "PROVIDER_REJECTED_REQUEST"),
    ]:
        for body in (b"", b"<html>Bad</html>"):
            told = await ask(provider("text_stream", status=status, headers={}, body=body))
            assert told.error is not None
            assert told.error.reason.name == reason


async def test_the_words_of_a_failure_are_kept():
    told = await ask(provider("error_429"))
    assert told.error is not None
    assert told.error.retry_delay == 7
    assert told.error.word.http_status == 429
    assert told.error.word.request_id == "req_01"
    overflow = (await ask(provider("error_400_overflow_with_answer"))).error
    assert overflow is not None
    assert (overflow.metadata["inputTokens"], overflow.metadata["contextTokens"]) == ("209573", "200000")
    late = (await ask(provider("error_in_stream_after_content"))).error
    assert late is not None
    assert (late.word.http_status, late.retryable) == (529, False)


async def test_the_key_is_nowhere_to_be_seen():
    body = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": f"bad key {KEY}"}})
    told = await ask(provider("error_401", body=body.encode()))
    assert told.error is not None
    assert KEY not in repr(told.error) + repr(told.error.word) + str(told.error.metadata)
    adapter = load(settings("http://127.0.0.1:1"))
    assert KEY not in repr(adapter) + repr(vars(adapter))
    await adapter.aclose()


async def test_closing_the_answer_hangs_up():
    async with provider("text_stream", Plan(stall_after=CONTENT)) as replay:
        adapter = load(settings(replay.url))
        async with asyncio.timeout(5), aclosing(adapter.chat(request())) as events:
            async for event in events:
                if event.HasField("text_delta"):
                    break
        async with asyncio.timeout(5):
            await replay.left.wait()
        await adapter.aclose()


async def test_a_connection_serves_one_answer_after_another():
    async with provider("text_stream") as replay:
        adapter = load(settings(replay.url))
        for _ in range(2):
            async with asyncio.timeout(5), aclosing(adapter.chat(request())) as events:
                assert [event async for event in events]
        assert len(replay.asked) == 2
        assert not replay.left.is_set()
        await adapter.aclose()


async def test_vertex_has_the_model_in_the_address():
    replay = provider("text_stream")
    asked = request()
    asked.model = "claude-sonnet-4-5@20250929"
    await ask(replay, asked, vertex={"project": "acme", "region": "us-east5"})
    (sent,) = replay.asked
    place = "/projects/acme/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929"
    assert sent.path == f"{place}:streamRawPredict"
    assert sent.json["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in sent.json
    assert sent.headers["authorization"] == f"Bearer {KEY}"


async def test_a_models_name_does_not_lead_elsewhere():
    replay = provider("text_stream")
    asked = request()
    asked.model = "../../x?y#z"
    await ask(replay, asked, vertex={"project": "acme"})
    assert replay.asked[0].path.endswith("/models/..%2F..%2Fx%3Fy%23z:streamRawPredict")


async def test_a_checkup_asks_for_a_list_of_models():
    for status, health in [
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (401, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (500, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ]:
        async with provider("text_whole", status=status, body=b'{"data":[]}') as replay:
            adapter = load(settings(replay.url))
            assert (await adapter.check()).health == health
            assert (replay.asked[0].method, replay.asked[0].path) == ("GET", "/v1/models")
            await adapter.aclose()


async def test_models_are_those_of_the_settings_with_what_their_family_can_do():
    adapter = load(
        settings("http://127.0.0.1:1", models=["claude-3-7-sonnet-latest", {"name": "x", "context_tokens": 9}])
    )
    old, other = adapter.models()
    assert (old.context_tokens, old.max_output_tokens) == (200_000, 64_000)
    assert "generation.temperature" in old.parameters
    assert (other.name, other.context_tokens) == ("x", 9)
    await adapter.aclose()
    usual = load(settings("http://127.0.0.1:1"))
    named = {model.name: model for model in usual.models()}
    assert "generation.temperature" not in named["claude-sonnet-5-5"].parameters
    assert "anthropic" in usual.version
    await usual.aclose()
