"""The conversation in the words of Converse: system blocks, and messages in turns of content blocks."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.bedrock.answer import CITED, REDACTED, SERVER_TOOL, SIGNATURE
from maestro_adapters.wire.body import base64_of, invalid, parse, read_data_url
from maestro_spi.answer import Answer

Block = dict[str, Any]

IMAGES: Mapping[str, str] = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
VIDEOS: Mapping[str, str] = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
SOUNDS: Mapping[str, str] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
}
KINDS: Mapping[common_pb2.Modality.ValueType, tuple[str, Mapping[str, str]]] = {
    common_pb2.MODALITY_IMAGE: ("image", IMAGES),
    common_pb2.MODALITY_VIDEO: ("video", VIDEOS),
    common_pb2.MODALITY_AUDIO: ("audio", SOUNDS),
    common_pb2.MODALITY_DOCUMENT: ("document", DOCUMENTS),
}
LONG_TTL = 300  # seconds; a breakpoint that should last longer is kept for an hour

_SYSTEM = (content_pb2.ROLE_SYSTEM, content_pb2.ROLE_DEVELOPER)
_STRANGE_IN_NAME = re.compile(r"[^\w \-()\[\]]+")
_STRANGE_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


class Conversation:
    """Theirs, as it grows: `system` blocks, and `messages` in which no two neighbours have the same role.

    A message of tool results and what the user says after it are one turn, results first. State of another provider is
    left out, and the answer warns of it.
    """

    def __init__(
        self, request: chat_pb2.ChatRequest, provider: str, spell: Callable[[str], str], answer: Answer
    ) -> None:
        self._provider = provider
        self._spell = spell
        self._answer = answer
        self._cite = any(need.capability == common_pb2.CAPABILITY_CITATIONS for need in request.requires)
        self._provider_calls: set[str] = set()  # answered by blocks of the provider's own, not by results
        self._documents: set[str] = set()
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
            if turn["role"] == "user":
                turn["content"].sort(key=lambda block: "toolResult" not in block)  # stable

    def _add(self, message: content_pb2.Message, field: str) -> None:
        if message.name:
            self._answer.warning("PARAMETER_DROPPED", "speakers have no names there", f"{field}.name")
        blocks = self._blocks(message.parts, f"{field}.parts")
        role = "assistant" if message.role == content_pb2.ROLE_ASSISTANT else "user"
        if not blocks:
            return
        if message.role in _SYSTEM:
            if self.messages:
                self._answer.warning("SYSTEM_MOVED", "instructions are taken at the beginning only", field)
            self.system += blocks
        elif self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _blocks(self, parts: Iterable[content_pb2.Part], field: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            where = f"{field}[{index}]"
            owner = part.provider_state.provider
            if owner and owner != self._provider:
                self._dropped(owner, f"{where}.provider_state")
            arm = self._arms.get(part.WhichOneof("kind"))
            block = arm(part, where) if arm else None
            if block is not None:
                blocks.append(block)
            if part.HasField("cache_breakpoint"):
                blocks.append({"cachePoint": _cache_point(part.cache_breakpoint)})
        return blocks

    def _text(self, part: content_pb2.Part, _: str) -> Block | None:
        if not self._own(part, CITED):
            return _text_block(part.text)
        citations = [parse(cited.provider_json, "citations") for cited in part.citations if cited.provider_json]
        return {"citationsContent": {"content": [{"text": part.text}], "citations": citations}}

    def _reasoning(self, part: content_pb2.Part, field: str) -> Block | None:
        state = part.provider_state
        if self._own(part, SIGNATURE):
            signed = {"text": part.reasoning.text, "signature": state.data.decode()}
            return {"reasoningContent": {"reasoningText": signed}}
        if self._own(part, REDACTED):
            return {"reasoningContent": {"redactedContent": state.data.decode()}}
        if not state.provider and part.reasoning.text:
            message = "only reasoning that the provider has signed can go back to it"
            self._answer.warning("REASONING_DROPPED", message, field)
        return None

    def _tool_call(self, part: content_pb2.Part, field: str) -> Block | None:
        call = part.tool_call
        ours = call.executor != content_pb2.TOOL_EXECUTOR_PROVIDER
        block: Block = {"toolUseId": _id(call.id), "name": self._spell(call.name) if ours else call.name}
        if not ours:
            self._provider_calls.add(call.id)
            if not self._own(part, SERVER_TOOL):
                self._dropped(part.provider_state.provider or "another provider", field)
                return None
            block["type"] = SERVER_TOOL
        block["input"] = self._arguments(call, f"{field}.tool_call.arguments_json")
        return {"toolUse": block}

    def _arguments(self, call: content_pb2.ToolCall, field: str) -> Any:
        """What the model wrote, read: Converse takes it as JSON, and models take nothing but an object."""
        try:
            arguments = json.loads(call.arguments_json.strip() or "{}")
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            return arguments
        self._answer.warning("ARGUMENTS_WRAPPED", "they are no JSON object, and are sent inside one", field)
        return {"INVALID_JSON": call.arguments_json}

    def _tool_result(self, part: content_pb2.Part, field: str) -> Block | None:
        result = part.tool_result
        if result.tool_call_id in self._provider_calls:
            return None  # what the provider needs of it are the opaque blocks beside it
        content = self._blocks(result.content, f"{field}.tool_result.content")
        if not content and result.structured_json:
            content = [{"json": parse(result.structured_json, f"{field}.tool_result.structured_json")}]
        block: Block = {"toolUseId": _id(result.tool_call_id), "content": content}
        if result.is_error:
            block["status"] = "error"
        return {"toolResult": block}

    def _media(self, part: content_pb2.Part, field: str) -> Block:
        media = part.media
        mime, source = _source(media, f"{field}.media")
        name, formats = KINDS[media.modality if media.modality in KINDS else _modality(mime)]
        if mime not in formats:
            raise invalid(f"{field}.media.mime_type", f"no {name} there; there are: {', '.join(formats)}")
        block: Block = {"format": formats[mime], "source": source}
        if name == "document":
            block["name"] = self._document_name(media.filename, block["format"])
            if media.description:
                block["context"] = media.description
            if self._cite:
                block["citations"] = {"enabled": True}
        return {name: block}

    def _document_name(self, filename: str, kind: str) -> str:
        """A name in the letters that Converse takes, and no two alike."""
        name = _STRANGE_IN_NAME.sub("-", filename.removesuffix(f".{kind}"))
        name = base = " ".join(name.split())[:190] or "document"
        number = 1
        while name in self._documents:
            number += 1
            name = f"{base} {number}"
        self._documents.add(name)
        return name

    def _opaque(self, part: content_pb2.Part, field: str) -> Block | None:
        if part.opaque.provider != self._provider:
            self._dropped(part.opaque.provider, f"{field}.opaque")
            return None
        block = parse(part.opaque.json, f"{field}.opaque.json")
        if not isinstance(block, dict):
            raise invalid(f"{field}.opaque.json", "an object is needed")
        return block

    def _own(self, part: content_pb2.Part, kind: str) -> bool:
        return part.provider_state.provider == self._provider and part.provider_state.kind == kind

    def _dropped(self, owner: str, field: str) -> None:
        message = f"it belongs to {owner}, and {self._provider} is asked; the request goes without it"
        self._answer.warning("PROVIDER_STATE_DROPPED", message, field)


def _text_block(text: str) -> Block | None:
    """A block of text; an empty one is refused there, and says nothing."""
    return {"text": text} if text else None


def _cache_point(breakpoint: content_pb2.CacheBreakpoint) -> Block:
    point = {"type": "default"}
    if breakpoint.HasField("ttl"):
        point["ttl"] = "1h" if breakpoint.ttl.seconds > LONG_TTL else "5m"
    return point


def _source(media: content_pb2.Media, field: str) -> tuple[str, Block]:
    """Its type, and its bytes or its place in S3."""
    mime = media.mime_type.lower().partition(";")[0].strip()
    if media.WhichOneof("source") != "uri":
        return mime, {"bytes": base64_of(media)}
    if media.uri.startswith("s3://"):
        return mime, {"s3Location": {"uri": media.uri}}
    inline = read_data_url(media.uri)
    if inline is None:
        raise invalid(f"{field}.uri", "the bytes themselves are needed, or an address in S3")
    return mime or inline[0].lower(), {"bytes": base64_of(content_pb2.Media(data=inline[1]))}


def _modality(mime: str) -> common_pb2.Modality.ValueType:
    return {
        "image": common_pb2.MODALITY_IMAGE,
        "video": common_pb2.MODALITY_VIDEO,
        "audio": common_pb2.MODALITY_AUDIO,
    }.get(mime.partition("/")[0], common_pb2.MODALITY_DOCUMENT)


def _id(call: str) -> str:
    """A tool call's id in the letters that Converse takes."""
    return _STRANGE_IN_ID.sub("_", call)[:64]
