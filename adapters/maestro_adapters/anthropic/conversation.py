"""The conversation, ours -> theirs: system blocks, and messages in turns of content blocks."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.anthropic.models import Family
from maestro_adapters.anthropic.notes import Notes
from maestro_adapters.wire.body import invalid, read_data_url

Block = dict[str, Any]

SIGNATURE, REDACTED = "signature", "redacted_thinking"  # kinds of provider state on reasoning
CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")  # and on tool calls: the blocks they came as
CITATIONS = (
    "char_location", "page_location", "content_block_location", "search_result_location", "web_search_result_location",
)  # fmt: skip
LONG_TTL = 300  # seconds; a breakpoint that should last longer is kept for an hour

_SYSTEM = (content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER)
_STRANGE_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")

_decode_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Conversation:
    """Theirs, as it grows: `system` blocks, and `messages` in which no two neighbours have the same role.

    A message of tool results and what the user says after it are one turn, results first. What only another provider
    understands is left out, with a note each.
    """

    def __init__(
        self, provider: str, request: chat_pb2.ChatRequest, kind: Family, spell: Callable[[str], str], notes: Notes
    ) -> None:
        self._provider = provider
        self._kind = kind
        self._spell = spell
        self._notes = notes
        self._cite = any(need.capability == common_pb2.CAPABILITY_CITATIONS for need in request.requires)
        self._provider_calls: set[str] = set()  # answered by blocks of the provider's own, not by results
        self._arms: Mapping[str | None, Callable[[content_pb2.Part, str], Block | None]] = {
            "text": self._text,
            "refusal": lambda part, _: _text_block(part.refusal),
            "compaction": lambda part, _: _text_block(part.compaction.summary),
            "reasoning": self._reasoning,
            "tool_call": self._tool_call,
            "tool_result": self._tool_result,
            "media": self._media,
            "opaque": self._opaque,
        }
        self.system = self._blocks(request.system, "system")
        self.messages: list[dict[str, Any]] = []
        for number, message in enumerate(request.messages):
            self._add(message, f"messages[{number}]")
        for turn in self.messages:
            turn["content"].sort(key=lambda block: _type(block) != "tool_result")  # stable

    def _add(self, message: content_pb2.Message, field: str) -> None:
        if message.name:
            self._notes.drop(f"{field}.name", "speakers have no names there")
        role = "assistant" if message.role == content_pb2.ROLE_ASSISTANT else "user"
        if message.role in _SYSTEM:
            role = "system"
        blocks = self._blocks(message.parts, f"{field}.parts", role)
        if not blocks:
            return
        last = self.messages[-1]["role"] if self.messages else ""
        if role == "system" and not (self._kind.system_later and last in ("user", "system")):
            if last:
                self._notes.warn("SYSTEM_MOVED", field, "the model takes instructions at the beginning only")
            self.system += blocks
        elif role == last:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _blocks(self, parts: Iterable[content_pb2.Part], field: str, role: str = "system") -> list[Block | msgspec.Raw]:
        blocks: list[Block | msgspec.Raw] = []
        for index, part in enumerate(parts):
            where = f"{field}[{index}]"
            owner = part.provider_state.provider
            if owner and owner != self._provider:
                self._state_dropped(f"{where}.provider_state", owner)
            if role == "assistant" and part.HasField("media"):
                self._notes.warn("MEDIA_DROPPED", where, "the model takes no media as said by itself")
                continue
            arm = self._arms.get(part.WhichOneof("kind"))
            block = arm(part, where) if arm else None
            if block is None:
                continue
            if role == "assistant" and part.citations and (cited := _citations(part)):
                block["citations"] = cited
            if part.HasField("cache_breakpoint"):
                self._break_cache(block, part.cache_breakpoint, f"{where}.cache_breakpoint")
            blocks.append(block.get(_RAW, block))
        return blocks

    def _text(self, part: content_pb2.Part, _: str) -> Block | None:
        return _text_block(part.text)

    def _reasoning(self, part: content_pb2.Part, where: str) -> Block | None:
        state = part.provider_state
        if state.provider == self._provider and state.kind == SIGNATURE:
            return {"type": "thinking", "thinking": part.reasoning.text, "signature": _text(state.data, where)}
        if state.provider == self._provider and state.kind == REDACTED:
            return {"type": "redacted_thinking", "data": _text(state.data, where)}
        if not state.provider and part.reasoning.text:
            self._notes.warn(
                "REASONING_DROPPED", where, "only reasoning that the provider has signed can go back to it"
            )
        return None

    def _tool_call(self, part: content_pb2.Part, where: str) -> Block | None:
        call, state = part.tool_call, part.provider_state
        ours = state.provider == self._provider and state.kind in CALLS
        kind = state.kind if ours else "tool_use"
        if call.executor == content_pb2.TOOL_EXECUTOR_PROVIDER:
            self._provider_calls.add(call.id)
            if not ours:
                self._state_dropped(where, state.provider or "another provider")
                return None
        block: Block = {
            "type": kind,
            "id": _id(call.id),
            "name": self._spell(call.name) if kind == "tool_use" else call.name,
            "input": self._arguments(call, f"{where}.tool_call.arguments_json"),
        }
        if ours and state.data:
            block = _read(_text(state.data, where)) | block  # what else the block said
        return block

    def _arguments(self, call: content_pb2.ToolCall, field: str) -> msgspec.Raw | dict[str, str]:
        """The very text that the model wrote; the API takes nothing but an object."""
        text = call.arguments_json.strip() or "{}"
        try:
            _decode_arguments(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            self._notes.warn("ARGUMENTS_WRAPPED", field, "they are no JSON object, and are sent inside one")
            return {"INVALID_JSON": call.arguments_json}
        return msgspec.Raw(text.encode())

    def _tool_result(self, part: content_pb2.Part, where: str) -> Block | None:
        result = part.tool_result
        if result.tool_call_id in self._provider_calls:
            return None  # what the provider needs of it are the opaque blocks beside it
        block: Block = {"type": "tool_result", "tool_use_id": _id(result.tool_call_id)}
        content = self._blocks(result.content, f"{where}.tool_result.content", "user")
        if not content and result.structured_json:
            content = [{"type": "text", "text": result.structured_json}]
        if content:
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        return block

    def _media(self, part: content_pb2.Part, where: str) -> Block:
        media = part.media
        mime, data, uri = media.mime_type.lower().partition(";")[0], media.data, media.uri
        if inline := read_data_url(uri):
            mime, data, uri = mime or inline[0].lower(), inline[1], ""
        if uri and not uri.startswith(("https://", "http://")):
            raise invalid(f"{where}.media.uri", "an address on the web is needed, or the bytes themselves")
        if media.modality == common_pb2.MODALITY_IMAGE or mime.startswith("image/"):
            return {"type": "image", "source": _source(mime, data, uri)}
        if media.modality in (common_pb2.MODALITY_AUDIO, common_pb2.MODALITY_VIDEO) or mime[:6] in ("audio/", "video/"):
            raise invalid(f"{where}.media", "images and documents are taken, no sound and no film")
        return self._document(media, mime, data, uri, where)

    def _document(self, media: content_pb2.Media, mime: str, data: bytes, uri: str, where: str) -> Block:
        block: Block = {"type": "document", "source": _source(mime or "application/pdf", data, uri)}
        if data and (mime.startswith("text/") or mime == "application/json"):
            try:
                block["source"] = {"type": "text", "media_type": "text/plain", "data": data.decode()}
            except UnicodeDecodeError:
                raise invalid(f"{where}.media.data", "a text document is UTF-8") from None
        if media.filename:
            block["title"] = media.filename
        if media.description:
            block["context"] = media.description
        if self._cite:
            block["citations"] = {"enabled": True}
        return block

    def _opaque(self, part: content_pb2.Part, where: str) -> Block | None:
        if part.opaque.provider != self._provider:
            self._state_dropped(where, part.opaque.provider)
            return None
        if not _read(part.opaque.json):
            raise invalid(f"{where}.opaque.json", "an object is needed")
        return {_RAW: msgspec.Raw(part.opaque.json.encode())}

    def _break_cache(self, block: Block, breakpoint: content_pb2.CacheBreakpoint, field: str) -> None:
        if _RAW in block or block["type"] in ("thinking", REDACTED):
            self._notes.drop(field, "the cache cannot be cut after such a block")
            return
        block["cache_control"] = {"type": "ephemeral"}
        if breakpoint.HasField("ttl"):
            block["cache_control"]["ttl"] = "1h" if breakpoint.ttl.seconds > LONG_TTL else "5m"

    def _state_dropped(self, field: str, owner: str) -> None:
        self._notes.warn("PROVIDER_STATE_DROPPED", field, f"it belongs to {owner}, and {self._provider} answers")


_RAW = ""  # the key of a block's own text, in a block that goes as it came


def _type(block: Block | msgspec.Raw) -> str:
    return "" if isinstance(block, msgspec.Raw) else str(block["type"])


def _text_block(text: str) -> Block | None:
    """A block of text; one without a word in it is refused there, and says nothing."""
    return {"type": "text", "text": text} if text.strip() else None


def _source(mime: str, data: bytes, uri: str) -> Block:
    if uri:
        return {"type": "url", "url": uri}
    return {"type": "base64", "media_type": mime, "data": base64.b64encode(data).decode()}


def _citations(part: content_pb2.Part) -> list[msgspec.Raw]:
    """The citations that came from there, as they came."""
    return [
        msgspec.Raw(said.provider_json.encode())
        for said in part.citations
        if said.provider_json and _read(said.provider_json).get("type") in CITATIONS
    ]


def _text(data: bytes, where: str) -> str:
    """State as it was given out; it is text there."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise invalid(f"{where}.provider_state.data", "this is not what the provider gave out") from None


def _read(text: str) -> dict[str, Any]:
    """A caller's JSON text, if it is one object and nothing more: what goes out as it came must be whole by itself."""
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _id(call: str) -> str:
    """A tool call's id in the letters that the API takes."""
    return _STRANGE_IN_ID.sub("_", call)
