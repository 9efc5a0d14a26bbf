"""Ours -> Gemini's: what has no recording, or says more than one."""

import json
from typing import Any

import msgspec
import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.gemini import question
from maestro_spi import MaestroError, Reason

Part = content_pb2.Part
USER, MODEL, TOOL = content_pb2.ROLE_USER, content_pb2.ROLE_ASSISTANT, content_pb2.ROLE_TOOL
SYSTEM, DEVELOPER = content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER


def say(role: content_pb2.Role.ValueType, *parts: Part | str) -> content_pb2.Message:
    return content_pb2.Message(role=role, parts=[Part(text=each) if isinstance(each, str) else each for each in parts])


def call(id: str, name: str, arguments: str = "{}", **state: Any) -> Part:
    told = Part(tool_call=content_pb2.ToolCall(id=id, name=name, arguments_json=arguments))
    if state:
        told.provider_state.CopyFrom(content_pb2.ProviderState(**state))
    return told


def result(id: str, text: str = "", **more: Any) -> Part:
    return Part(tool_result=content_pb2.ToolResult(tool_call_id=id, content=[Part(text=text)] if text else [], **more))


def ask(*messages: content_pb2.Message, adapter: str = "gemini", **fields: Any) -> tuple[dict[str, Any], list[str]]:
    fields = {"model": "gemini-2.5-flash", **fields}
    told = question.ask(chat_pb2.ChatRequest(messages=messages, **fields), adapter, adapter)
    return json.loads(msgspec.json.encode(told.body)), [f"{each.code} {each.field}" for each in told.warnings]


def test_instructions_are_hoisted_the_operators_before_the_developers():
    body, warnings = ask(
        say(DEVELOPER, "c"), say(SYSTEM, "b"), say(USER, "hi"), say(SYSTEM, "late"), system=[Part(text="a")]
    )
    assert [part["text"] for part in body["systemInstruction"]["parts"]] == ["a", "b", "late", "c"]
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert warnings == ["SYSTEM_MOVED messages[3]"]


def test_results_are_one_content_in_the_order_of_their_calls():
    body, _ = ask(
        say(MODEL, call("call_1", "f"), call("call_2", "g")),
        say(TOOL, result("call_2", "two")),
        say(TOOL, result("call_1", "no", is_error=True)),
        say(USER, "and?"),
    )
    assert body["contents"][1:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                {"functionResponse": {"name": "g", "response": {"output": "two"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and?"}]},
    ]


@pytest.mark.parametrize(("id", "sent"), [("call_3", None), ("toolu_01", "toolu_01"), ("wh4tc", "wh4tc")])
def test_ids_that_we_made_up_are_not_sent(id, sent):
    body, _ = ask(say(MODEL, call(id, "f")), say(TOOL, result(id, "x")))
    asked, answered = (content["parts"][0] for content in body["contents"])
    assert asked["functionCall"].get("id") == answered["functionResponse"].get("id") == sent


def test_a_result_of_no_known_call_needs_a_name():
    with pytest.raises(MaestroError) as failed:
        ask(say(TOOL, result("x", "y")))
    assert failed.value.reason is Reason.INVALID_FIELD
    assert failed.value.violations[0].field == "messages[0].parts[0].tool_result.name"


def test_arguments_go_byte_for_byte_and_broken_ones_in_an_object():
    request = chat_pb2.ChatRequest(
        model="gemini-2.5-flash", messages=[say(MODEL, call("a", "f", '{"n":12345678901234567890,"x":1.0}'))]
    )
    told = question.ask(request, "gemini", "gemini")
    assert b'"args":{"n":12345678901234567890,"x":1.0}' in msgspec.json.encode(told.body)
    body, warnings = ask(say(MODEL, call("a", "f", "{broken")))
    assert body["contents"][0]["parts"][0]["functionCall"]["args"] == {"arguments": "{broken"}
    assert warnings == ["ARGUMENTS_WRAPPED messages[0].parts[0].tool_call.arguments_json"]


@pytest.mark.parametrize(
    ("told", "sent"),
    [('{"a":1}', {"a": 1}), ("[1]", {"output": [1]}), ("not json", {"output": "not json"}), ("", {"output": "text"})],
)
def test_what_a_tool_answered_becomes_an_object(told, sent):
    body, _ = ask(say(TOOL, result("a", "text", name="f", structured_json=told)))
    assert body["contents"][0]["parts"][0]["functionResponse"]["response"] == sent


def test_state_of_another_provider_is_left_out_and_named():
    other = content_pb2.ProviderState(provider="anthropic", kind="signature", data=b"s")
    thought = Part(reasoning=content_pb2.Reasoning(text="hm"), provider_state=other)
    block = Part(opaque=content_pb2.OpaqueBlock(provider="anthropic", type="x", json="{}"))
    run = Part(tool_call=content_pb2.ToolCall(id="r", name="web_search", executor=content_pb2.TOOL_EXECUTOR_PROVIDER))
    body, warnings = ask(say(MODEL, thought, Part(text="so", provider_state=other), block, run))
    assert body["contents"] == [{"role": "model", "parts": [{"text": "so"}]}]
    assert warnings == [
        "PROVIDER_STATE_DROPPED messages[0].parts[0].provider_state",
        "PROVIDER_STATE_DROPPED messages[0].parts[1].provider_state",
        "PROVIDER_STATE_DROPPED messages[0].parts[2].opaque",
        "PROVIDER_STATE_DROPPED messages[0].parts[3]",
    ]


def test_what_the_model_said_in_a_row_is_one_content_and_nothing_is_sent_for_nothing():
    body, _ = ask(say(USER, "a"), say(MODEL, "b"), say(TOOL), say(MODEL, "", "c"), say(USER, ""), say(USER, "d"))
    assert [(each["role"], len(each["parts"])) for each in body["contents"]] == [("user", 1), ("model", 2), ("user", 1)]


@pytest.mark.parametrize(("model", "signed"), [("gemini-2.5-pro", False), ("gemini-3-pro-preview", True)])
def test_a_call_of_another_model_is_vouched_for_where_models_want_signatures(model, signed):
    body, _ = ask(say(MODEL, call("a", "f"), call("b", "g")), model=model)
    first, second = body["contents"][0]["parts"]
    assert ("thoughtSignature" in first) is signed
    assert "thoughtSignature" not in second


def test_media_that_a_tool_shows_go_inside_or_beside():
    shown = Part(media=content_pb2.Media(mime_type="image/png", data=b"png"))
    answered = Part(tool_result=content_pb2.ToolResult(tool_call_id="a", name="f", content=[shown]))
    inline = {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}
    body, _ = ask(say(TOOL, answered), model="gemini-3-flash")
    assert body["contents"][0]["parts"][0]["functionResponse"]["parts"] == [inline]
    body, _ = ask(say(TOOL, answered))
    assert body["contents"][0]["parts"][1] == inline


@pytest.mark.parametrize(
    ("uri", "sent"),
    [
        ("data:image/png;base64,cG5n", {"inlineData": {"mimeType": "image/png", "data": "cG5n"}}),
        ("https://example.org/a.png", {"fileData": {"fileUri": "https://example.org/a.png"}}),
    ],
)
def test_media_by_address(uri, sent):
    body, _ = ask(say(USER, Part(media=content_pb2.Media(uri=uri))))
    assert body["contents"][0]["parts"] == [sent]


def test_an_empty_medium_is_an_invalid_field():
    with pytest.raises(MaestroError) as failed:
        ask(say(USER, Part(media=content_pb2.Media(mime_type="image/png"))))
    assert failed.value.reason is Reason.INVALID_FIELD


EFFORT = chat_pb2.ReasoningEffort.Value


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gemini-2.5-flash", "NONE", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "MEDIUM", {"thinkingBudget": 8192}),
        ("gemini-2.5-flash", "MAX", {"thinkingBudget": -1}),
        ("gemini-2.5-pro", "NONE", {"thinkingBudget": 128}),
        ("gemini-3-flash", "NONE", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-flash", "MEDIUM", {"thinkingLevel": "MEDIUM"}),
        ("gemini-3.1-pro-preview", "MINIMAL", {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro-preview", "MAX", {"thinkingLevel": "HIGH"}),
    ],
)
def test_efforts_are_a_budget_or_a_level(model, effort, sent):
    reasoning = chat_pb2.ReasoningConfig(effort=EFFORT(f"REASONING_EFFORT_{effort}"))
    body, warnings = ask(model=model, reasoning=reasoning)
    assert body["generationConfig"]["thinkingConfig"] == sent
    assert bool(warnings) is (effort == "NONE" and model != "gemini-2.5-flash")


def test_thoughts_are_asked_for():
    for asked in (
        {"reasoning": chat_pb2.ReasoningConfig(summary=True)},
        {"include": [chat_pb2.CHAT_INCLUDE_REASONING]},
    ):
        body, _ = ask(**asked)
        assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True}


def test_tools_that_google_runs_are_named_and_others_dropped_by_name():
    tools = [
        chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name="file_search", config_json='{"a":[1]}')),
        chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name="divination")),
    ]
    body, warnings = ask(tools=tools)
    assert body["tools"] == [{"fileSearch": {"a": [1]}}]
    assert warnings == ["TOOL_DROPPED tools[1]"]


@pytest.mark.parametrize(
    ("mode", "allowed", "strict", "sent"),
    [
        ("UNSPECIFIED", [], False, None),
        ("AUTO", [], False, {"mode": "AUTO"}),
        ("AUTO", ["f"], False, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        ("UNSPECIFIED", [], True, {"mode": "VALIDATED"}),
        ("REQUIRED", ["f"], True, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        ("NONE", ["f"], False, {"mode": "NONE"}),
    ],
)
def test_the_choice_of_a_tool(mode, allowed, strict, sent):
    tools = [chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="f", strict=strict))]
    choice = chat_pb2.ToolChoice(mode=chat_pb2.ToolMode.Value(f"TOOL_MODE_{mode}"), allowed_tools=allowed)
    body, _ = ask(tools=tools, tool_choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == sent


def test_provider_options_are_merged_last_under_both_names():
    options = {
        "vertex": '{"generationConfig":{"temperature":1,"mediaResolution":"LOW"},"labels":{"a":"b"}}',
        "other": '{"x":1}',
    }
    body, _ = ask(
        adapter="vertex",
        generation=chat_pb2.GenerationConfig(temperature=0.7, top_k=3),
        provider_options_json=options,
    )
    assert body["generationConfig"] == {"temperature": 1, "topK": 3, "mediaResolution": "LOW"}
    assert body["labels"] == {"a": "b"}
    assert "x" not in body


def test_a_cache_key_is_the_name_of_cached_content_or_dropped():
    body, warnings = ask(cache=chat_pb2.CacheConfig(prompt_cache_key="cachedContents/c-1"))
    assert body["cachedContent"] == "cachedContents/c-1"
    assert not warnings
    body, warnings = ask(cache=chat_pb2.CacheConfig(prompt_cache_key="mine"))
    assert "cachedContent" not in body
    assert warnings == ["PARAMETER_DROPPED cache.prompt_cache_key"]


def test_output_of_sound_has_a_voice_and_one_format():
    body, warnings = ask(
        output_modalities=[common_pb2.MODALITY_AUDIO], audio=chat_pb2.AudioConfig(voice="Kore", format="mp3")
    )
    assert body["generationConfig"]["responseModalities"] == ["AUDIO"]
    assert body["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"] == {"voiceName": "Kore"}
    assert warnings == ["PARAMETER_DROPPED audio.format"]


def test_a_tier_is_told_in_googles_word():
    body, _ = ask(generation=chat_pb2.GenerationConfig(service_tier="default"))
    assert body["serviceTier"] == "standard"
