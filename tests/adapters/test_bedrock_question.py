"""The body of a Converse request: what each vendor's models are told, and what is left out by name."""

from typing import Any

import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.bedrock.question import question
from maestro_spi import Answer, MaestroError, Reason

THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
ADAPTIVE = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-7"
ALL = {"generation.temperature", "generation.top_p", "generation.top_k"}


def request(*parts: content_pb2.Part, model: str = "amazon.nova-lite-v1:0", **fields: Any) -> chat_pb2.ChatRequest:
    said = content_pb2.Message(role=content_pb2.ROLE_USER, parts=parts or [content_pb2.Part(text="hi")])
    return chat_pb2.ChatRequest(model=model, messages=[said], **fields)


def body(asked: chat_pb2.ChatRequest) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is sent, and what the answer warns of."""
    answer = Answer("aws", asked)
    told = question(asked, "aws", answer).body
    return told, [(event.warning.code, event.warning.field) for event in answer.drain() if event.HasField("warning")]


@pytest.mark.parametrize(
    ("model", "how", "extra"),
    [
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 2048, THINKING),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "LOW", THINKING),
        (PROFILE, "MAX", ADAPTIVE),
        ("global.anthropic.claude-sonnet-5", "NONE", {"thinking": {"type": "disabled"}}),
        ("us.amazon.nova-2-lite-v1:0", "LOW", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("openai.gpt-oss-120b-1:0", "MEDIUM", {"reasoning_effort": "medium"}),
        ("qwen.qwen3-32b-v1:0", "HIGH", {"reasoning_config": "high"}),
    ],
)
def test_every_vendor_is_told_in_its_own_words_how_hard_to_think(model, how, extra):
    asked = request(model=model)
    if isinstance(how, str):
        asked.reasoning.effort = chat_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{how}")
    else:
        asked.reasoning.max_tokens = how
    said = {"role": "user", "content": [{"text": "hi"}]}
    assert body(asked) == ({"messages": [said], "additionalModelRequestFields": extra}, [])


def test_a_budget_fits_below_the_limit_or_there_is_no_thinking():
    asked = request(model="us.anthropic.claude-3-7-sonnet-20250219-v1:0")
    asked.reasoning.max_tokens = 9_000
    asked.generation.max_output_tokens = 4_000
    sent, warned = body(asked)
    assert sent["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2_976
    assert warned == [("PARAMETER_CHANGED", "reasoning.max_tokens")]
    asked.generation.max_output_tokens = 1_000
    sent, warned = body(asked)
    assert "additionalModelRequestFields" not in sent
    assert warned == [("PARAMETER_DROPPED", "reasoning")]


def test_a_tool_is_not_forced_while_claude_thinks():
    tool = chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="f"))
    asked = request(model="us.anthropic.claude-3-7-sonnet-20250219-v1:0", tools=[tool])
    asked.tool_choice.mode = chat_pb2.TOOL_MODE_REQUIRED
    asked.reasoning.max_tokens = 2_000
    sent, warned = body(asked)
    assert sent["toolConfig"]["toolChoice"] == {"auto": {}}
    assert warned == [("PARAMETER_DROPPED", "tool_choice.mode")]


@pytest.mark.parametrize(
    ("model", "left", "dropped"),
    [
        ("us.anthropic.claude-opus-4-7", {"maxTokens": 9}, ALL),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", {"maxTokens": 9, "temperature": 1}, {"generation.top_p"}),
        ("meta.llama3-70b-instruct-v1:0", {"maxTokens": 9, "temperature": 1, "topP": 0.5}, {"generation.top_k"}),
    ],
)
def test_sampling_that_a_model_does_not_take_is_left_out_by_name(model, left, dropped):
    sampling = chat_pb2.GenerationConfig(temperature=1.5, top_p=0.5, top_k=3, max_output_tokens=9)
    sent, warned = body(request(model=model, generation=sampling))
    assert sent["inferenceConfig"] == left
    assert {field for code, field in warned if code == "PARAMETER_DROPPED"} == dropped
    assert ("PARAMETER_CHANGED", "generation.temperature") in warned


def test_media_that_converse_does_not_take_are_refused_by_field():
    for media in (
        content_pb2.Media(mime_type="image/tiff", data=b"x"),
        content_pb2.Media(mime_type="image/png", uri="https://example.com/a.png"),
    ):
        with pytest.raises(MaestroError, match=r"messages\[0\].parts\[0\].media") as raised:
            body(request(content_pb2.Part(media=media)))
        assert raised.value.reason is Reason.INVALID_FIELD


def test_documents_have_names_that_converse_takes_and_no_two_alike():
    media = [content_pb2.Media(mime_type="text/csv", data=b"1", filename="a/b: c.csv") for _ in range(2)]
    sent, _ = body(request(*(content_pb2.Part(media=each) for each in media)))
    names = [block["document"]["name"] for block in sent["messages"][0]["content"]]
    assert names == ["a-b- c", "a-b- c 2"]
