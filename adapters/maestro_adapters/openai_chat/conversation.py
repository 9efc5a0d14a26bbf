"""The messages of a conversation in the words of Chat Completions."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_chat.answer import SIGNED
from maestro_adapters.openai_chat.quirks import Quirks
from maestro_adapters.openai_chat.reasoning import DETAILS
from maestro_adapters.wire.body import base64_of, data_url, invalid, parse
from maestro_spi.answer import Answer

AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER


class Conversation:
    """Translates messages one by one. State of another provider is left out, and the answer warns of it."""

    def __init__(self, quirks: Quirks, provider: str, answer: Answer) -> None:
        self._quirks = quirks
        self._provider = provider
        self._answer = answer

    def messages(self, request: chat_pb2.ChatRequest) -> list[dict[str, Any]]:
        """All of them, the request's own instructions first."""
        messages: list[dict[str, Any]] = []
        if request.system:
            messages.append({"role": "system", "content": self._content(request.system, "system")})
        for number, message in enumerate(request.messages):
            field = f"messages[{number}]"
            match message.role:
                case content_pb2.ROLE_ASSISTANT:
                    messages.append(self._assistant(message, field))
                case content_pb2.ROLE_TOOL:
                    messages += self._results(message, field)
                case _:
                    messages.append(self._named(message, {"role": self._role(message.role)}, field))
        return messages

    def _role(self, role: content_pb2.Role.ValueType) -> str:
        if role == content_pb2.ROLE_DEVELOPER:
            return self._quirks.developer_role
        return "system" if role == content_pb2.ROLE_SYSTEM else "user"

    def _named(self, message: content_pb2.Message, told: dict[str, Any], field: str) -> dict[str, Any]:
        told["content"] = self._content(message.parts, f"{field}.parts")
        if message.name:
            told["name"] = message.name
        return told

    def _content(self, parts: Iterable[content_pb2.Part], field: str) -> str | list[dict[str, Any]]:
        """A text, where it is one; else a list of parts."""
        told = [
            written
            for index, part in enumerate(parts)
            if (written := self._part(part, f"{field}[{index}]")) is not None
        ]
        plain = all(list(part) == ["type", "text"] for part in told)
        if plain and (len(told) < 2 or self._quirks.joined_text):
            return "\n".join(part["text"] for part in told)
        return told

    def _part(self, part: content_pb2.Part, field: str) -> dict[str, Any] | None:
        written: dict[str, Any] | None
        match part.WhichOneof("kind"):
            case "text":
                written = {"type": "text", "text": part.text}
            case "media":
                written = self._media(part.media, f"{field}.media")
            case "opaque":
                return self._opaque(part.opaque, field)
            case "compaction":
                written = {"type": "text", "text": part.compaction.summary}
            case "refusal":
                written = {"type": "refusal", "refusal": part.refusal}
            case _:
                return None
        if part.HasField("cache_breakpoint") and self._quirks.cache_control:
            written["cache_control"] = _cache_control(part)
        return written

    def _opaque(self, opaque: content_pb2.OpaqueBlock, field: str) -> dict[str, Any] | None:
        if opaque.provider != self._provider:
            self._dropped(opaque.provider, f"{field}.opaque")
            return None
        block = parse(opaque.json, f"{field}.opaque.json")
        return block if isinstance(block, dict) else {"type": "text", "text": str(block)}

    # Media.

    def _media(self, media: content_pb2.Media, field: str) -> dict[str, Any]:
        kind = media.modality or _modality(media.mime_type)
        if kind == common_pb2.MODALITY_IMAGE:
            return self._image(media)
        if kind == common_pb2.MODALITY_AUDIO:
            return self._audio(media, field)
        if kind == common_pb2.MODALITY_VIDEO:
            if not self._quirks.video:
                raise invalid(field, "this provider takes no video here")
            return {"type": "video_url", "video_url": {"url": data_url(media)}}
        return self._document(media, field)

    def _image(self, media: content_pb2.Media) -> dict[str, Any]:
        if self._quirks.image_string:
            return {"type": "image_url", "image_url": data_url(media)}
        image = {"url": data_url(media)}
        if media.detail:
            image["detail"] = media.detail
        return {"type": "image_url", "image_url": image}

    def _audio(self, media: content_pb2.Media, field: str) -> dict[str, Any]:
        if self._quirks.audio_urls:
            return {"type": "input_audio", "input_audio": {"data": data_url(media)}}
        if media.WhichOneof("source") == "uri":
            raise invalid(field, "this provider takes audio as bytes, not by address")
        audio_format = AUDIO_FORMATS.get(media.mime_type, media.mime_type.rpartition("/")[2])
        return {"type": "input_audio", "input_audio": {"data": base64_of(media), "format": audio_format}}

    def _document(self, media: content_pb2.Media, field: str) -> dict[str, Any]:
        by_address = media.WhichOneof("source") == "uri"
        match self._quirks.documents:
            case "document_url":
                return {"type": "document_url", "document_url": data_url(media)}
            case "file_url":
                pass
            case "file" if not by_address:
                pass
            case _:
                problem = (
                    "this provider takes documents as bytes, not by address" if by_address else "no documents here"
                )
                raise invalid(field, problem)
        file = {"file_data": data_url(media)}
        if media.filename or not by_address:
            file["filename"] = media.filename or "document"
        return {"type": "file", "file": file}

    # Answers of the model, and of tools.

    def _assistant(self, message: content_pb2.Message, field: str) -> dict[str, Any]:
        told: dict[str, Any] = {"role": "assistant"}
        said: list[content_pb2.Part] = []
        calls: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            where = f"{field}.parts[{index}]"
            self._turn(part, told, said, calls, where)
        if self._quirks.reasoning_field == "thinking_parts" and (thinking := told.pop("thinking", None)):
            told["content"] = [*thinking, *_as_list(self._content(said, f"{field}.parts"))]
        elif said or not (calls or set(told) - {"role"}):
            told["content"] = self._content(said, f"{field}.parts")
        else:
            told["content"] = self._quirks.empty_content
        if calls:
            told["tool_calls"] = calls
        if message.name:
            told["name"] = message.name
        return told

    def _turn(
        self,
        part: content_pb2.Part,
        told: dict[str, Any],
        said: list[content_pb2.Part],
        calls: list[dict[str, Any]],
        field: str,
    ) -> None:
        match part.WhichOneof("kind"):
            case "tool_call":
                if part.tool_call.executor != PROVIDER:
                    self._call(part, calls, told, field)
            case "refusal":
                told["refusal"] = told.get("refusal", "") + part.refusal
            case "reasoning":
                self._reasoned(part, told, field)
            case "media":
                self._spoken(part, told, field)
            case _:
                if self._own(part, field) and part.provider_state.kind == SIGNED:
                    told["extra_content"] = json.loads(part.provider_state.data)
                if part.text or part.WhichOneof("kind") != "text" or not part.HasField("provider_state"):
                    said.append(part)  # an empty text that only carries state says nothing

    def _call(self, part: content_pb2.Part, calls: list[dict[str, Any]], told: dict[str, Any], field: str) -> None:
        call = part.tool_call
        state = part.provider_state.kind if self._own(part, field) else ""
        if state == "function_call":
            told["function_call"] = {"name": call.name, "arguments": call.arguments_json}
            return
        if state == "custom_tool_call":
            calls.append({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments_json}})
            return
        written: dict[str, Any] = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
        }
        if part.HasField("cache_breakpoint") and self._quirks.cache_control:
            written["cache_control"] = _cache_control(part)
        if state == "extra_content":
            written["extra_content"] = json.loads(part.provider_state.data)
        elif state == SIGNED:
            told["extra_content"] = json.loads(part.provider_state.data)
        calls.append(written)

    def _reasoned(self, part: content_pb2.Part, told: dict[str, Any], field: str) -> None:
        """Reasoning goes back where the vendor wants it; what was signed, only to whom has signed it."""
        own = self._own(part, field)
        kind = part.provider_state.kind if own else ""
        if kind == DETAILS:
            told.setdefault(DETAILS, []).extend(json.loads(part.provider_state.data))
        name = self._quirks.reasoning_field
        if name == "thinking_parts":
            thought: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": part.reasoning.text}]}
            if kind == "signature":
                thought["signature"] = part.provider_state.data.decode()
            told.setdefault("thinking", []).append(thought)
        elif name and part.reasoning.text:
            told[name] = told.get(name, "") + part.reasoning.text
        elif not own and part.reasoning.text:
            message = "this provider takes no reasoning back; the request goes without it"
            self._answer.warning("REASONING_DROPPED", message, field)

    def _spoken(self, part: content_pb2.Part, told: dict[str, Any], field: str) -> None:
        """Audio of an earlier answer goes back by its id; the rest of the media cannot."""
        if self._own(part, field) and part.provider_state.kind == "audio_id":
            told["audio"] = {"id": part.provider_state.data.decode()}
        else:
            message = "this provider takes no media of earlier answers back; the request goes without it"
            self._answer.warning("MEDIA_DROPPED", message, field)

    def _results(self, message: content_pb2.Message, field: str) -> list[dict[str, Any]]:
        """A message for each result; media that they hold follow as a user's, for a tool can only say text."""
        told: list[dict[str, Any]] = []
        media: list[content_pb2.Part] = []
        for index, part in enumerate(message.parts):
            if part.WhichOneof("kind") != "tool_result":
                continue
            result = part.tool_result
            media += [piece for piece in result.content if piece.WhichOneof("kind") == "media"]
            texts = [piece for piece in result.content if piece.WhichOneof("kind") != "media"]
            content = self._content(texts, f"{field}.parts[{index}].tool_result.content")
            written: dict[str, Any] = {"role": "tool", "tool_call_id": result.tool_call_id}
            if self._own(part, f"{field}.parts[{index}]") and part.provider_state.kind == "function_call":
                written = {"role": "function"}
            if result.name and "tool_call_id" not in written:
                written["name"] = result.name
            told.append({**written, "content": content or result.structured_json})
        if media:
            told.append({"role": "user", "content": self._content(media, field)})
        return told

    def _own(self, part: content_pb2.Part, field: str) -> bool:
        """Is there state, and is it this provider's?"""
        if not part.HasField("provider_state"):
            return False
        if part.provider_state.provider != self._provider:
            self._dropped(part.provider_state.provider, f"{field}.provider_state")
            return False
        return True

    def _dropped(self, owner: str, field: str) -> None:
        message = f"it belongs to {owner}, and {self._provider} is asked; the request goes without it"
        self._answer.warning("PROVIDER_STATE_DROPPED", message, field)


def _as_list(content: str | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def _cache_control(part: content_pb2.Part) -> dict[str, str]:
    seconds = part.cache_breakpoint.ttl.seconds
    return {"type": "ephemeral", "ttl": "1h" if seconds > 300 else "5m"} if seconds else {"type": "ephemeral"}


def _modality(mime_type: str) -> common_pb2.Modality.ValueType:
    return {
        "image": common_pb2.MODALITY_IMAGE,
        "audio": common_pb2.MODALITY_AUDIO,
        "video": common_pb2.MODALITY_VIDEO,
    }.get(mime_type.partition("/")[0], common_pb2.MODALITY_DOCUMENT)
