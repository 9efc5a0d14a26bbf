"""What becomes of the items of the Responses API: parts, their state, and the tools that the provider runs."""

import json
from typing import Any

import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_responses.adapter import OpenAIResponses
from maestro_spi import AdapterSettings
from tests.conformance.dialects.openai_responses import DIALECT
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import Told, converse

EXCHANGES = {exchange.id.partition("/")[2]: exchange for exchange in own(["openai_responses"])}
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER


async def tell(name: str, *include: chat_pb2.ChatInclude.ValueType) -> Told:
    exchange = EXCHANGES[name]
    request = DIALECT.ours(exchange)
    request.include.extend(include)
    async with DIALECT.replay(exchange) as replay:
        told = await converse(DIALECT.settings(exchange, replay.url), request)
    assert told.error is None
    return told


def parts(told: Told) -> list[content_pb2.Part]:
    return [part for message in told.answer.messages for part in message.parts]


def updates(told: Told) -> list[str]:
    states = [each.tool_call_update.state for each in told.events if each.HasField("tool_call_update")]
    return [content_pb2.ToolCallState.Name(state).removeprefix("TOOL_CALL_STATE_") for state in states]


def warnings(told: Told) -> list[str]:
    return [warning.code for warning in told.answer.warnings]


async def test_a_plain_message_needs_no_state():
    (part,) = parts(await tell("text_stream"))
    assert not part.HasField("provider_state")


async def test_a_message_that_says_more_keeps_it():
    first, second = parts(await tell("text_in_two_messages"))
    assert json.loads(first.provider_state.data)["phase"] == "commentary"
    assert json.loads(second.provider_state.data)["phase"] == "final_answer"
    assert first.provider_state.provider == "openai"


async def test_a_whole_that_differs_from_its_pieces_is_a_warning():
    assert warnings(await tell("text_differs")) == ["PROVIDER_TEXT_DIFFERS"]
    assert warnings(await tell("text_stream")) == []


async def test_what_no_arm_can_hold_is_kept_as_it_came():
    *_, block = parts(await tell("unknown_event_and_item"))
    assert block.opaque.type == "newer_item"
    assert block.opaque.provider == "openai"
    assert "12345678901234567890" in block.opaque.json


async def test_each_summary_is_a_part_and_the_last_carries_the_encrypted_state():
    told = parts(await tell("reasoning_summary_stream"))
    assert [part.reasoning.text for part in told[:2]] == ["Adding up.", "Checking."]
    assert all(part.reasoning.summary for part in told[:2])
    assert not told[0].HasField("provider_state")
    assert json.loads(told[1].provider_state.data)["encrypted_content"] == "gAAAAAbc+/="
    assert json.loads(told[2].provider_state.data)["id"] == "msg_1"


async def test_reasoning_that_shows_nothing_is_redacted():
    first, _ = parts(await tell("reasoning_encrypted"))
    assert first.reasoning.redacted
    assert first.provider_state.kind == "item"


async def test_a_search_is_a_call_of_the_providers_with_its_progress_and_its_sources():
    told = await tell("web_search_stream", chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT)
    call, result, text = parts(told)
    assert (call.tool_call.name, call.tool_call.executor) == ("web_search", PROVIDER)
    assert json.loads(call.tool_call.arguments_json)["query"] == "news"
    assert updates(told) == ["RUNNING", "SUCCEEDED"]
    assert "example.com" in result.tool_result.structured_json
    assert [(each.uri, each.start_index, each.end_index) for each in text.citations] == [
        ("https://example.com/a", 0, 5)
    ]
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert [(each.tool, each.count) for each in told.answer.usage.billed_tools] == [("web_search", 1)]


async def test_what_a_search_gave_is_told_only_to_who_asks():
    exchange = EXCHANGES["file_search"]
    request = DIALECT.ours(exchange)
    asked = await tell("file_search")
    assert [part.WhichOneof("kind") for part in parts(asked)] == ["tool_call", "tool_result", "text"]
    del request.include[:]
    async with DIALECT.replay(exchange) as replay:
        plain = await converse(DIALECT.settings(exchange, replay.url), request)
    assert [part.WhichOneof("kind") for part in parts(plain)] == ["tool_call", "text"]


async def test_code_grows_as_json_text_and_its_output_is_a_result():
    call, result, _ = parts(await tell("code_interpreter_stream"))
    assert call.tool_call.arguments_json == '{"code":"print(\\"1\\\\n\\")\\n"}'
    assert [piece.text or piece.media.uri for piece in result.tool_result.content] == [
        "1\n",
        "https://example.com/plot.png",
    ]


async def test_commands_grow_as_json_text_and_what_they_print_is_news():
    told = await tell("shell_in_container_stream")
    call = parts(told)[0]
    assert (call.tool_call.executor, call.tool_call.arguments_json) == (PROVIDER, '{"commands":["ls","pwd"]}')
    assert [each.tool_call_update.output_delta for each in told.events if each.tool_call_update.output_delta] == ["a\n"]


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("shell_local", "shell"),
        ("local_shell", "local_shell"),
        ("apply_patch", "apply_patch"),
        ("computer", "computer_use"),
    ],
)
async def test_shells_patches_and_screens_are_the_callers_to_run(name: str, tool: str):
    told = await tell(name)
    (call,) = parts(told)
    assert (call.tool_call.id, call.tool_call.name) == ("call_0", tool)
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    assert json.loads(call.tool_call.arguments_json)


async def test_a_picture_is_media_and_so_is_each_one_on_the_way():
    told = parts(await tell("image_generation_stream"))
    assert [part.WhichOneof("kind") for part in told] == ["tool_call", "media", "media", "text"]
    assert [part.media.data[:4] for part in told[1:3]] == [b"\x89PNG"] * 2
    assert told[2].media.modality == common_pb2.MODALITY_IMAGE
    assert (told[2].media.mime_type, told[2].provider_state.kind) == ("image/png", "item")


async def test_tools_of_an_mcp_server_are_run_there():
    told = await tell("mcp_stream", chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT)
    listed, call, result, _ = parts(told)
    assert listed.opaque.type == "mcp_list_tools"
    assert (call.tool_call.name, call.tool_call.arguments_json) == ("search", '{"q":"a"}')
    assert result.tool_result.content[0].text == "Found."
    failed = await tell("mcp_failed", chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT)
    assert parts(failed)[1].tool_result.is_error
    assert updates(failed) == ["FAILED"]


async def test_searches_that_the_provider_wrote_as_custom_calls_are_not_the_callers():
    told = await tell("xai_search_stream")
    assert parts(told)[0].tool_call.executor == PROVIDER
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_STOP


async def test_sound_comes_with_what_is_said_in_it():
    (part,) = parts(await tell("audio_stream"))
    assert (part.media.data, part.media.transcript) == (b"RIFF", "Hi there.")
    assert part.media.modality == common_pb2.MODALITY_AUDIO


async def test_probabilities_are_told_to_who_asks():
    told = await tell("logprobs_stream")
    (token,) = told.answer.logprobs[0].tokens
    assert (token.token, token.logprob, token.top[0].token) == ("Hi", -0.25, "Yo")


async def test_raw_events_and_the_raw_response_are_told_to_who_asks():
    told = await tell("text_stream", chat_pb2.CHAT_INCLUDE_PROVIDER_EVENTS, chat_pb2.CHAT_INCLUDE_PROVIDER_RAW)
    types = [each.provider_event.type for each in told.events if each.HasField("provider_event")]
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert json.loads(told.answer.provider_metadata.raw_json)["id"] == "resp_1"
    assert told.answer.provider_metadata.request_id == "req_1"


async def test_a_call_that_waits_for_a_yes_ends_the_turn():
    item: dict[str, Any] = {
        "id": "mcpr_0",
        "type": "mcp_approval_request",
        "arguments": "{}",
        "name": "delete",
        "server_label": "docs",
    }
    body = json.dumps({"id": "resp_1", "model": "m", "status": "completed", "output": [item]}).encode()
    exchange = Exchange("waits", "openai.responses", "openai.responses", 200, {}, body, None, "/v1/responses", {})
    async with DIALECT.replay(exchange) as replay:
        told = await converse(DIALECT.settings(exchange, replay.url), DIALECT.ours(exchange))
    assert told.answer.finish_reason == chat_pb2.FINISH_REASON_AWAITING_APPROVAL
    assert updates(told) == ["AWAITING_APPROVAL"]


async def test_it_says_what_it_is_and_honours():
    adapter = OpenAIResponses(
        AdapterSettings(
            name="openai",
            adapter="openai_responses",
            api_key="sk-secret",
            options={"models": ["gpt-5"], "fields": {"service_tier": None}},
        )
    )
    (facts,) = adapter.models()
    assert "generation.stop_sequences" not in facts.parameters
    assert "generation.service_tier" not in facts.parameters
    assert "reasoning.return_encrypted" in facts.parameters
    assert "sk-secret" not in repr(adapter)
    assert adapter.version.startswith("openai_responses 1 (openai ")
    await adapter.aclose()
