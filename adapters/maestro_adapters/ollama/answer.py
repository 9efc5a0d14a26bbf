"""Ollama's answer in our words: its lines, each a piece of the message, the last with the counts -> Answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from maestro.v1 import chat_pb2, common_pb2
from maestro_spi import estimate
from maestro_spi.answer import Answer

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "stop": chat_pb2.FINISH_REASON_STOP,
    "load": chat_pb2.FINISH_REASON_STOP,  # nothing was asked but to load the model
    "unload": chat_pb2.FINISH_REASON_STOP,
    "length": chat_pb2.FINISH_REASON_MAX_TOKENS,
}
NOTHING = Raw(b"null")


class Function(Struct):
    """What is called. Arguments come whole, as an object."""

    name: str = ""
    arguments: Raw = NOTHING


class ToolCall(Struct):
    """A tool call; older servers give it no id."""

    id: str | None = None
    function: Function | None = None


class Message(Struct):
    """A piece of the message, or all of it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Chunk(Struct):
    """A line of a stream, or the whole answer."""

    model: str | None = None
    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[dict[str, Any]] | None = None
    error: Raw = NOTHING


decode = msgspec.json.Decoder(Chunk).decode


class Reader:
    """Feeds one call's Answer with what the server says, line by line or whole."""

    def __init__(self, answer: Answer, request: chat_pb2.ChatRequest) -> None:
        self._answer = answer
        self._request = request
        self._calls = 0
        self.finished = False

    def chunk(self, chunk: Chunk) -> None:
        """One line."""
        answer = self._answer
        answer.start(chunk.model or "")
        message = chunk.message
        if message is not None:
            if message.thinking:
                answer.reasoning(message.thinking)
            if message.content:
                answer.text(message.content)
            for call in message.tool_calls or ():
                self._call(call)
        if chunk.logprobs:
            answer.logprobs(_tokens(chunk.logprobs))
        if chunk.done:
            self.finished = True
            word = chunk.done_reason or ""
            answer.finish(FINISH.get(word) if word else chat_pb2.FINISH_REASON_STOP, word)
            answer.usage(self._usage(chunk))

    def _call(self, call: ToolCall) -> None:
        function = call.function or Function()
        given = bytes(function.arguments)
        key = self._calls
        self._calls += 1
        self._answer.tool_call(key, id=call.id, name=function.name, arguments=_text(given))
        self._answer.close(key)

    def _usage(self, chunk: Chunk) -> common_pb2.Usage | None:
        """Their counts. A prompt that was cached whole is not counted by older servers; ours is an estimate."""
        if chunk.eval_count is None and chunk.prompt_eval_count is None:
            return None
        usage = common_pb2.Usage(input_tokens=chunk.prompt_eval_count or 0, output_tokens=chunk.eval_count or 0)
        if chunk.prompt_eval_count is None:
            usage.input_tokens = estimate.input_tokens(self._request)
            usage.source = common_pb2.USAGE_SOURCE_ESTIMATED
        return usage


def _tokens(told: Sequence[Mapping[str, Any]]) -> list[chat_pb2.TokenLogprob]:
    return [
        chat_pb2.TokenLogprob(
            token=str(token.get("token") or ""),
            logprob=float(token.get("logprob") or 0),
            token_bytes=bytes(token.get("bytes") or b""),
            top=_tokens(token.get("top_logprobs") or ()),
        )
        for token in told
    ]


def _text(given: bytes) -> str:
    if given[:1] == b'"':
        return str(msgspec.json.decode(given))
    return "" if given == b"null" else given.decode()
