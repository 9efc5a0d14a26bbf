"""Cohere against a provider on loopback: what it is sent, what is made of its events, and what goes back."""

import json
from typing import Any

import pytest

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2, embedding_pb2
from maestro_adapters.cohere.embedding import question as embed_question
from maestro_adapters.cohere.question import question
from maestro_adapters.registry import load
from maestro_spi import AdapterSettings, Answer, MaestroError, Reason
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse
from tests.conformance.replay import Replay

OURS: dict[str, Exchange] = {each.id.removeprefix("cohere/"): each for each in own(["cohere"])}


def settings(url: str | None, **options: Any) -> AdapterSettings:
    return AdapterSettings(name="co", adapter="cohere", base_url=url, api_key="key-1", options=options)  # type: ignore[arg-type]  # pydantic reads it


def request(*parts: content_pb2.Part, **fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts or [content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model="command-a-03-2025", messages=[said], **fields)


def provider(name: str) -> Replay:
    exchange = OURS[name]
    return Replay(exchange.status, exchange.headers, exchange.body)


async def ask(replay: Replay, asked: chat_pb2.ChatRequest | None = None, **options: Any) -> Told:
    async with replay:
        return await converse(settings(replay.url, **options), asked or request())


def body(asked: chat_pb2.ChatRequest) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is sent, and what the answer warns of."""
    answer = Answer("co", asked)
    told = question(asked, "co", answer, stream=True, usual={})
    return told, [(event.warning.code, event.warning.field) for event in answer.drain() if event.HasField("warning")]


def thought(text: str) -> dict[str, str]:
    return {"type": "thinking", "thinking": text}


async def test_the_key_is_sent_and_the_second_api_asked():
    replay = provider("text_stream")
    await ask(replay, body={"safety_mode": "STRICT"})
    (asked,) = replay.asked
    assert (asked.path, asked.headers["authorization"]) == ("/v2/chat", "Bearer key-1")
    assert asked.json["safety_mode"] == "STRICT"


async def test_a_look_at_the_models_says_how_it_is():
    for status, health in (
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (401, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (500, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ):
        async with Replay(status, {"content-type": "application/json"}, b'{"models":[]}') as replay:
            adapter = load(settings(replay.url))
            assert (await adapter.check()).health == health
            await adapter.aclose()
        assert (replay.asked[0].method, replay.asked[0].path) == ("GET", "/v1/models")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("tools_stream", {"tool_plan": "I will look."}),
        ("thinking_stream", {"content": [thought("Hm, well."), {"type": "text", "text": "Yes."}]}),
        ("text_whole", {"content": [thought("Hm."), {"type": "text", "text": "Hello."}]}),
    ],
)
async def test_plans_and_thoughts_go_back_each_to_its_place_and_to_nobody_else(name, sent):
    told = await ask(provider(name), stream=OURS[name].streamed)
    again = request()
    again.messages.extend(told.answer.messages)
    assert body(again)[0]["messages"][1].items() >= sent.items()
    assert body(again)[1] == []
    again.messages[1].parts[0].provider_state.provider = "another"
    left, warned = body(again)
    assert "tool_plan" not in left["messages"][1]
    assert "thinking" not in json.dumps(left)
    assert warned == [("PROVIDER_STATE_DROPPED", "messages[1].parts[0].provider_state")]


@pytest.mark.parametrize("name", ["citations_whole", "citations_stream"])
async def test_citations_name_their_place_and_their_source(name):
    told = await ask(provider(name), stream=OURS[name].streamed)
    (cited,) = told.answer.messages[0].parts[0].citations
    assert (cited.start_index, cited.end_index, cited.cited_text) == (3, 10, "degrees")
    assert (cited.title, cited.uri) == ("Weather", "https://example.com/w")
    assert json.loads(cited.provider_json)["sources"][0]["id"] == "d1"


async def test_logprobs_come_for_who_asks():
    told = await ask(provider("logprobs_stream"), request(include=[chat_pb2.CHAT_INCLUDE_LOGPROBS]))
    (likely,) = (event.logprobs for event in told.events if event.HasField("logprobs"))
    assert [(token.token, token.logprob) for token in likely.tokens] == [("Hi", -0.5)]
    told = await ask(provider("logprobs_stream"))
    assert not any(event.HasField("logprobs") for event in told.events)


async def test_a_stop_sequence_is_named_where_there_is_but_one():
    asked = request(generation=chat_pb2.GenerationConfig(stop_sequences=["END"]))
    told = await ask(provider("end_stop_sequence"), asked, stream=False)
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP_SEQUENCE
    assert told.answer.stop_sequence == "END"


async def test_an_answer_that_failed_is_an_error_whose_words_came_first():
    told = await ask(provider("error_in_stream"))
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_UNAVAILABLE
    assert told.error.word.code == "INVALID_TOOL_GENERATION"
    assert not told.error.retryable  # the plan has been told
    assert told.answer.messages[0].parts[0].reasoning.text == "I look."


async def test_raw_events_are_there_for_who_asks():
    include = [chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW]
    told = await ask(provider("text_stream"), request(include=include))
    raw = [event.provider_event.type for event in told.events if event.HasField("provider_event")]
    assert (raw[0], raw[-1]) == ("message-start", "message-end")
    assert len(json.loads(told.answer.provider_metadata.raw_json)) == len(raw)


async def test_what_is_no_answer_cannot_be_read():
    for said in (b"{}", b"[]", b'{"message":{"content":1}}'):
        told = await ask(Replay(200, {"content-type": "application/json"}, said), stream=False)
        assert told.error is not None
        assert told.error.reason is Reason.PROVIDER_PROTOCOL_ERROR


def test_text_documents_go_beside_the_messages():
    document = content_pb2.Media(
        modality=common_pb2.MODALITY_DOCUMENT, mime_type="text/plain", data=b"so it says", filename="policy"
    )
    sent, _ = body(request(content_pb2.Part(text="what?"), content_pb2.Part(media=document)))
    assert sent["messages"] == [{"role": "user", "content": "what?"}]
    assert sent["documents"] == [{"id": "policy", "data": {"text": "so it says"}}]
    document.mime_type = "application/pdf"
    with pytest.raises(MaestroError, match="images are taken"):
        body(request(content_pb2.Part(media=document)))


def test_only_allowed_tools_are_told_of_and_what_it_lacks_is_named():
    tools = [chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name, strict=True)) for name in "fg"]
    tools.append(chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name="web_search")))
    asked = request(tools=tools)
    asked.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
    asked.tool_choice.allowed_tools.append("g")
    sent, warned = body(asked)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["g"]
    assert (sent["tool_choice"], sent["strict_tools"]) == ("REQUIRED", True)
    assert warned == [("TOOL_DROPPED", "tools[2].provider")]


def test_images_are_embedded_as_contents():
    image = content_pb2.Media(mime_type="image/png", data=b"x")
    inputs = [embedding_pb2.EmbedInput(text="a", title="t"), embedding_pb2.EmbedInput(media=image)]
    asked = embedding_pb2.EmbedRequest(model="embed-v4.0", inputs=inputs)
    sent = embed_question(asked, asked.inputs, "co")
    assert "texts" not in sent
    assert [one["content"][0] for one in sent["inputs"]] == [
        {"type": "text", "text": "t\na"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
    ]
