"""What is sent to the Responses API: every item as it came, and nothing that belongs to another."""

import json
from typing import Any

import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.openai_responses.question import Names, question
from maestro_adapters.openai_responses.quirks import Quirks
from maestro_spi import Answer, MaestroError, Reason
from tests.conformance.dialects.openai_responses import DIALECT
from tests.conformance.exchange import Exchange, own
from tests.conformance.play import converse

ASSISTANT = content_pb2.ROLE_ASSISTANT
USER = content_pb2.ROLE_USER
TOOL = content_pb2.ROLE_TOOL


def ask(
    request: chat_pb2.ChatRequest, provider: str = "openai", names: Names | None = None, **quirks: Any
) -> tuple[dict[str, Any], list[str]]:
    """The body, and the codes of the warnings."""
    answer = Answer(provider, request)
    read = Quirks.model_validate(quirks)
    body = question(request, read, provider, answer, names or Names(), adapter="openai_responses")
    return body, [event.warning.code for event in answer.drain() if event.HasField("warning")]


def said(role: content_pb2.Role.ValueType, *parts: content_pb2.Part) -> content_pb2.Message:
    return content_pb2.Message(role=role, parts=parts)


def from_(provider: str, state: dict[str, Any], kind: str = "item") -> content_pb2.ProviderState:
    return content_pb2.ProviderState(provider=provider, kind=kind, data=json.dumps(state).encode())


def output(exchange: Exchange) -> list[dict[str, Any]]:
    """The items that the provider sent; those of a stream as they were when they were done."""
    if not exchange.streamed:
        items = json.loads(exchange.body)["output"]
    else:
        lines = [line[5:] for line in exchange.body.decode().splitlines() if line.startswith("data: {")]
        events = [json.loads(line) for line in lines]
        items = [event["item"] for event in events if event.get("type") == "response.output_item.done"]
        items = items or events[-1].get("response", {}).get("output", [])
    return list(items)


TOLD = [
    exchange
    for exchange in own(["openai_responses"])
    if exchange.status == 200 and not exchange.expected["error"] and exchange.expected["finish_reason"]
]
# What goes back otherwise, and why.
OTHERWISE = {
    "text_differs": "the pieces are what was said, not the whole",
    "types_by_event_name": "the events do not say their types",
    "function_calls_interleaved_stream": "items in the order in which they began, not ended",
    "function_call_without_arguments": "no arguments are an empty object",
    "unknown_event_and_item": "the message came before the item that makes ids matter",
}


@pytest.mark.parametrize("exchange", [each for each in TOLD if each.id.partition("/")[2] not in OTHERWISE], ids=str)
async def test_an_answer_goes_back_as_the_items_that_it_came_in(exchange: Exchange) -> None:
    async with DIALECT.replay(exchange) as replay:
        told = await converse(DIALECT.settings(exchange, replay.url), DIALECT.ours(exchange))
    body, _ = ask(chat_pb2.ChatRequest(model="m", messages=told.answer.messages))
    items = [
        item for item in output(exchange) if item["type"] != "reasoning" or set(item) & {"encrypted_content", "content"}
    ]
    linked = any(item["type"] not in ("message", "function_call") for item in output(exchange))
    assert _told(body["input"], ids=linked) == _told(items, ids=linked)


def _told(items: list[dict[str, Any]], *, ids: bool) -> Any:
    """Items without what is no part of what was said: probabilities, nulls, and ids that nothing leans on."""
    dropped = {"logprobs"} if ids else {"logprobs", "id", "status", "type", "annotations", "phase"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items() if key not in dropped and each is not None}
        return [plain(each) for each in value] if isinstance(value, list) else value

    return plain(items)


def test_reasoning_goes_back_byte_for_byte_and_to_nobody_else():
    secret = "gAAAAABo/+==\u00e9"
    state = from_("openai", {"id": "rs_1", "type": "reasoning", "encrypted_content": secret})
    thought = content_pb2.Part(reasoning=content_pb2.Reasoning(text="Hm.", summary=True), provider_state=state)
    request = chat_pb2.ChatRequest(model="m", messages=[said(ASSISTANT, thought, content_pb2.Part(text="4"))])
    body, warned = ask(request)
    assert body["input"][0] == {
        "id": "rs_1",
        "type": "reasoning",
        "encrypted_content": secret,
        "summary": [{"type": "summary_text", "text": "Hm."}],
    }
    assert warned == []
    other, warned = ask(request, provider="another")
    assert secret not in json.dumps(other, ensure_ascii=False)
    assert warned == ["PROVIDER_STATE_DROPPED"]


def test_reasoning_that_the_provider_would_have_to_look_up_is_left_out_unless_it_stores():
    state = from_("openai", {"id": "rs_1", "type": "reasoning"})
    thought = content_pb2.Part(reasoning=content_pb2.Reasoning(text="Hm.", summary=True), provider_state=state)
    request = chat_pb2.ChatRequest(model="m", messages=[said(ASSISTANT, thought)])
    body, warned = ask(request)
    assert (body["input"], body["store"], warned) == ([], False, ["REASONING_DROPPED"])
    request.provider_options_json["openai"] = '{"store": true}'
    body, warned = ask(request)
    assert (body["input"][0]["id"], body["store"], warned) == ("rs_1", True, [])


def test_what_others_thought_and_ran_is_left_out_with_a_warning_each():
    signed = content_pb2.Part(reasoning=content_pb2.Reasoning(text="Hm."), provider_state=from_("b", {}, "signature"))
    ran = content_pb2.ToolCall(id="t1", name="web_search", executor=content_pb2.TOOL_EXECUTOR_PROVIDER)
    result = content_pb2.ToolResult(tool_call_id="t1", content=[content_pb2.Part(text="found")])
    messages = [
        said(ASSISTANT, signed, content_pb2.Part(tool_call=ran)),
        said(TOOL, content_pb2.Part(tool_result=result)),
        said(ASSISTANT, content_pb2.Part(reasoning=content_pb2.Reasoning(text="Well.")), content_pb2.Part(text="4")),
        said(USER, content_pb2.Part(opaque=content_pb2.OpaqueBlock(provider="b", type="x", json="{}"))),
    ]
    body, warned = ask(chat_pb2.ChatRequest(model="m", messages=messages))
    assert body["input"] == [{"role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]
    assert warned == ["PROVIDER_STATE_DROPPED", "PROVIDER_STATE_DROPPED", "REASONING_DROPPED", "PROVIDER_STATE_DROPPED"]


def test_names_are_spelt_in_the_letters_that_the_api_takes_and_lead_back():
    request = chat_pb2.ChatRequest(model="m", tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED))
    for name in ("fs.read", "fs_read"):
        request.tools.add().function.name = name
    request.tool_choice.allowed_tools.append("fs.read")
    call = content_pb2.ToolCall(id="c1", name="fs.read", arguments_json='{"a": 1}')
    request.messages.append(said(ASSISTANT, content_pb2.Part(tool_call=call)))
    names = Names()
    body, _ = ask(request, names=names)
    assert [tool["name"] for tool in body["tools"]] == ["fs_read", "fs_read_2"]
    assert body["tool_choice"] == {"type": "function", "name": "fs_read"}
    assert body["input"][0] == {
        "type": "function_call",
        "call_id": "c1",
        "name": "fs_read",
        "arguments": '{"a": 1}',
    }
    assert names.ours == {"fs_read": "fs.read", "fs_read_2": "fs_read"}


def answered(item: dict[str, Any], result: content_pb2.ToolResult) -> dict[str, Any]:
    """The last item sent, where a call of the provider's shape is answered."""
    executor = content_pb2.TOOL_EXECUTOR_PROVIDER if item["type"] == "mcp_approval_request" else 0
    call = content_pb2.ToolCall(id=result.tool_call_id, name="tool", executor=executor, arguments_json="SELECT 1")
    part = content_pb2.Part(tool_call=call, provider_state=from_("openai", item))
    messages = [said(ASSISTANT, part), said(TOOL, content_pb2.Part(tool_result=result))]
    body, warned = ask(chat_pb2.ChatRequest(model="m", messages=messages))
    assert warned == []
    return dict(body["input"][-1])


def test_each_kind_of_call_is_answered_in_its_own_shape():
    text = content_pb2.Part(text="done")
    screen = content_pb2.Part(media=content_pb2.Media(mime_type="image/png", data=b"png"))
    result = content_pb2.ToolResult(tool_call_id="c1", content=[text])
    assert answered({"type": "custom_tool_call", "id": "x"}, result) == {
        "type": "custom_tool_call_output",
        "call_id": "c1",
        "output": "done",
    }
    assert answered({"type": "apply_patch_call"}, result)["status"] == "completed"
    assert answered({"type": "local_shell_call"}, result) == {
        "type": "local_shell_call_output",
        "id": "c1",
        "output": "done",
    }
    assert answered({"type": "mcp_approval_request", "id": "c1"}, result) == {
        "type": "mcp_approval_response",
        "approval_request_id": "c1",
        "approve": True,
    }
    shown = answered({"type": "computer_call"}, content_pb2.ToolResult(tool_call_id="c1", content=[screen]))
    assert shown["output"] == {"type": "computer_screenshot", "image_url": "data:image/png;base64,cG5n"}
    ran = content_pb2.ToolResult(tool_call_id="c1", structured_json='[{"stdout": "a"}]')
    assert answered({"type": "shell_call"}, ran)["output"] == [{"stdout": "a"}]


def test_a_shell_answered_in_words_alone_is_refused():
    with pytest.raises(MaestroError) as refused:
        answered({"type": "shell_call"}, content_pb2.ToolResult(tool_call_id="c1"))
    assert refused.value.reason is Reason.INVALID_FIELD
    assert "structured_json" in refused.value.message


def test_tools_by_neutral_names_and_by_the_vendors_own():
    request = chat_pb2.ChatRequest(model="m")
    for name, config in (("code_execution", ""), ("web_search", '{"search_context_size": "low"}'), ("x_search", "")):
        request.tools.add().provider.CopyFrom(chat_pb2.ProviderTool(name=name, config_json=config))
    request.include.append(chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT)
    body, _ = ask(request)
    assert body["tools"] == [
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "x_search"},
    ]
    assert body["include"] == ["code_interpreter_call.outputs", "web_search_call.action.sources"]


def test_the_callers_options_come_last():
    request = chat_pb2.ChatRequest(model="m", messages=[said(USER, content_pb2.Part(text="Hello"))])
    request.generation.temperature = 0.7
    request.provider_options_json["openai"] = (
        '{"temperature": null, "truncation": "auto", "text": {"verbosity": "low"}}'
    )
    body, _ = ask(request, body={"truncation": "disabled", "metadata": {"a": "b"}})
    assert body == {
        "model": "m",
        "input": [{"role": "user", "content": "Hello"}],
        "store": False,
        "stream": True,
        "truncation": "auto",
        "metadata": {"a": "b"},
        "text": {"verbosity": "low"},
    }


def test_breakpoints_go_only_where_they_are_honoured():
    part = content_pb2.Part(text="Long.", cache_breakpoint=content_pb2.CacheBreakpoint())
    request = chat_pb2.ChatRequest(model="m", messages=[said(USER, part)])
    assert ask(request)[0]["input"][0]["content"] == "Long."
    marked = ask(request, cache_breakpoints=True)[0]["input"][0]["content"][0]
    assert marked["prompt_cache_breakpoint"] == {"mode": "explicit"}


def test_media_of_earlier_answers_and_films_are_named():
    picture = content_pb2.Part(media=content_pb2.Media(mime_type="image/png", data=b"png"))
    assert ask(chat_pb2.ChatRequest(model="m", messages=[said(ASSISTANT, picture)]))[1] == ["MEDIA_DROPPED"]
    film = content_pb2.Part(media=content_pb2.Media(mime_type="video/mp4", data=b"mp4"))
    with pytest.raises(MaestroError, match="INVALID_FIELD"):
        ask(chat_pb2.ChatRequest(model="m", messages=[said(USER, film)]))
