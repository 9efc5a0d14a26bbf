"""The structs of Converse answers: events of a stream, and whole ones."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

NOTHING = Raw(b"null")


class ToolUse(Struct, rename="camel"):
    """A tool call; its input is an object, or in a stream a piece of its text."""

    tool_use_id: str = ""
    name: str = ""
    type: str = ""
    input: Raw = NOTHING


class ToolResult(Struct, rename="camel", omit_defaults=True):
    """What a tool answered that the provider ran."""

    tool_use_id: str = ""
    type: str = ""
    status: str = ""
    content: list[dict[str, Any]] = []


class ReasoningText(Struct):
    """Reasoning, and what signs it."""

    text: str | None = None
    signature: str | None = None


class Reasoning(ReasoningText, rename="camel"):
    """Reasoning: a piece of it, or in whole answers a text with its signature."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class CitedText(Struct):
    """A piece of text."""

    text: str = ""


class Cited(Struct):
    """Text that sources back."""

    content: list[CitedText] = []
    citations: list[Raw] = []


class Source(Struct):
    """Bytes, in base64."""

    bytes: str | None = None


class Image(Struct):
    """A generated image, or a piece of it."""

    format: str = ""
    source: Source | None = None


class Block(Struct, rename="camel"):
    """A content block; one of these, or of a kind that is not known."""

    text: str | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Cited | None = None
    image: Image | None = None


class Delta(Struct, rename="camel"):
    """A piece of a content block."""

    text: str | None = None
    tool_use: ToolUse | None = None
    tool_result: list[dict[str, Any]] | None = None
    reasoning_content: Reasoning | None = None
    citation: Raw = NOTHING
    image: Image | None = None


class Usage(Struct, rename="camel"):
    """Tokens. Those that were read from the cache or written to it are counted beside the input."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class Guardrail(Struct, rename="camel"):
    """What the guardrail did."""

    action_reason: str = ""


class Trace(Struct):
    """What stood between us and the model."""

    guardrail: Guardrail | None = None


class Tier(Struct):
    """The service tier that answered."""

    type: str = ""


class Told(Struct, rename="camel"):
    """How it ended and what it took: in the last events, and beside a whole message."""

    stop_reason: str | None = None
    additional_model_response_fields: Any = None
    usage: Usage | None = None
    trace: Trace | None = None
    service_tier: Tier | None = None


class Event(Told, rename="camel"):
    """An event of a stream, whichever it is."""

    content_block_index: int = 0
    start: Block | None = None
    delta: Delta | None = None


class Message(Struct):
    """The message of a whole answer."""

    content: list[Raw] = []


class Output(Struct):
    """Holds the message."""

    message: Message | None = None


class Whole(Told):
    """A whole answer."""

    output: Output | None = None


class Location(Struct, rename="camel"):
    """Where in a source; the document's pages, or an address."""

    document_page: dict[str, int] | None = None
    web: dict[str, str] | None = None


class Citation(Struct, rename="camel"):
    """A source."""

    title: str | None = None
    source: str | None = None
    source_content: list[CitedText] = []
    location: Location | None = None


event = msgspec.json.Decoder(Event).decode
whole = msgspec.json.Decoder(Whole).decode
block = msgspec.json.Decoder(Block).decode
citation = msgspec.json.Decoder(Citation).decode
