"""What the Responses API sends, as far as we read it: events, responses, usage."""

from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2


class Logprob(msgspec.Struct):
    """A token and how likely it was."""

    token: str | None = None
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list["Logprob"] | None = None


class Event(msgspec.Struct):
    """One event of a stream; each type of event fills other fields."""

    type: str = ""
    delta: str | dict[str, Any] | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    text: str | None = None
    refusal: str | None = None
    annotation: dict[str, Any] | None = None
    logprobs: list[Logprob] | None = None
    command_index: int | None = None
    partial_image_b64: str | None = None
    output_format: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class InputDetails(msgspec.Struct):
    """Classes of input tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """Classes of output tokens."""

    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """Tokens; the details are included in their totals."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    server_side_tool_usage_details: dict[str, Any] | None = None  # xAI's name for billed tools


class Incomplete(msgspec.Struct):
    """Why a response is not complete."""

    reason: str | None = None


class Response(msgspec.Struct):
    """A response, whole or on its way."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    error: dict[str, Any] | str | None = None
    incomplete_details: Incomplete | None = None
    output: list[msgspec.Raw] | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    tool_usage: dict[str, Any] | None = None


def usage_of(response: Response) -> common_pb2.Usage | None:
    """The tokens of a response, in our classes."""
    said = response.usage
    if said is None or (said.input_tokens is None and said.output_tokens is None):
        return None
    taken, made = said.input_tokens_details or InputDetails(), said.output_tokens_details or OutputDetails()
    return common_pb2.Usage(
        input_tokens=said.input_tokens or 0,
        output_tokens=said.output_tokens or 0,
        cache_read_input_tokens=taken.cached_tokens or 0,
        cache_write_input_tokens=taken.cache_write_tokens or 0,
        reasoning_output_tokens=made.reasoning_tokens or 0,
        billed_tools=_billed(response.tool_usage, said.server_side_tool_usage_details),
    )


def _billed(told: dict[str, Any] | None, xai: dict[str, Any] | None) -> list[common_pb2.BilledTool]:
    counts = {tool: use.get("num_requests") for tool, use in (told or {}).items() if isinstance(use, dict)}
    counts |= {tool.removesuffix("_calls"): count for tool, count in (xai or {}).items()}
    return [
        common_pb2.BilledTool(tool={"code_interpreter": "code_execution"}.get(tool, tool), count=count)
        for tool, count in counts.items()
        if isinstance(count, int) and count > 0
    ]


def logprobs_of(said: list[Logprob]) -> list[chat_pb2.TokenLogprob]:
    """Log probabilities in our words; bytes are kept where they are no whole text."""
    return [
        chat_pb2.TokenLogprob(
            token=each.token or "",
            logprob=each.logprob or 0.0,
            token_bytes=_torn(each),
            top=logprobs_of(each.top_logprobs or []),
        )
        for each in said
    ]


def _torn(said: Logprob) -> bytes:
    raw = bytes(byte for byte in said.bytes or () if 0 <= byte < 256)
    return raw if raw != (said.token or "").encode(errors="replace") else b""
