import json

import jsonschema_rs
import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.scripted.adapter import Scripted
from maestro_adapters.scripted.hello import GREETING
from maestro_adapters.scripted.instance import instance
from maestro_spi import AdapterSettings
from maestro_stream.fold import fold
from maestro_stream.grammar import check

USER, ASSISTANT, TOOL = content_pb2.ROLE_USER, content_pb2.ROLE_ASSISTANT, content_pb2.ROLE_TOOL


def message(text, role=USER):
    return content_pb2.Message(role=role, parts=[content_pb2.Part(text=text)])


async def events_of(*messages, **fields):
    adapter = Scripted(AdapterSettings(name="scripted", adapter="scripted"))
    asked = chat_pb2.ChatRequest(model="hello", messages=messages, **fields)
    events = [event async for event in adapter.chat(asked)]
    check(events, numbered=False)
    return events


async def said(*messages, **fields):
    return fold(await events_of(*messages, **fields))


def text_of(answer):
    return answer.messages[0].parts[0].text


async def test_it_quotes_the_last_user_text_word_by_word():
    events = await events_of(message("first"), message("ok", ASSISTANT), message("and  then 😀"))
    assert text_of(fold(events)) == "You said: “and  then 😀”"
    assert [e.text_delta for e in events if e.HasField("text_delta")] == ["You ", "said: ", "“and  ", "then ", "😀”"]


async def test_it_greets_who_says_nothing():
    assert text_of(await said(message("be brief", content_pb2.ROLE_SYSTEM))) == GREETING


async def test_a_word_without_end_streams_all_the_same():
    events = await events_of(message("x" * 2000))
    assert sum(event.HasField("text_delta") for event in events) > 4


async def test_it_says_what_the_tool_said():
    result = content_pb2.ToolResult(tool_call_id="c", content=[content_pb2.Part(text="rain")])
    answered = content_pb2.Message(role=TOOL, parts=[content_pb2.Part(tool_result=result)])
    assert text_of(await said(message("weather?"), answered)) == "The tool says: “rain”"


async def test_it_stops_at_the_output_limit_between_characters():
    answer = await said(message("ééééé"), generation=chat_pb2.GenerationConfig(max_output_tokens=4))
    assert text_of(answer) == "You said: “é"
    assert (answer.finish_reason, answer.provider_finish_reason) == (chat_pb2.FINISH_REASON_MAX_TOKENS, "length")
    assert answer.usage.output_tokens <= 4


async def test_it_stops_at_the_first_stop_sequence():
    generation = chat_pb2.GenerationConfig(stop_sequences=["three", "two"])
    answer = await said(message("one two three"), generation=generation)
    assert text_of(answer) == "You said: “one "
    assert (answer.finish_reason, answer.stop_sequence) == (chat_pb2.FINISH_REASON_STOP_SEQUENCE, "two")


PLACE = json.dumps({"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "minLength": 2}}})


async def test_it_calls_the_first_tool_that_is_allowed_when_it_must():
    tools = [
        chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name=name, input_schema_json=PLACE)) for name in ("f", "g")
    ]
    must = chat_pb2.ToolChoice(mode=chat_pb2.TOOL_MODE_REQUIRED, allowed_tools=["g"])
    answer = await said(message("hi"), tools=tools, tool_choice=must)
    call = answer.messages[0].parts[0].tool_call
    assert (call.name, call.arguments_json) == ("g", '{"city":"xx"}')
    assert answer.finish_reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    assert text_of(await said(message("hi"), tools=tools)) == "You said: “hi”"


async def test_it_speaks_json_when_asked():
    any_object = chat_pb2.ResponseFormat(json_object=chat_pb2.JsonObjectFormat())
    assert json.loads(text_of(await said(message('a "b"'), response_format=any_object))) == {"said": 'a "b"'}
    held = chat_pb2.ResponseFormat(json_schema=chat_pb2.JsonSchemaFormat(schema_json=PLACE))
    assert json.loads(text_of(await said(message("hi"), response_format=held))) == {"city": "xx"}


SCHEMAS = [
    {},
    {"type": "object"},
    {"const": "a"},
    {"enum": [3, 4]},
    {"type": ["null", "string"]},
    {"type": "null"},
    {"type": "boolean"},
    {"type": "string", "minLength": 7, "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 3},
    {"type": "integer", "maximum": -2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 2.5, "maximum": 2.75},
    {"type": "array"},
    {"type": "array", "minItems": 3, "prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
    {"type": "array", "contains": {"const": 1}},
    {"minItems": 1, "items": {"type": "boolean"}},
    {"type": "object", "minProperties": 2, "properties": {"a": {"type": "null"}}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"allOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"const": 1}, "b": {"const": 2}}},
    {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["c"]}]},
    {
        "$ref": "#/$defs/a~1b",
        "$defs": {"a/b": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/c"}}, "c": {"const": 7}},
    },
    {
        "type": "object",
        "required": ["name", "next"],
        "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    },
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_the_instance_is_what_the_schema_allows(schema):
    assert jsonschema_rs.validator_for(schema).is_valid(instance(schema))


HUNGRY = [
    {"type": "array", "minItems": 10**9, "items": {"type": "string", "minLength": 10**9}},
    {"type": "object", "minProperties": 10**9},
    {"type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
    {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
]


@pytest.mark.parametrize("schema", HUNGRY, ids=["items", "properties", "itself", "itself twice"])
def test_a_schema_that_asks_for_the_sky_costs_little(schema):
    assert len(json.dumps(instance(schema))) < 1_000_000
