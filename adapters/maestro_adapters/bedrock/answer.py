"""Their answer in our words: the events of ConverseStream, and the message of Converse -> Answer."""

import base64
import binascii
from collections.abc import Hashable, Mapping
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.bedrock import said
from maestro_adapters.wire.bounds import Unreadable
from maestro_spi.answer import Answer

FINISH: Mapping[str, chat_pb2.FinishReason.ValueType] = {
    "end_turn": chat_pb2.FINISH_REASON_STOP,
    "stop_sequence": chat_pb2.FINISH_REASON_STOP_SEQUENCE,
    "max_tokens": chat_pb2.FINISH_REASON_MAX_TOKENS,
    "tool_use": chat_pb2.FINISH_REASON_TOOL_CALLS,
    "guardrail_intervened": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "content_filtered": chat_pb2.FINISH_REASON_CONTENT_FILTER,
    "malformed_tool_use": chat_pb2.FINISH_REASON_MALFORMED_TOOL_CALL,
    "model_context_window_exceeded": chat_pb2.FINISH_REASON_CONTEXT_OVERFLOW,
    "refusal": chat_pb2.FINISH_REASON_REFUSAL,
    "pause_turn": chat_pb2.FINISH_REASON_PAUSED,
}
# Kinds of provider state: on reasoning, on text that sources back, on calls of tools that the provider runs.
SIGNATURE, REDACTED, CITED, SERVER_TOOL = "signature", "redacted_content", "citations_content", "server_tool_use"
CLIENT, PROVIDER = content_pb2.TOOL_EXECUTOR_CLIENT, content_pb2.TOOL_EXECUTOR_PROVIDER


class Reader:
    """Feeds one call's Answer with what the provider says, event by event or whole. `names`: of tools, theirs -> ours.

    Their blocks are parts, known by kind and index; a stream does not say of what kind a block is before it grows.
    """

    def __init__(self, answer: Answer, names: Mapping[str, str], *, outputs: bool = False) -> None:
        self._answer = answer
        self._names = names
        self._outputs = outputs
        self._signatures: dict[Hashable, list[str]] = {}
        self._results: dict[int, said.ToolResult] = {}
        self._images: dict[int, tuple[str, list[str]]] = {}
        self._citations: dict[Hashable, list[bytes]] = {}
        self.finished = False
        self.closed = False

    def event(self, kind: str, event: said.Event) -> None:
        """One event of a stream."""
        match kind:
            case "contentBlockDelta":
                if event.delta is not None:
                    self._grow(event.content_block_index, event.delta)
            case "contentBlockStart":
                if event.start is not None:
                    self._open(event.content_block_index, event.start)
            case "contentBlockStop":
                self._close(event.content_block_index)
            case "messageStart":
                self._answer.start()
            case _:
                self._told(event)
                self.closed = self.closed or kind == "metadata"

    def whole(self, whole: said.Whole) -> None:
        """The whole answer."""
        if whole.output is None or whole.output.message is None:
            raise Unreadable("an answer without a message")
        self._answer.start()
        for index, raw in enumerate(whole.output.message.content):
            self._block(index, bytes(raw))
            self._close(index)
        self._told(whole)
        if not self.finished:
            self._answer.finish(chat_pb2.FINISH_REASON_STOP)

    # Blocks, as they grow.

    def _open(self, index: int, start: said.Block) -> None:
        if start.tool_use is not None:
            self._call(index, start.tool_use)
        elif start.tool_result is not None:
            self._results[index] = start.tool_result
        elif start.image is not None:
            self._images[index] = (start.image.format, [])

    def _grow(self, index: int, delta: said.Delta) -> None:
        if delta.text is not None:
            self._answer.text(delta.text, key=("text", index))
        elif delta.tool_use is not None:
            fragment = bytes(delta.tool_use.input)
            text = msgspec.json.decode(fragment) if fragment[:1] == b'"' else fragment.decode()
            self._answer.tool_call(index, arguments="" if text == "null" else text)
        elif delta.reasoning_content is not None:
            self._reason(index, delta.reasoning_content)
        elif delta.citation is not said.NOTHING:
            self._citations.setdefault(("text", index), []).append(bytes(delta.citation))
        elif delta.tool_result is not None:
            self._results.setdefault(index, said.ToolResult()).content.extend(delta.tool_result)
        elif delta.image is not None and delta.image.source is not None:
            self._images.setdefault(index, ("png", []))[1].append(delta.image.source.bytes or "")
        else:
            self._answer.warning("BLOCK_DROPPED", "the provider sent a piece of content of a kind that is not known")

    def _close(self, index: int) -> None:
        reasoning, text = ("reasoning", index), ("text", index)
        if signatures := self._signatures.pop(reasoning, None):
            self._answer.reasoning(redacted=True, key=reasoning)  # opens it where no text did
            self._answer.state(SIGNATURE, "".join(signatures), key=reasoning)
        if citations := self._citations.pop(text, None):
            for raw in citations:
                self._answer.citation(citation_of(raw), key=text)
            self._answer.state(CITED, CITED, key=text)
        for key in (reasoning, text, index):
            self._answer.close(key)
        if index in self._results:
            self._result(self._results.pop(index))
        if index in self._images:
            self._image(*self._images.pop(index))

    def _call(self, index: int, call: said.ToolUse, arguments: str = "") -> None:
        ours = call.type != SERVER_TOOL
        name = self._names.get(call.name, call.name) if ours else call.name
        self._answer.tool_call(
            index, id=call.tool_use_id, name=name, arguments=arguments, executor=CLIENT if ours else PROVIDER
        )
        if not ours:
            self._answer.state(SERVER_TOOL, SERVER_TOOL, key=index)

    def _reason(self, index: int, told: said.Reasoning) -> None:
        key = ("reasoning", index)
        self._answer.reasoning(told.text, key=key)
        if told.signature:
            self._signatures.setdefault(key, []).append(told.signature)
        if told.redacted_content:
            self._answer.reasoning(redacted=True, key=key)
            self._answer.state(REDACTED, told.redacted_content, key=key)

    def _result(self, result: said.ToolResult) -> None:
        """What a tool of the provider's answered: it goes back as it came."""
        block = {"toolResult": msgspec.to_builtins(result)}
        failed = result.status == "error"
        state = content_pb2.TOOL_CALL_STATE_FAILED if failed else content_pb2.TOOL_CALL_STATE_SUCCEEDED
        self._answer.tool_update(result.tool_use_id, state)
        self._answer.opaque(result.type or "toolResult", msgspec.json.encode(block).decode())
        if self._outputs:
            texts = [content_pb2.Part(text=piece["text"]) for piece in result.content if "text" in piece]
            data = next((piece["json"] for piece in result.content if "json" in piece), None)
            self._answer.tool_result(
                content_pb2.ToolResult(
                    tool_call_id=result.tool_use_id,
                    name=result.type,
                    content=texts,
                    structured_json="" if data is None else msgspec.json.encode(data).decode(),
                    is_error=failed,
                )
            )

    def _image(self, kind: str, pieces: list[str]) -> None:
        self._answer.media(
            b"".join(_bytes(piece) for piece in pieces),
            mime_type=f"image/{kind or 'png'}",
            modality=common_pb2.MODALITY_IMAGE,
        )

    # Blocks that come whole.

    def _block(self, index: int, raw: bytes) -> None:
        block = said.block(raw)
        if block.text is not None:
            self._answer.text(block.text, key=("text", index))
        elif block.tool_use is not None:
            given = bytes(block.tool_use.input)
            self._call(index, block.tool_use, "" if given == b"null" else given.decode())
        elif block.reasoning_content is not None:
            told = block.reasoning_content
            inner = told.reasoning_text or said.ReasoningText()
            text, signature = inner.text or told.text, inner.signature or told.signature
            self._reason(index, said.Reasoning(text, signature, redacted_content=told.redacted_content))
        elif block.citations_content is not None:
            key = ("text", index)
            self._answer.text("".join(piece.text for piece in block.citations_content.content), key=key)
            self._citations[key] = [bytes(citation) for citation in block.citations_content.citations]
        elif block.tool_result is not None:
            self._results[index] = block.tool_result
        elif block.image is not None and block.image.source is not None:
            self._images[index] = (block.image.format, [block.image.source.bytes or ""])
        else:
            self._answer.opaque(next(iter(msgspec.json.decode(raw)), "block"), raw.decode())

    # The end.

    def _told(self, told: said.Told) -> None:
        if told.stop_reason is not None:
            self.finished = True
            self._answer.finish(FINISH.get(told.stop_reason), told.stop_reason, _stop(told))
        if told.usage is not None:
            self._answer.usage(usage_of(told.usage))
        if told.service_tier is not None:
            self._answer.metadata(service_tier=told.service_tier.type)
        if told.trace is not None and told.trace.guardrail is not None and told.trace.guardrail.action_reason:
            self._answer.warning("CONTENT_FILTERED", f"the guardrail says: {told.trace.guardrail.action_reason}")


def usage_of(told: said.Usage) -> common_pb2.Usage:
    """Their counts in ours. Where the total says that the input holds the cached tokens already, it does."""
    read, written = told.cache_read_input_tokens or 0, told.cache_write_input_tokens or 0
    cached = read + written
    if cached and told.total_tokens == told.input_tokens + told.output_tokens:
        cached = 0
    return common_pb2.Usage(
        input_tokens=told.input_tokens + cached,
        output_tokens=told.output_tokens,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
    )


def citation_of(raw: bytes) -> content_pb2.Citation:
    """A source of theirs."""
    told = said.citation(raw)
    location = told.location or said.Location()
    pages = location.document_page or {}
    return content_pb2.Citation(
        title=told.title or "",
        uri=(location.web or {}).get("url") or told.source or "",
        cited_text="".join(piece.text for piece in told.source_content),
        start_page=pages.get("start", 0),
        end_page=pages.get("end", 0),
        provider_json=raw.decode(),
    )


def _stop(told: said.Told) -> str:
    """The stop sequence, if the caller had the model's own fields returned."""
    fields: Any = told.additional_model_response_fields
    stop = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return stop if isinstance(stop, str) else ""


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise Unreadable("an image whose bytes are no base64") from None
