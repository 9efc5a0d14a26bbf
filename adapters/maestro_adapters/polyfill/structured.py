"""JSON where the model has no JSON mode: asked for in words, repaired, checked, and asked for once more."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import json_repair
import jsonschema_rs

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.polyfill.heard import Heard, add, finish, listen
from maestro_spi.answer import Answer
from maestro_spi.chat import ChatAdapter
from maestro_spi.errors import MaestroError, Reason

TRIES = 2
FENCE = "```"


class Structured:
    """An adapter around an adapter: what it says obeys the response format, or the call fails with OUTPUT_INVALID."""

    def __init__(self, adapter: ChatAdapter, provider: str) -> None:
        self._adapter = adapter
        self._provider = provider

    async def chat(self, request: chat_pb2.ChatRequest) -> AsyncGenerator[chat_pb2.ChatEvent]:
        schema = _schema(request)
        asked = _in_words(request, schema)
        answer = Answer(self._provider, request)
        spent = common_pb2.Usage()
        problem = ""
        for _ in range(TRIES):
            heard = Heard()
            async with aclosing(listen(self._adapter.chat(asked), answer, heard)) as events:
                async for event in events:
                    yield event
            add(spent, heard.end.usage)
            if not heard.whole:  # cut short, or declined: what there is, is the answer
                answer.text(heard.text)
                break
            text, problem = _coerced(heard.text, schema)
            if not problem:
                if text != heard.text:
                    answer.warning("OUTPUT_REPAIRED", "the model's JSON was repaired by the gateway", "response_format")
                answer.text(text)
                break
            asked = _again(asked, heard.text, problem)
        else:
            raise _invalid(problem, spent)
        for event in finish(answer, heard, spent):
            yield event


def _schema(request: chat_pb2.ChatRequest) -> dict[str, object]:
    """The schema asked for; any object where none is."""
    text = request.response_format.json_schema.schema_json
    schema: dict[str, object] = json.loads(text) if text else {"type": "object"}
    return schema


def _in_words(request: chat_pb2.ChatRequest, schema: dict[str, object]) -> chat_pb2.ChatRequest:
    asked = chat_pb2.ChatRequest()
    asked.CopyFrom(request)
    asked.ClearField("response_format")
    asked.system.add(
        text="Answer with one JSON value and nothing else: no prose before or after it, no code fence. "
        f"It must obey this JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )
    return asked


def _coerced(text: str, schema: dict[str, object]) -> tuple[str, str]:
    """The JSON in the text, and what is wrong with it."""
    bare = _without_fence(text)
    try:
        value = json.loads(bare)
        text = bare
    except ValueError:
        value = json_repair.loads(bare)
        if value == "":
            return text, "it is no JSON"
        text = json.dumps(value, ensure_ascii=False)
    try:
        jsonschema_rs.validate(schema, value)
    except jsonschema_rs.ValidationError as error:
        at = "".join(f"/{step}" for step in error.instance_path)
        return text, f"at '{at or '/'}': {error.message}"
    return text, ""


def _without_fence(text: str) -> str:
    text = text.strip()
    if text.startswith(FENCE) and text.endswith(FENCE) and "\n" in text:
        return text[text.index("\n") + 1 : -len(FENCE)].strip()
    return text


def _again(asked: chat_pb2.ChatRequest, said: str, problem: str) -> chat_pb2.ChatRequest:
    again = chat_pb2.ChatRequest()
    again.CopyFrom(asked)
    if said:
        again.messages.add(role=content_pb2.ROLE_ASSISTANT).parts.add(text=said)
    again.messages.add(role=content_pb2.ROLE_USER).parts.add(
        text=f"That does not obey the schema: {problem[:500]}. Answer again, with the corrected JSON alone."
    )
    return again


def _invalid(problem: str, spent: common_pb2.Usage) -> MaestroError:
    pointer = problem.partition("'")[2].partition("'")[0] if problem.startswith("at ") else ""
    error = MaestroError(
        Reason.OUTPUT_INVALID,
        f"the model never met the schema, asked {TRIES} times ({problem[:200]}); loosen it or ask another model",
        metadata={"pointer": pointer},
        phase="stream",
    )
    error.usage = spent
    return error
