import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from maestro.v1 import capability_pb2, chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_chat.adapter import OpenAIChat
from maestro_adapters.openai_chat.conversation import Conversation
from maestro_adapters.openai_chat.question import parameters, question
from maestro_adapters.openai_chat.quirks import Quirks
from maestro_adapters.openai_chat.think import ThinkTags
from maestro_spi import AdapterSettings, Answer, MaestroError, Reason
from tests.conformance.dialects.openai_chat import DIALECT
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse

OURS = {exchange.id.partition("/")[2]: exchange for exchange in own(["openai_chat"])}
NAME = "openai_chat"


async def play(exchange: Exchange | str, request: chat_pb2.ChatRequest | None = None, name: str = NAME) -> Told:
    exchange = OURS[exchange] if isinstance(exchange, str) else exchange
    async with DIALECT.replay(exchange) as replay:
        settings = DIALECT.settings(exchange, replay.url).model_copy(update={"name": name})
        return await converse(settings, request or DIALECT.ours(exchange))


def parts(told: Told) -> list[content_pb2.Part]:
    return [part for message in told.answer.messages for part in message.parts]


def user(text: str = "hi") -> content_pb2.Message:
    return content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])


def back(
    told: Told, quirks: Mapping[str, Any], provider: str = NAME
) -> tuple[dict[str, Any], list[common_pb2.Warning]]:
    """The assistant's turn as it goes back, and what was warned of."""
    request = chat_pb2.ChatRequest(messages=told.answer.messages)
    answer = Answer(provider, request)
    message = Conversation(Quirks.model_validate(quirks), provider, answer).messages(request)[0]
    return message, [event.warning for event in answer.drain() if event.HasField("warning")]


def body(request: chat_pb2.ChatRequest, **quirks: Any) -> dict[str, Any]:
    return question(request, Quirks.model_validate(quirks), NAME, Answer(NAME, request))


# State goes back byte for byte, and to nobody else.


async def test_reasoning_details_go_back_as_they_came():
    sent = json.loads(OURS["reasoning_details"].body)["choices"][0]["message"]["reasoning_details"]
    told = await play("reasoning_details")
    message, warnings = back(told, {"reasoning_field": "reasoning"})
    assert message["reasoning_details"] == sent
    assert message["reasoning"] == "Two and two."
    assert message["content"] == "Four."
    assert warnings == []


async def test_state_of_another_provider_is_left_out_and_named():
    told = await play("reasoning_details", name="other")
    message, warnings = back(told, {"reasoning_field": "reasoning"})
    assert "reasoning_details" not in message
    assert [(warning.code, warning.field) for warning in warnings] == [
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[0].provider_state")
    ]


async def test_reasoning_that_a_vendor_does_not_take_back_is_named():
    message, warnings = back(await play("reasoning_stream"), {})
    assert set(message) == {"role", "content"}
    assert [warning.code for warning in warnings] == ["REASONING_DROPPED"]


async def test_audio_of_an_answer_goes_back_by_its_id():
    told = await play("audio_answer")
    [part] = parts(told)
    assert part.media.data == b"RIFF"
    assert part.media.mime_type == "audio/wav"
    assert part.media.transcript == "Hi there."
    assert back(told, {})[0]["audio"] == {"id": "audio_1"}


async def test_an_old_function_call_goes_back_as_one():
    message, _ = back(await play("function_call"), {})
    assert message["function_call"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert "tool_calls" not in message


async def test_a_signature_on_a_tool_call_goes_back_on_it():
    answer = json.loads(OURS["tool_call"].body)
    signed = {"google": {"thought_signature": "c2ln+/=="}}
    answer["choices"][0]["message"]["tool_calls"][0]["extra_content"] = signed
    told = await play(said(OURS["tool_call"], answer))
    message, _ = back(told, {})
    assert message["tool_calls"][0]["extra_content"] == signed


async def test_an_object_where_text_should_be_is_kept_and_goes_back():
    answer = json.loads(OURS["text"].body)
    answer["choices"][0]["message"]["content"] = {"kind": "card", "n": 1}
    told = await play(said(OURS["text"], answer))
    [part] = parts(told)
    assert part.opaque.provider == NAME
    assert json.loads(part.opaque.json) == {"kind": "card", "n": 1}
    assert back(told, {})[0]["content"] == [{"kind": "card", "n": 1}]


def said(exchange: Exchange, answer: Any) -> Exchange:
    return replace(exchange, body=json.dumps(answer).encode())


# What an answer holds besides.


async def test_sources_are_citations_and_come_once():
    [part] = parts(await play("sources_stream"))
    [citation] = part.citations
    assert (citation.uri, citation.title, citation.cited_text) == ("https://example.com/p", "Paris", "The capital.")


async def test_an_annotation_is_a_citation_of_its_place():
    [part] = parts(await play("citations"))
    [citation] = part.citations
    assert (citation.start_index, citation.end_index, citation.title) == (6, 9, "Paris")


async def test_logprobs_come_if_they_were_asked_for():
    told = await play("logprobs_stream")
    [tokens] = told.answer.logprobs
    assert [(token.token, token.logprob) for token in tokens.tokens] == [("Hi", -0.25)]
    unasked = await play("logprobs_stream", chat_pb2.ChatRequest(model="m", messages=[user()]))
    assert not unasked.answer.logprobs


async def test_what_it_says_about_itself_is_kept():
    metadata = (await play("text")).answer.provider_metadata
    assert metadata.response_id == "chatcmpl-1"
    assert metadata.request_id == "req_1"
    assert metadata.system_fingerprint == "fp_1"
    assert metadata.service_tier == "default"


async def test_raw_events_and_the_raw_answer_come_if_they_were_asked_for():
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    request.include.extend([chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW])
    told = await play("text_stream", request)
    raw = [event.provider_event for event in told.events if event.HasField("provider_event")]
    assert [event.type for event in raw] == ["chat.completion.chunk"] * 6
    assert json.loads(told.answer.provider_metadata.raw_json) == [json.loads(event.json) for event in raw]
    assert json.loads((await play("text", request)).answer.provider_metadata.raw_json)["id"] == "chatcmpl-1"


async def test_a_filter_that_found_something_is_a_warning():
    told = await play("content_filter_stream")
    assert [(warning.code, "violence" in warning.message) for warning in told.answer.warnings] == [
        ("CONTENT_FILTERED", True)
    ]


async def test_more_than_one_choice_is_a_warning():
    assert [warning.code for warning in (await play("choices")).answer.warnings] == ["CHOICES_DROPPED"]


async def test_usage_that_never_came_is_estimated_and_says_so():
    assert (await play("usage_missing_stream")).answer.usage.source == common_pb2.USAGE_SOURCE_ESTIMATED


async def test_a_tool_that_the_provider_ran_is_its_own_and_does_not_end_the_turn():
    answer = json.loads(OURS["text"].body)
    ran = {"index": 0, "type": "search", "arguments": '{"q":"x"}', "output": "found"}
    answer["choices"][0]["message"]["executed_tools"] = [ran]
    told = await play(said(OURS["text"], answer))
    call = parts(told)[0].tool_call
    assert (call.name, call.arguments_json, call.executor) == (
        "search",
        '{"q":"x"}',
        content_pb2.TOOL_EXECUTOR_PROVIDER,
    )
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert "tool_calls" not in back(told, {})[0]


async def test_what_was_said_before_a_failure_is_told_before_it():
    told = await play("error_in_stream")
    assert [part.text for part in parts(told)] == ["Once"]
    assert told.error is not None
    assert told.error.reason is Reason.PROVIDER_UNAVAILABLE
    assert not told.error.retryable


async def test_an_answer_as_json_where_a_stream_was_asked_for_is_read_all_the_same():
    exchange = replace(OURS["text"], tags=frozenset({"stream"}))
    assert (await play(exchange)).answer.messages[0].parts[0].text == "Grüß dich! 😀"


@pytest.mark.parametrize(
    "pieces", [["<think>a</think>\n\nb"], list("<think>a</think>\n\nb"), ["<thi", "nk>a</th", "ink>b"]]
)
def test_think_tags_are_found_however_they_are_torn(pieces):
    tags = ThinkTags()
    told = [piece for text in pieces for piece in tags.feed(text)] + tags.close()
    assert "".join(text for thought, text in told if thought) == "a"
    assert "".join(text for thought, text in told if not thought).strip() == "b"


@pytest.mark.parametrize("text", ["no tags", "<thin air", "a <think>b</think>", "<", ""])
def test_text_without_think_tags_at_its_beginning_is_text(text):
    tags = ThinkTags()
    told = [piece for letter in text for piece in tags.feed(letter)] + tags.close()
    assert "".join(piece for _, piece in told) == text
    assert not any(thought for thought, _ in told)


# What is asked.


def test_raw_options_are_merged_last_object_into_object_and_null_takes_away():
    request = chat_pb2.ChatRequest(model="m", messages=[user()], end_user="u")
    request.provider_options_json[NAME] = '{"stream_options":{"x":1},"user":null,"n":2}'
    request.provider_options_json["other"] = '{"n":3}'
    asked = body(request)
    assert asked["stream_options"] == {"include_usage": True, "x": 1}
    assert "user" not in asked
    assert asked["n"] == 2


@pytest.mark.parametrize("raw", ["[]", "{", "7"])
def test_raw_options_that_are_no_object_are_the_callers_fault(raw):
    request = chat_pb2.ChatRequest(model="m", messages=[user()], provider_options_json={NAME: raw})
    with pytest.raises(MaestroError, match="INVALID_FIELD: provider_options_json"):
        body(request)


def test_a_schema_that_is_no_json_is_the_callers_fault():
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    request.tools.add().function.CopyFrom(chat_pb2.FunctionTool(name="f", input_schema_json="{"))
    with pytest.raises(MaestroError, match=r"INVALID_FIELD: tools\[0\]\.function\.input_schema_json"):
        body(request)


@pytest.mark.parametrize(
    ("quirks", "effort", "asked"),
    [
        ({}, "HIGH", {"reasoning_effort": "high"}),
        ({}, "MAX", {"reasoning_effort": "xhigh"}),
        ({}, "NONE", {"reasoning_effort": "none"}),
        ({"max_effort": "max"}, "MAX", {"reasoning_effort": "max"}),
        ({"reasoning": "object"}, "LOW", {"reasoning": {"effort": "low"}}),
        ({"reasoning": "thinking"}, "LOW", {"thinking": {"type": "enabled"}}),
        ({"reasoning": "thinking"}, "NONE", {"thinking": {"type": "disabled"}}),
        ({"reasoning": "enable_thinking"}, "LOW", {"enable_thinking": True}),
        ({"reasoning": "none"}, "LOW", {}),
    ],
)
def test_effort_is_said_as_the_vendor_wants_it(quirks, effort, asked):
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    request.reasoning.effort = chat_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{effort}")
    usual = set(body(chat_pb2.ChatRequest(model="m", messages=[user()])))
    assert {name: value for name, value in body(request, **quirks).items() if name not in usual} == asked


def test_fields_bear_the_vendors_names_or_are_not_sent_and_not_claimed():
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    request.generation.max_output_tokens = 5
    request.generation.seed = 7
    request.generation.top_k = 40
    quirks = {"fields": {"max_completion_tokens": "max_tokens", "seed": None, "top_k": "top_k", "stream_options": None}}
    asked = body(request, **quirks)
    assert asked["max_tokens"] == 5
    assert asked["top_k"] == 40
    assert not {"max_completion_tokens", "seed", "stream_options"} & set(asked)
    claimed = parameters(Quirks.model_validate(quirks))
    assert "generation.seed" not in claimed
    assert "generation.top_k" in claimed
    assert "generation.top_k" not in parameters(Quirks())
    assert "generation.max_output_tokens" in claimed


def test_a_choice_of_several_tools_is_a_shorter_list_where_the_vendor_has_no_such_choice():
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    for name in ("f", "g", "h"):
        request.tools.add().function.name = name
    request.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
    request.tool_choice.allowed_tools.extend(["f", "g"])
    assert [tool["function"]["name"] for tool in body(request)["tools"]] == ["f", "g", "h"]
    assert body(request)["tool_choice"]["allowed_tools"]["mode"] == "required"
    asked = body(request, allowed_tools=False)
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["f", "g"]
    assert asked["tool_choice"] == "required"


def test_media_in_a_tools_result_follow_as_the_users():
    request = chat_pb2.ChatRequest(model="m", messages=[content_pb2.Message(role=content_pb2.ROLE_TOOL)])
    result = request.messages[0].parts.add().tool_result
    result.tool_call_id = "c"
    result.content.add().text = "look"
    result.content.add().media.CopyFrom(content_pb2.Media(mime_type="image/png", data=b"x"))
    tool, follows = body(request)["messages"]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": "look"}
    assert follows["role"] == "user"
    assert follows["content"][0]["image_url"]["url"] == "data:image/png;base64,eA=="


@pytest.mark.parametrize(
    ("media", "quirks"),
    [
        (content_pb2.Media(mime_type="video/mp4", uri="https://example.com/v"), {}),
        (content_pb2.Media(mime_type="application/pdf", uri="https://example.com/d"), {}),
        (content_pb2.Media(mime_type="audio/wav", uri="https://example.com/a"), {}),
        (content_pb2.Media(mime_type="application/pdf", data=b"x"), {"documents": "none"}),
    ],
)
def test_media_that_a_vendor_does_not_take_are_refused_by_name(media, quirks):
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(media=media)])
    with pytest.raises(MaestroError, match=r"INVALID_FIELD: messages\[0\]\.parts\[0\]\.media"):
        body(chat_pb2.ChatRequest(model="m", messages=[message]), **quirks)


def test_a_tool_that_the_provider_does_not_run_is_left_out_and_named():
    request = chat_pb2.ChatRequest(model="m", messages=[user()])
    request.tools.add().provider.name = "computer_use"
    answer = Answer(NAME, request)
    assert "tools" not in question(request, Quirks(), NAME, answer)
    assert [event.warning.code for event in answer.drain() if event.HasField("warning")] == ["TOOL_DROPPED"]


# The provider as such.


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (200, capability_pb2.PROVIDER_HEALTH_SERVING),
        (404, capability_pb2.PROVIDER_HEALTH_SERVING),
        (401, capability_pb2.PROVIDER_HEALTH_KEY_REFUSED),
        (503, capability_pb2.PROVIDER_HEALTH_UNREACHABLE),
    ],
)
async def test_a_checkup_asks_for_the_models_and_costs_nothing(status, health):
    exchange = replace(OURS["text"], status=status, body=b"{}")
    async with DIALECT.replay(exchange) as replay:
        adapter = OpenAIChat(DIALECT.settings(exchange, replay.url))
        assert (await adapter.check()).health == health
        await adapter.aclose()
        assert [(asked.method, asked.path) for asked in replay.asked] == [("GET", "/v1/models")]


async def test_its_models_are_those_of_the_settings_with_what_they_differ_in():
    models = ["a", {"name": "b", "title": "B", "capabilities": ["tools"], "context_tokens": 8000}]
    adapter = OpenAIChat(AdapterSettings(name="p", adapter=NAME, options={"models": models}))
    a, b = adapter.models()
    assert common_pb2.CAPABILITY_VISION in a.capabilities
    assert list(b.capabilities) == [common_pb2.CAPABILITY_TOOLS]
    assert (b.title, b.context_tokens, b.parameters) == ("B", 8000, a.parameters)
    await adapter.aclose()
    with pytest.raises(ValueError, match="'colour' is not known"):
        OpenAIChat(AdapterSettings(name="p", adapter=NAME, options={"models": [{"name": "a", "colour": "red"}]}))
