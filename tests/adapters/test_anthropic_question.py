import json
from typing import Any

import msgspec
import pytest
from google.protobuf import duration_pb2

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.anthropic.question import Question, ask
from maestro_spi import MaestroError, Reason

SONNET, NEWEST, OLD = "claude-sonnet-4-5", "claude-sonnet-5-5", "claude-3-7-sonnet-20250219"
USER, ASSISTANT, TOOL, SYSTEM = (
    content_pb2.ROLE_USER,
    content_pb2.ROLE_ASSISTANT,
    content_pb2.ROLE_TOOL,
    content_pb2.ROLE_SYSTEM,
)
Part = content_pb2.Part


def message(role: content_pb2.Role.ValueType, *parts: Part | str) -> content_pb2.Message:
    said = [Part(text=part) if isinstance(part, str) else part for part in parts]
    return content_pb2.Message(role=role, parts=said)


def request(*messages: content_pb2.Message, model: str = SONNET, **fields: Any) -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=model, messages=messages or [message(USER, "hi")], **fields)


def sent(question: Question) -> Any:
    return json.loads(msgspec.json.encode(question.body))


def body(asked: chat_pb2.ChatRequest) -> Any:
    return sent(ask(asked, "claude"))


def turns(*messages: content_pb2.Message, model: str = SONNET) -> Any:
    return body(request(*messages, model=model))["messages"]


def warned(question: Question) -> list[tuple[str, str]]:
    return [(warning.code, warning.field) for warning in question.warnings]


def call(id: str, name: str = "f", arguments: str = "{}", **fields: Any) -> Part:
    return Part(tool_call=content_pb2.ToolCall(id=id, name=name, arguments_json=arguments, **fields))


def result(id: str, *content: Part, **fields: Any) -> Part:
    return Part(tool_result=content_pb2.ToolResult(tool_call_id=id, content=content, **fields))


def state(kind: str, data: bytes = b"c2ln", provider: str = "claude") -> content_pb2.ProviderState:
    return content_pb2.ProviderState(provider=provider, kind=kind, data=data)


def function(name: str = "f", schema: str = '{"type":"object"}', **fields: Any) -> chat_pb2.ToolSpec:
    return chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name, input_schema_json=schema, **fields))


def thinking(effort: str, **fields: Any) -> chat_pb2.ReasoningConfig:
    return chat_pb2.ReasoningConfig(effort=chat_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{effort}"), **fields)


def test_results_and_what_the_user_says_after_them_are_one_turn_with_the_results_first():
    said = turns(
        message(USER, "go"),
        message(ASSISTANT, call("a"), call("b")),
        message(TOOL, result("a", Part(text="1"))),
        message(TOOL, result("b", Part(text="2"), is_error=True)),
        message(USER, "and?"),
    )
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
    assert [block["type"] for block in said[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert said[2]["content"][1] == {
        "type": "tool_result",
        "tool_use_id": "b",
        "content": [{"type": "text", "text": "2"}],
        "is_error": True,
    }


def test_a_result_carries_images_and_falls_back_to_its_structure():
    image = Part(media=content_pb2.Media(mime_type="image/png", data=b"png"))
    (turn,) = turns(message(TOOL, result("a", image), result("b", structured_json='{"n":1}'), result("c")))
    assert turn["content"][0]["content"][0]["source"]["media_type"] == "image/png"
    assert turn["content"][1]["content"] == [{"type": "text", "text": '{"n":1}'}]
    assert "content" not in turn["content"][2]


def test_arguments_go_back_as_the_model_wrote_them():
    written = '{"b": 1.50, "a":12345678901234567890}'
    question = ask(request(message(ASSISTANT, call("x", arguments=written))), "claude")
    assert written.encode() in msgspec.json.encode(question.body)


def test_arguments_that_are_no_object_are_wrapped_with_a_warning():
    question = ask(request(message(ASSISTANT, call("x", arguments='{"a": '))), "claude")
    assert sent(question)["messages"][0]["content"][0]["input"] == {"INVALID_JSON": '{"a": '}
    assert warned(question) == [("ARGUMENTS_WRAPPED", "messages[0].parts[0].tool_call.arguments_json")]


def test_ids_and_names_are_spelt_in_its_letters_and_read_back():
    question = ask(
        request(
            message(ASSISTANT, call("f.x:0", "fs.read")),
            message(TOOL, result("f.x:0")),
            tools=[function("fs.read"), function("fs_read")],
        ),
        "claude",
    )
    told = sent(question)
    assert [tool["name"] for tool in told["tools"]] == ["fs_read", "fs_read_"]
    assert told["messages"][0]["content"][0] | {"input": None} == {
        "type": "tool_use", "id": "f_x_0", "name": "fs_read", "input": None,
    }  # fmt: skip
    assert told["messages"][1]["content"][0]["tool_use_id"] == "f_x_0"
    assert question.names == {"fs_read": "fs.read", "fs_read_": "fs_read"}


def test_signed_reasoning_goes_back_and_foreign_or_unsigned_is_left_out_with_a_warning():
    reasoning = content_pb2.Reasoning(text="hm")
    question = ask(
        request(
            message(
                ASSISTANT,
                Part(reasoning=reasoning, provider_state=state("signature")),
                Part(
                    reasoning=content_pb2.Reasoning(redacted=True), provider_state=state("redacted_thinking", b"x+/=")
                ),
                Part(reasoning=reasoning, provider_state=state("encrypted_content", provider="openai")),
                Part(reasoning=reasoning),
                Part(text="so", provider_state=state("thought_signature", provider="gemini")),
            )
        ),
        "claude",
    )
    assert sent(question)["messages"][0]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "x+/="},
        {"type": "text", "text": "so"},
    ]
    assert warned(question) == [
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[2].provider_state"),
        ("REASONING_DROPPED", "messages[0].parts[3]"),
        ("PROVIDER_STATE_DROPPED", "messages[0].parts[4].provider_state"),
    ]


def test_calls_of_another_providers_tools_are_left_out_with_their_results():
    ran = call("s1", "web_search", executor=content_pb2.TOOL_EXECUTOR_PROVIDER)
    block = content_pb2.OpaqueBlock(provider="openai", type="web_search_call", json="{}")
    question = ask(
        request(message(ASSISTANT, ran), message(TOOL, result("s1")), message(ASSISTANT, Part(opaque=block), "so")),
        "claude",
    )
    assert sent(question)["messages"] == [{"role": "assistant", "content": [{"type": "text", "text": "so"}]}]
    assert [code for code, _ in warned(question)] == ["PROVIDER_STATE_DROPPED", "PROVIDER_STATE_DROPPED"]


def test_an_opaque_block_must_be_one_object_and_nothing_more():
    smuggled = content_pb2.OpaqueBlock(provider="claude", type="x", json='{}]}],"model":"other","messages":[{"a":[{}')
    with pytest.raises(MaestroError) as refused:
        ask(request(message(USER, Part(opaque=smuggled))), "claude")
    assert refused.value.reason is Reason.INVALID_FIELD


def test_texts_without_a_word_are_left_out():
    assert turns(message(USER, "", " \n"), message(USER, "hi")) == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    ]


def test_instructions_come_first_unless_the_model_takes_them_later():
    said = (message(SYSTEM, "a"), message(USER, "hi"), message(SYSTEM, "b"))
    question = ask(request(*said, system=[Part(text="s")]), "claude")
    assert [block["text"] for block in sent(question)["system"]] == ["s", "a", "b"]
    assert warned(question) == [("SYSTEM_MOVED", "messages[2]")]
    later = ask(request(*said, model="claude-opus-4-8"), "claude")
    assert [turn["role"] for turn in sent(later)["messages"]] == ["user", "system"]
    assert not later.warnings


def test_a_breakpoint_becomes_cache_control():
    def kept(seconds: int) -> Part:
        ttl = duration_pb2.Duration(seconds=seconds)
        return Part(text="a", cache_breakpoint=content_pb2.CacheBreakpoint(ttl=ttl))

    plain = Part(text="a", cache_breakpoint=content_pb2.CacheBreakpoint())
    (turn,) = turns(message(USER, plain, kept(60), kept(3600)))
    assert [block["cache_control"] for block in turn["content"]] == [
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "5m"},
        {"type": "ephemeral", "ttl": "1h"},
    ]


def test_documents_have_a_title_and_are_cited_if_citations_are_required():
    pdf = content_pb2.Media(mime_type="application/pdf", data=b"%PDF", filename="a.pdf", description="about a")
    text = content_pb2.Media(modality=common_pb2.MODALITY_DOCUMENT, mime_type="text/markdown", data=b"# a")
    needs = [common_pb2.CapabilityRequirement(capability=common_pb2.CAPABILITY_CITATIONS)]
    asked = request(message(USER, Part(media=pdf), Part(media=text)), requires=needs)
    assert body(asked)["messages"][0]["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
            "context": "about a",
            "citations": {"enabled": True},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "# a"},
            "citations": {"enabled": True},
        },
    ]


def test_a_data_address_is_sent_as_bytes():
    image = Part(media=content_pb2.Media(modality=common_pb2.MODALITY_IMAGE, uri="data:image/gif;base64,R0lG"))
    (turn,) = turns(message(USER, image))
    assert turn["content"][0]["source"] == {"type": "base64", "media_type": "image/gif", "data": "R0lG"}


@pytest.mark.parametrize(
    "media",
    [
        content_pb2.Media(mime_type="audio/wav", data=b"RIFF"),
        content_pb2.Media(modality=common_pb2.MODALITY_VIDEO, uri="https://films.example/1"),
        content_pb2.Media(mime_type="image/png", uri="gs://bucket/1.png"),
        content_pb2.Media(mime_type="text/plain", data=b"\xff"),
    ],
)
def test_media_that_it_cannot_take_are_an_error(media):
    with pytest.raises(MaestroError) as refused:
        ask(request(message(USER, Part(media=media))), "claude")
    assert refused.value.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize(
    ("model", "most", "expected"),
    [(SONNET, 0, 64_000), ("claude-opus-4-20250514", 0, 32_000), ("deepseek-chat", 0, 8_192), (SONNET, 100, 100)],
)
def test_the_limit_that_the_api_demands_is_the_models(model, most, expected):
    assert ask(request(model=model), "claude", most=most).body["max_tokens"] == expected


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (SONNET, "LOW", {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        (SONNET, "NONE", {"thinking": {"type": "disabled"}}),
        (NEWEST, "HIGH", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (NEWEST, "MINIMAL", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-opus-4-6", "MAX", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        ("claude-3-5-haiku-latest", "HIGH", {}),
        ("us.anthropic.claude-sonnet-4-5-v1:0", "LOW", {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        ("claude-sonnet-4-5@20250929", "MAX", {"thinking": {"type": "enabled", "budget_tokens": 32_000}}),
    ],
)  # fmt: skip
def test_each_family_is_told_to_think_in_its_own_way(model, effort, expected):
    told = body(request(model=model, reasoning=thinking(effort)))
    assert {name: told[name] for name in ("thinking", "output_config") if name in told} == expected


def test_a_budget_leaves_room_for_the_answer():
    few = chat_pb2.GenerationConfig(max_output_tokens=4_000)
    assert body(request(generation=few, reasoning=thinking("HIGH")))["thinking"]["budget_tokens"] == 2_976
    none = ask(
        request(generation=chat_pb2.GenerationConfig(max_output_tokens=500), reasoning=thinking("LOW")), "claude"
    )
    assert "thinking" not in none.body
    assert warned(none) == [("PARAMETER_DROPPED", "reasoning")]
    exact = chat_pb2.ReasoningConfig(max_tokens=1_500)
    assert body(request(generation=few, reasoning=exact))["thinking"]["budget_tokens"] == 1_500


def test_a_readable_summary_is_asked_for_where_it_is_not_given_by_itself():
    told = body(request(model=NEWEST, reasoning=thinking("LOW", summary=True)))
    assert told["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_a_model_that_always_thinks_shows_it_to_whoever_wants_to_see():
    wanting = [chat_pb2.CHAT_INCLUDE_REASONING]
    assert body(request(model="claude-opus-5-5", include=wanting))["thinking"]["display"] == "summarized"
    assert "thinking" not in body(request(model=NEWEST, include=wanting))
    quiet = ask(request(model="claude-opus-5-5", reasoning=thinking("NONE")), "claude")
    assert warned(quiet) == [("PARAMETER_DROPPED", "reasoning.effort")]


def test_sampling_that_a_thinking_model_refuses_is_left_out():
    sampling = chat_pb2.GenerationConfig(temperature=0.5, top_k=3, top_p=0.9)
    question = ask(request(generation=sampling, reasoning=thinking("LOW"), model=OLD), "claude")
    assert question.body.keys() & {"temperature", "top_k", "top_p"} == {"top_p"}
    assert warned(question) == [
        ("PARAMETER_DROPPED", "generation.temperature"),
        ("PARAMETER_DROPPED", "generation.top_k"),
    ]


def test_sampling_is_sent_as_far_as_the_family_takes_it():
    sampling = chat_pb2.GenerationConfig(temperature=1.7, top_p=0.9, top_k=3)
    one = ask(request(generation=sampling), "claude")
    assert (one.body["temperature"], one.body["top_k"], "top_p" in one.body) == (1, 3, False)
    assert warned(one) == [
        ("PARAMETER_CHANGED", "generation.temperature"),
        ("PARAMETER_DROPPED", "generation.top_p"),
    ]
    assert not body(request(generation=sampling, model=NEWEST)).keys() & {"temperature", "top_p", "top_k"}
    both = chat_pb2.GenerationConfig(temperature=0.2, top_p=0.9)
    assert body(request(generation=both, model=OLD))["temperature"] == 0.2


def test_what_would_be_left_out_is_an_error_in_strict_mode():
    asked = request(
        generation=chat_pb2.GenerationConfig(service_tier="flex"), routing=chat_pb2.RoutingOptions(native_only=True)
    )
    with pytest.raises(MaestroError) as refused:
        ask(asked, "claude")
    assert refused.value.reason is Reason.PARAMETER_UNSUPPORTED
    assert refused.value.metadata["parameters"] == "generation.service_tier"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (chat_pb2.ToolChoice(), None),
        (chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED), {"type": "any"}),
        (chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_NONE, disable_parallel=True), {"type": "none"}),
        (
            chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED, allowed_tools=["f"], disable_parallel=True),
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
        (chat_pb2.ToolChoice(disable_parallel=True), {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_tools(choice, expected):
    assert body(request(tools=[function("f"), function("g")], tool_choice=choice)).get("tool_choice") == expected


def test_only_allowed_tools_are_offered():
    choice = chat_pb2.ToolChoice(allowed_tools=["g"])
    assert [
        tool["name"] for tool in body(request(tools=[function("f"), function("g")], tool_choice=choice))["tools"]
    ] == ["g"]


def test_nothing_is_forced_while_it_thinks():
    choice = chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED, allowed_tools=["f"])
    question = ask(request(tools=[function("f")], tool_choice=choice, reasoning=thinking("LOW")), "claude")
    assert "tool_choice" not in question.body
    assert warned(question) == [("PARAMETER_DROPPED", "tool_choice.mode")]


def test_tools_of_the_provider_go_by_neutral_names_with_their_settings():
    def provider(name: str, config: str = "") -> chat_pb2.ToolSpec:
        return chat_pb2.ToolSpec(provider=chat_pb2.ProviderTool(name=name, config_json=config))

    question = ask(
        request(
            tools=[
                provider("web_search", '{"max_uses":2}'),
                provider("web_search", '{"type":"web_search_20260209"}'),
                provider("computer_use", '{"display_width_px":800}'),
                provider("file_search"),
            ]
        ),
        "claude",
    )
    assert question.body["tools"] == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        {"type": "web_search_20260209", "name": "web_search"},
        {"type": "computer_20250124", "name": "computer", "display_width_px": 800},
    ]
    assert question.betas == ["computer-use-2025-01-24"]
    assert warned(question) == [("PARAMETER_DROPPED", "tools[3].provider")]


def test_a_schema_is_native_where_the_model_has_it():
    schema = chat_pb2.JsonSchemaFormat(
        schema_json='{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}'
    )
    told = body(request(response_format=chat_pb2.ResponseFormat(json_schema=schema)))
    made = told["output_config"]["format"]
    assert made["type"] == "json_schema"
    assert made["schema"]["additionalProperties"] is False
    assert "tools" not in told


def test_a_schema_is_a_tool_that_must_be_called_where_it_has_not():
    wanted = chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(schema_json='{"type":"object"}'))
    question = ask(request(model=OLD, response_format=wanted), "claude")
    assert question.answer_tool == "answer"
    assert question.body["tools"] == [
        {"name": "answer", "description": "Give the answer.", "input_schema": {"type": "object"}}
    ]
    assert question.body["tool_choice"] == {"type": "tool", "name": "answer"}
    beside = ask(request(model=OLD, response_format=wanted, tools=[function("answer")]), "claude")
    assert [tool["name"] for tool in beside.body["tools"]] == ["answer", "answer_"]


def test_options_of_the_provider_come_last_but_do_not_choose_the_model():
    options = {
        "anthropic": '{"top_k":1,"betas":["b1"]}',
        "claude": '{"model":"x","thinking":{"display":"omitted"},"top_k":2}',
    }
    question = ask(request(model=NEWEST, reasoning=thinking("LOW"), provider_options_json=options), "claude")
    assert question.body["model"] == NEWEST
    assert question.body["top_k"] == 2
    assert question.body["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert question.betas == ["b1"]
    assert warned(question) == [("PARAMETER_DROPPED", 'provider_options_json["claude"].model')]


@pytest.mark.parametrize("text", ["[1]", "{", "1"])
def test_options_that_are_no_object_are_an_error(text):
    with pytest.raises(MaestroError) as refused:
        ask(request(provider_options_json={"claude": text}), "claude")
    assert refused.value.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("kind", ["signature", "redacted_thinking"])
def test_state_that_is_not_what_it_gave_out_is_an_error(kind):
    forged = Part(reasoning=content_pb2.Reasoning(text="hm"), provider_state=state(kind, b"\xff"))
    with pytest.raises(MaestroError) as refused:
        ask(request(message(ASSISTANT, forged)), "claude")
    assert refused.value.reason is Reason.INVALID_FIELD


def test_what_travels_with_a_call_does_not_change_the_call():
    forged = call("a", "f", '{"x":1}')
    forged.provider_state.CopyFrom(state("tool_use", b'{"type":"text","id":"z","caller":{"type":"code"}}'))
    (turn,) = turns(message(ASSISTANT, forged))
    assert turn["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}, "caller": {"type": "code"}}
    ]


def test_a_schema_that_cannot_be_made_simpler_is_sent_as_it_is():
    odd = '{"type":"object","properties":{"any":true}}'
    schema = chat_pb2.JsonSchemaFormat(schema_json=odd)
    told = body(request(response_format=chat_pb2.ResponseFormat(json_schema=schema)))
    assert told["output_config"]["format"]["schema"] == json.loads(odd)
