"""What the rules of the proto cannot say: bounded in time, quiet about what is right."""

import json

import pytest

from maestro.v1 import chat_pb2, content_pb2
from maestro_gateway.engine.check import DIALECTS, MOST_VIOLATIONS, check, set_fields
from maestro_spi.errors import MaestroError, Reason
from tests.doubles.asking import ask


def look(request: chat_pb2.ChatRequest) -> None:
    check(request, set_fields(request))


def test_no_more_mistakes_are_gathered_than_anybody_reads() -> None:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part()] * 4000)
    with pytest.raises(MaestroError) as refused:
        look(chat_pb2.ChatRequest(messages=[message] * 50))
    assert len(refused.value.violations) == MOST_VIOLATIONS


@pytest.mark.parametrize("dialect", ["", *sorted(DIALECTS), *(f"{dialect}#" for dialect in sorted(DIALECTS))])
def test_every_dialect_that_is_known_here_is_taken(dialect: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, **({"$schema": dialect} if dialect else {})}
    shape = chat_pb2.JsonSchemaFormat(name="x", schema_json=json.dumps(schema))
    look(ask(response_format=chat_pb2.ResponseFormat(json_schema=shape)))


@pytest.mark.parametrize(
    "schema", ["{}", "true", '{"$ref": "#/$defs/a", "$defs": {"a": {}}}', '{"$ref": "other.json"}']
)
def test_what_is_a_schema_is_taken(schema: str) -> None:
    look(ask(tools=[chat_pb2.ToolSpec(function=chat_pb2.FunctionTool(name="t", input_schema_json=schema))]))


def test_a_whole_round_of_tools_is_right() -> None:
    call = content_pb2.Part(tool_call=content_pb2.ToolCall(id="c", name="t", arguments_json="{not json"))
    result = content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id="c"))
    request = ask()
    request.messages.add(role=content_pb2.ROLE_ASSISTANT, parts=[call])
    request.messages.add(role=content_pb2.ROLE_TOOL, parts=[result])
    look(request)


def test_a_result_may_answer_a_call_of_the_answer_before() -> None:
    result = content_pb2.Part(tool_result=content_pb2.ToolResult(tool_call_id="c"))
    message = content_pb2.Message(role=content_pb2.ROLE_TOOL, parts=[result])
    look(chat_pb2.ChatRequest(messages=[message], previous_chat="chats/1"))
    with pytest.raises(MaestroError) as refused:
        look(chat_pb2.ChatRequest(messages=[message]))
    assert refused.value.reason is Reason.INVALID_FIELD


def test_the_sentence_names_the_first_mistake_and_counts_the_others() -> None:
    request = chat_pb2.ChatRequest(stream=chat_pb2.StreamOptions(coalesce_bytes=-1))
    with pytest.raises(MaestroError, match=r"messages: .* \(and 1 more\)"):
        look(request)
