"""What Anthropic sends, as structs: one for each kind of thing, with the fields that any of its variants may have.

What is not named here is skipped, so that a newer API is no failure; what must survive whole is kept as raw JSON.
"""

import msgspec

NOTHING = msgspec.Raw()


class OutputDetails(msgspec.Struct, gc=False):
    """Output tokens by category."""

    thinking_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    """Tokens so far; what a later one leaves out stays as it was."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: dict[str, int | None] | None = None
    service_tier: str | None = None


class StopDetails(msgspec.Struct, gc=False):
    """Why it declined."""

    category: str | None = None
    explanation: str | None = None


class Container(msgspec.Struct, gc=False):
    """Where code ran."""

    id: str = ""


class Delta(msgspec.Struct, gc=False):
    """More of a block, or of the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = NOTHING
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    container: Container | None = None


class Message(msgspec.Struct, gc=False):
    """A message: its head in a stream, or all of it."""

    id: str = ""
    model: str = ""
    type: str = ""
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    container: Container | None = None
    usage: Usage | None = None


class Event(msgspec.Struct, gc=False):
    """An event of a stream."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: msgspec.Raw = NOTHING
    message: Message | None = None
    usage: Usage | None = None


class Block(msgspec.Struct, gc=False):
    """A block of content."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NOTHING
    tool_use_id: str | None = None
    content: msgspec.Raw = NOTHING
    is_error: bool | None = None
    citations: list[msgspec.Raw] | None = None


class Citation(msgspec.Struct, gc=False):
    """Where a piece of text comes from."""

    cited_text: str | None = None
    document_title: str | None = None
    title: str | None = None
    url: str | None = None
    source: str | None = None
    start_page_number: int | None = None
    end_page_number: int | None = None


class Outcome(msgspec.Struct, gc=False):
    """How a tool that the provider ran says that it failed."""

    type: str = ""
    error_code: str | None = None


event = msgspec.json.Decoder(Event).decode
message = msgspec.json.Decoder(Message).decode
block = msgspec.json.Decoder(Block).decode
citation = msgspec.json.Decoder(Citation).decode
fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
