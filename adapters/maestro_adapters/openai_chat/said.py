"""The structs of Chat Completions answers, as OpenAI and those after it send them: loose where vendors differ.

They hold no cycles, so the garbage collector need not look at them.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

NULL = Raw(b"null")


class Function(Struct, gc=False):
    """What is called."""

    name: str | None = None
    arguments: Raw = NULL  # a text, or an object from servers that have parsed it
    input: str | None = None  # of a custom tool


class ToolCall(Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Function | None = None
    extra_content: Raw = NULL  # Gemini's thought signatures


class Audio(Struct, gc=False):
    """Audio, or a piece of it."""

    id: str | None = None
    data: str | None = None
    transcript: str | None = None


class Delta(Struct, gc=False):
    """A piece of the answer, or the whole message."""

    content: str | list[Any] | dict[str, Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, Any] | None = None
    thinking: str | dict[str, Any] | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    images: list[Any] | None = None
    annotations: list[Any] | None = None
    citations: list[Any] | None = None
    executed_tools: list[dict[str, Any]] | None = None
    extra_content: dict[str, Any] | None = None


class Logprobs(Struct, gc=False):
    """Log probabilities of the text and of the refusal."""

    content: list[dict[str, Any]] | None = None
    refusal: list[dict[str, Any]] | None = None


class Choice(Struct, gc=False):
    """One candidate."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | int | None = None
    stop_reason: str | int | None = None
    matched_stop: str | int | list[Any] | None = None
    logprobs: Logprobs | None = None
    content_filter_results: dict[str, Any] | None = None


class InputDetails(Struct, gc=False):
    """Sub-counts of the input."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    """Sub-counts of the output."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class Usage(Struct, gc=False):
    """Tokens, by every name that is in use."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_token_details: InputDetails | None = None
    completion_token_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    num_cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None


class Groq(Struct, gc=False):
    """Groq's own corner."""

    usage: Usage | None = None
    error: Raw = NULL


class Chunk(Struct, gc=False):
    """An event of a stream, or the whole answer."""

    id: str | None = None
    model: str | None = None
    object: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Raw = NULL
    service_tier: str | None = None
    system_fingerprint: str | None = None
    citations: list[Any] | None = None
    search_results: list[Any] | None = None
    x_groq: Groq | None = None


decode = msgspec.json.Decoder(Chunk).decode
