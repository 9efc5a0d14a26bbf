"""Ollama against a server on loopback: where it is, what it is sent, and what is made of its lines."""

from typing import Any

import pytest

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.ollama.adapter import Ollama
from maestro_adapters.ollama.question import question
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, Answer, EmbeddingAdapter, MaestroError, Reason
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.replay import Replay

OURS: dict[str, Exchange] = {each.id.removeprefix("ollama/"): each for each in own(["ollama"])}


def settings(url: str | None, key: str | None = None, **options: Any) -> AdapterSettings:
    return AdapterSettings(name="home", adapter="ollama", base_url=url, api_key=key, options=options)  # type: ignore[arg-type]  # pydantic reads it


def request(*parts: content_pb2.Part, **fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts or [content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model="qwen3:4b", messages=[said], **fields)


def provider(name: str) -> Replay:
    exchange = OURS[name]
    return Replay(exchange.status, exchange.headers, exchange.body)


async def ask(
    replay: Replay, asked: chat_pb2.ChatRequest | None = None, key: str | None = None, **options: Any
) -> Told:
    async with replay:
        return await converse(settings(replay.url, key, **options), asked or request())


def body(asked: chat_pb2.ChatRequest) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is sent, and what the answer warns of."""
    answer = Answer("home", asked)
    told = question(asked, "home", answer, stream=True, usual={})
    return told, [(event.warning.code, event.warning.field) for event in answer.drain() if event.HasField("warning")]


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (None, "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("myhost:8080", "http://myhost:8080"),
        ("https://ollama.com/api/", "https://ollama.com"),
    ],
)
def test_its_address_is_read_as_people_write_it(told, address):
    assert Ollama(settings(told))._base == address


async def test_a_key_is_sent_only_where_there_is_one():
    replay = provider("text_stream")
    await ask(replay)
    assert "authorization" not in replay.asked[0].headers
    await ask(replay, key="key-1")
    assert replay.asked[1].headers["authorization"] == "Bearer key-1"


async def test_what_the_operator_sets_stands_below_what_the_caller_says():
    replay = provider("text_stream")
    asked = request(generation=chat_pb2.GenerationConfig(temperature=0.5))
    await ask(replay, asked, body={"keep_alive": "1h", "options": {"num_ctx": 4096, "temperature": 1}})
    sent = replay.asked[0].json
    assert sent["keep_alive"] == "1h"
    assert sent["options"] == {"num_ctx": 4096, "temperature": 0.5}


async def test_a_look_at_what_is_pulled_says_how_it_is():
    for status, health in (
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (401, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (500, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ):
        async with Replay(status, {"content-type": "application/json"}, b'{"models":[]}') as replay:
            adapter = load(settings(replay.url))
            assert (await adapter.check()).health == health
            await adapter.aclose()
        assert (replay.asked[0].method, replay.asked[0].path) == ("GET", "/api/tags")


async def test_a_prompt_that_was_not_counted_is_estimated_and_says_so():
    usage = (await ask(provider("no_prompt_count"))).answer.usage
    assert usage.source == common_pb2.USAGE_SOURCE_ESTIMATED
    assert usage.input_tokens > 0
    assert usage.output_tokens == 4


async def test_logprobs_come_with_their_alternatives():
    asked = request(include=[chat_pb2.CHAT_INCLUDE_LOGPROBS], generation=chat_pb2.GenerationConfig(top_logprobs=2))
    told = await ask(provider("logprobs"), asked)
    (likely,) = (event.logprobs for event in told.events if event.HasField("logprobs"))
    assert [(token.token, token.logprob, token.token_bytes) for token in likely.tokens] == [("Hi", -0.5, b"Hi")]
    assert [token.token for token in likely.tokens[0].top] == ["Hi", "Ho"]


async def test_raw_lines_are_there_for_who_asks():
    include = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW]
    told = await ask(provider("text_stream"), request(include=include))
    raw = [event.provider_event.json for event in told.events if event.HasField("provider_event")]
    assert told.answer.provider_metadata.raw_json == f"[{','.join(raw)}]"
    assert len(raw) == 4


def test_what_it_cannot_do_is_named():
    tools = [
        chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="f")),
        chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name="web_search")),
    ]
    asked = request(tools=tools)
    asked.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
    state = content_pb2.ProviderState(provider="claude", kind="signature", data=b"s")
    thought = content_pb2.Part(reasoning=content_pb2.Reasoning(text="hm"), provider_state=state)
    opaque = content_pb2.Part(opaque=content_pb2.OpaqueBlock(provider="claude", type="x", json="{}"))
    asked.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=[thought, opaque])
    sent, warned = body(asked)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["f"]
    assert warned == [
        ("PROVIDER_STATE_DROPPED", "messages[1].parts[0].provider_state"),
        ("PROVIDER_STATE_DROPPED", "messages[1].parts[1].opaque"),
        ("TOOL_DROPPED", "tools[1].provider"),
        ("PARAMETER_DROPPED", "tool_choice.mode"),
    ]


def test_no_tool_is_told_of_where_none_may_be_used():
    asked = request(tools=[chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="f"))])
    asked.tool_choice.mode = chat_pb2.TOOL_MODE_NONE
    assert "tools" not in body(asked)[0]


def test_arguments_that_are_no_object_are_sent_inside_one():
    asked = request()
    call = content_pb2.ToolCall(id="c", name="f", arguments_json="{broken")
    asked.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=[content_pb2.Part(tool_call=call)])
    sent, warned = body(asked)
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"INVALID_JSON": "{broken"}
    assert warned == [("ARGUMENTS_WRAPPED", "messages[1].parts[0].tool_call")]


@pytest.mark.parametrize(
    "media",
    [
        content_pb2.Media(mime_type="application/pdf", data=b"x"),
        content_pb2.Media(mime_type="image/png", uri="https://example.com/a.png"),
    ],
    ids=["a document", "an address"],
)
def test_media_other_than_the_bytes_of_images_are_refused_by_field(media):
    with pytest.raises(MaestroError, match=r"messages\[0\].parts\[0\].media") as raised:
        body(request(content_pb2.Part(media=media)))
    assert raised.value.reason is Reason.INVALID_FIELD


async def test_more_texts_than_go_at_once_are_asked_for_in_batches():
    async with provider("embed_batch") as replay:  # two vectors, whatever is asked
        adapter = load(settings(replay.url))
        assert isinstance(adapter, EmbeddingAdapter)
        inputs = [embedding_pb2.EmbedInput(text=str(number)) for number in range(66)]
        told = await adapter.embed(embedding_pb2.EmbedRequest(model="nomic-embed-text", inputs=inputs))
        await adapter.aclose()
    assert sorted(len(asked.json["input"]) for asked in replay.asked) == [2, 64]
    assert {each.error.reason for each in told.vectors[:64] if each.error} == {Reason.PROVIDER_PROTOCOL_ERROR}
    assert [list(each.values) for each in told.vectors[64:]] == [[0.5, 0.25], [1, 2]]
