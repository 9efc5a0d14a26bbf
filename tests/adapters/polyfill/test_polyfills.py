"""What polyfills lend: JSON, tools, a stream and instructions, to models that have none."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.polyfill.lend import LENT, lend
from maestro_adapters.polyfill.paced import LONGEST, Paced
from maestro_adapters.polyfill.prompted_tools import PromptedTools
from maestro_adapters.polyfill.structured import Structured
from maestro_adapters.polyfill.system import FoldedSystem
from maestro_spi import Answer, ChatAdapter, MaestroError
from maestro_stream.fold import fold
from maestro_stream.grammar import check

SCHEMA = json.dumps({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}})


class Says:
    """An adapter that says one text after another, and keeps what it was asked."""

    def __init__(self, *texts: str, finish: chat_pb2.FinishReason.ValueType = chat_pb2.FINISH_REASON_STOP) -> None:
        self._texts = list(texts)
        self._finish = finish
        self.asked: list[chat_pb2.ChatRequest] = []

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        self.asked.append(request)
        answer = Answer("acme", request)
        answer.reasoning("Let me think.")
        text = self._texts.pop(0)
        for start in range(0, len(text), 7):
            answer.text(text[start : start + 7])
            for event in answer.drain():
                yield event
        answer.usage(common_pb2.Usage(input_tokens=10, output_tokens=5))
        answer.finish(self._finish, "stop")
        for event in answer.end():
            yield event


def ask(text: str = "Where?", **fields: object) -> chat_pb2.ChatRequest:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return chat_pb2.ChatRequest(model="m", messages=[message], **fields)


def as_json() -> chat_pb2.ChatRequest:
    form = chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(name="place", schema_json=SCHEMA))
    return ask(response_format=form)


def with_tools(mode: chat_pb2.ToolMode.ValueType = chat_pb2.TOOL_MODE_AUTO, **choice: object) -> chat_pb2.ChatRequest:
    tools = [
        chat_pb2.ToolSpec(
            function=chat_pb2.FunctionTool(name=name, description=f"the {name}", input_schema_json=SCHEMA)
        )
        for name in ("weather", "time")
    ]
    return ask(tools=tools, tool_choice=chat_pb2.ToolChoice(mode=mode, **choice))


async def heard(adapter: ChatAdapter, request: chat_pb2.ChatRequest) -> chat_pb2.ChatResponse:
    events = [event async for event in adapter.chat(request)]
    check(events, numbered=False)
    return fold(events)


def text_of(answer: chat_pb2.ChatResponse) -> str:
    return "".join(part.text for message in answer.messages for part in message.parts)


def calls_of(answer: chat_pb2.ChatResponse) -> list[tuple[str, str]]:
    parts = [part for message in answer.messages for part in message.parts if part.HasField("tool_call")]
    return [(part.tool_call.name, part.tool_call.arguments_json) for part in parts]


async def test_json_that_obeys_is_passed_on_as_it_is() -> None:
    model = Says('{"city": "Oslo"}')
    answer = await heard(Structured(model, "acme"), as_json())
    assert text_of(answer) == '{"city": "Oslo"}'
    assert not answer.warnings
    assert not model.asked[0].HasField("response_format")
    assert SCHEMA in model.asked[0].system[0].text.replace("\n", " ") or "city" in model.asked[0].system[0].text


@pytest.mark.parametrize("said", ['```json\n{"city": "Oslo"}\n```', '{"city": "Oslo",}', "{city: 'Oslo'}"])
async def test_json_that_is_nearly_right_is_repaired_and_the_answer_says_so(said: str) -> None:
    answer = await heard(Structured(Says(said), "acme"), as_json())
    assert json.loads(text_of(answer)) == {"city": "Oslo"}
    assert [warning.code for warning in answer.warnings] == ["OUTPUT_REPAIRED"]


async def test_a_model_that_misses_the_schema_is_asked_once_more_and_both_calls_are_paid() -> None:
    model = Says('{"town": "Oslo"}', '{"city": "Oslo"}')
    answer = await heard(Structured(model, "acme"), as_json())
    assert json.loads(text_of(answer)) == {"city": "Oslo"}
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.model_calls) == (20, 10, 2)
    assert "city" in model.asked[1].messages[-1].parts[0].text


async def test_a_model_that_never_meets_the_schema_is_an_error() -> None:
    with pytest.raises(MaestroError, match="OUTPUT_INVALID") as failure:
        await heard(Structured(Says("no", "never"), "acme"), as_json())
    assert failure.value.usage is not None
    assert failure.value.usage.output_tokens == 10


async def test_an_answer_that_was_cut_short_stays_what_it_is() -> None:
    model = Says('{"city": "Os', finish=chat_pb2.FINISH_REASON_MAX_TOKENS)
    answer = await heard(Structured(model, "acme"), as_json())
    assert text_of(answer) == '{"city": "Os'
    assert answer.finish_reason == chat_pb2.FINISH_REASON_MAX_TOKENS


async def test_calls_are_read_from_what_the_model_says() -> None:
    said = '{"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "time", "arguments": {}}]}'
    answer = await heard(PromptedTools(Says(said), "acme"), with_tools())
    assert calls_of(answer) == [("weather", '{"city": "Oslo"}'), ("time", "{}")]
    assert answer.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    assert text_of(answer) == ""


async def test_text_that_is_no_call_streams_as_text() -> None:
    model = Says("It is sunny in Oslo.")
    events = [event async for event in PromptedTools(model, "acme").chat(with_tools())]
    assert sum(event.HasField("text_delta") for event in events) > 1
    assert text_of(fold(events)) == "It is sunny in Oslo."
    assert not model.asked[0].tools
    assert "weather" in model.asked[0].system[0].text


async def test_a_tool_that_is_required_is_asked_for_once_more() -> None:
    model = Says("I would rather talk.", '{"tool_calls": [{"name": "time", "arguments": {"city": "Oslo"}}]}')
    answer = await heard(PromptedTools(model, "acme"), with_tools(chat_pb2.TOOL_MODE_REQUIRED))
    assert calls_of(answer) == [("time", '{"city": "Oslo"}')]
    assert answer.usage.model_calls == 2


async def test_a_model_that_never_calls_what_is_required_says_so_at_the_end() -> None:
    answer = await heard(PromptedTools(Says("no", "no"), "acme"), with_tools(chat_pb2.TOOL_MODE_REQUIRED))
    assert answer.finish_reason == chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL
    assert text_of(answer) == "no"


async def test_a_tool_that_was_not_offered_is_no_call() -> None:
    said = '{"tool_calls": [{"name": "launch", "arguments": {}}]}'
    answer = await heard(PromptedTools(Says(said), "acme"), with_tools())
    assert calls_of(answer) == []
    assert text_of(answer) == said


async def test_earlier_calls_and_results_are_told_as_text() -> None:
    request = with_tools()
    call = content_pb2.ToolCall(id="c1", name="weather", arguments_json='{"city": "Oslo"}')
    request.messages.add(role=content_pb2.ROLE_ASSISTANT).parts.add(tool_call=call)
    result = content_pb2.ToolResult(tool_call_id="c1", name="weather", content=[content_pb2.Part(text="sunny")])
    request.messages.add(role=content_pb2.ROLE_TOOL).parts.add(tool_result=result)
    model = Says("Sunny.")
    await heard(PromptedTools(model, "acme"), request)
    told = model.asked[0].messages
    assert json.loads(told[1].parts[0].text)["tool_calls"][0]["arguments"] == {"city": "Oslo"}
    assert (told[2].role, told[2].parts[0].text) == (content_pb2.ROLE_USER, "Result of weather: sunny")


async def test_a_whole_text_is_told_in_pieces() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    class Whole:
        async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
            answer = Answer("acme", request)
            answer.text("a word " * 40)
            answer.finish(chat_pb2.FINISH_REASON_STOP, "stop")
            for event in answer.end():
                yield event

    events = [event async for event in Paced(Whole(), "acme", sleep).chat(ask())]
    check(events, numbered=False)
    pieces = [event.text_delta for event in events if event.HasField("text_delta")]
    assert "".join(pieces) == "a word " * 40
    assert max(map(len, pieces)) <= LONGEST
    assert len(pauses) == len(pieces) - 1


async def test_instructions_are_folded_into_the_first_user_message() -> None:
    model = Says("Yes.")
    await heard(FoldedSystem(model, "acme"), ask("Hi", system=[content_pb2.Part(text="Be brief.")]))
    asked = model.asked[0]
    assert not asked.system
    assert [part.text for part in asked.messages[0].parts] == ["Follow these instructions:\nBe brief.", "Hi"]


async def test_all_of_them_can_be_lent_at_once() -> None:
    model = Says('{"tool_calls": [{"name": "time", "arguments": {"city": "Oslo"}}]}')
    request = with_tools()
    request.response_format.CopyFrom(as_json().response_format)
    answer = await heard(lend(model, "acme", LENT), request)
    assert calls_of(answer) == [("time", '{"city": "Oslo"}')]
    assert not model.asked[0].system
