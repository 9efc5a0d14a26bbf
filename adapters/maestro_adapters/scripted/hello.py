"""The model that needs no script: it quotes what the user said last."""

from collections.abc import Iterable

import msgspec

from maestro.v1 import chat_pb2, content_pb2
from maestro_adapters.scripted.instance import instance
from maestro_adapters.scripted.script import Call, Finish, Step, json_text
from maestro_adapters.scripted.words import words
from maestro_spi.estimate import BYTES_PER_TOKEN

GREETING = "Hello! Say something, and I will say it back to you."


def steps(request: chat_pb2.ChatRequest) -> list[Step]:
    """What it says to the request."""
    call = _call(request)
    if call is not None:
        return [Step(tool_calls=[call])]
    return _within_limits(_speech(request), request.generation)


def _speech(request: chat_pb2.ChatRequest) -> str:
    said = _last_said(request)
    match request.response_format.WhichOneof("format"):
        case "json_object":
            return json_text({"said": said})
        case "json_schema":
            return _example(request.response_format.json_schema.schema_json)
        case _:
            return _reply(request, said)


def _reply(request: chat_pb2.ChatRequest, said: str) -> str:
    last = request.messages[-1] if request.messages else content_pb2.Message()
    if last.role == content_pb2.ROLE_TOOL:
        results = [part.tool_result for part in last.parts if part.HasField("tool_result")]
        answers = [_text(result.content) or result.structured_json for result in results]
        return f"The tool says: “{' '.join(answers)}”"
    return f"You said: “{said}”" if said else GREETING


def _last_said(request: chat_pb2.ChatRequest) -> str:
    for message in reversed(request.messages):
        if message.role == content_pb2.ROLE_USER and (text := _text(message.parts)):
            return text
    return ""


def _text(parts: Iterable[content_pb2.Part]) -> str:
    return " ".join(part.text for part in parts if part.text)


def _call(request: chat_pb2.ChatRequest) -> Call | None:
    choice = request.tool_choice
    if choice.mode != chat_pb2.TOOL_MODE_REQUIRED:
        return None
    for tool in request.tools:
        function = tool.function
        if function.name and (not choice.allowed_tools or function.name in choice.allowed_tools):
            return Call(name=function.name, arguments=_example(function.input_schema_json))
    return None


def _example(schema_json: str) -> str:
    try:
        schema = msgspec.json.decode(schema_json or "{}")
    except msgspec.DecodeError:
        schema = {}
    return msgspec.json.encode(instance(schema)).decode()


def _within_limits(text: str, limits: chat_pb2.GenerationConfig) -> list[Step]:
    finish = Finish()
    found = {stop: text.find(stop) for stop in limits.stop_sequences}
    stop = min((stop for stop, at in found.items() if at >= 0), key=lambda stop: found[stop], default="")
    if stop:
        text = text[: found[stop]]
        finish = Finish(reason="STOP_SEQUENCE", word="stop", stop_sequence=stop)
    if limits.HasField("max_output_tokens"):
        most = limits.max_output_tokens * BYTES_PER_TOKEN
        whole = text.encode()
        if len(whole) > most:
            text = whole[:most].decode(errors="ignore")
            finish = Finish(reason="MAX_TOKENS", word="length")
    return [Step(text=words(text)), Step(finish=finish)]
