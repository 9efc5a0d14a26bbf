"""The structs of Cohere's answers: events of a stream, and whole ones."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

NOTHING = Raw(b"null")


class Content(Struct):
    """A piece of content, or a whole block of it."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None


class Function(Struct):
    """What is called."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """A tool call, or a piece of one."""

    id: str | None = None
    function: Function | None = None


class Message(Struct):
    """A piece of the message, or all of it: what is one thing in a piece is a list in a whole."""

    content: Content | list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: ToolCall | list[ToolCall] | None = None
    citations: Raw = NOTHING


class Logprobs(Struct):
    """How likely a run of tokens was."""

    text: str | None = None
    token_ids: list[int] = []
    logprobs: list[float] | None = None


class Tokens(Struct):
    """Tokens of one side and the other."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    image_tokens: float | None = None


class Usage(Struct):
    """Tokens as they were, and as they are billed."""

    tokens: Tokens | None = None
    billed_units: Tokens | None = None
    cached_tokens: float | None = None


class Delta(Struct):
    """What an event adds."""

    message: Message | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None
    error_type: str | None = None


class Event(Struct):
    """An event of a stream, or a whole answer, which has no type."""

    type: str = ""
    id: str | None = None
    index: int = 0
    delta: Delta | None = None
    message: Message | str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: Logprobs | list[Logprobs] | None = None


class Source(Struct):
    """Where a citation comes from."""

    type: str = ""
    id: str = ""
    document: dict[str, Any] | None = None
    tool_output: dict[str, Any] | None = None


class Citation(Struct):
    """A stretch of text, and its sources."""

    start: int = 0
    end: int = 0
    text: str = ""
    sources: list[Source] = []
    content_index: int | None = None
    type: str = ""


event = msgspec.json.Decoder(Event).decode
citation = msgspec.json.Decoder(Citation).decode
raws = msgspec.json.Decoder(list[Raw]).decode
