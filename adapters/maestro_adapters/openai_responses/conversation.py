"""The messages of a conversation as input items of the Responses API."""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_responses.items import CALLS, COVERED, ITEM, OUTPUTS, PROVIDER, Item, text
from maestro_adapters.openai_responses.quirks import Quirks
from maestro_adapters.wire.body import base64_of, data_url, invalid, parse
from maestro_spi.answer import Answer

ROLES: Mapping[content_pb2.Role.ValueType, str] = {
    content_pb2.ROLE_SYSTEM: "system",
    content_pb2.ROLE_DEVELOPER: "developer",
    content_pb2.ROLE_ASSISTANT: "assistant",
}
AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
TEXTS: Mapping[str | None, str] = {"text": "output_text", "refusal": "refusal"}
LONG_TTL = 30 * 60  # seconds; a breakpoint that should last longer is kept for twelve hours


class Conversation:
    """Translates messages one by one. An item that came from this provider goes back as it was, its parts put together.

    What belongs to another provider is left out, and the answer warns of it. So is reasoning that the provider would
    have to look up, which it keeps only where it stores.
    """

    def __init__(
        self, quirks: Quirks, provider: str, answer: Answer, spell: Callable[[str], str], *, stored: bool = False
    ) -> None:
        self._quirks = quirks
        self._provider = provider
        self._answer = answer
        self._spell = spell
        self._stored = stored
        self._input: list[Item] = []
        self._calls: dict[str, str] = {}  # ids of calls -> the type of their items
        self._ran: set[str] = set()  # ids of calls that a provider has run
        self._said: Item | None = None  # the message that still grows
        self._thoughts: list[content_pb2.Part] = []  # of an item that is not whole yet

    def items(self, request: chat_pb2.ChatRequest) -> list[Item]:
        """All of them."""
        for number, message in enumerate(request.messages):
            field = f"messages[{number}]"
            if message.role == content_pb2.ROLE_ASSISTANT:
                self._assistant(message, field)
            else:
                self._other(message, field)
        return self._input

    # What others say.

    def _other(self, message: content_pb2.Message, field: str) -> None:
        content: list[Item] = []
        for index, part in enumerate(message.parts):
            where = f"{field}.parts[{index}]"
            match part.WhichOneof("kind"):
                case "tool_result":
                    self._result(part.tool_result, where)
                case "opaque":
                    block = self._opaque(part.opaque, where)
                    if block is not None:
                        (content if text(block.get("type")).startswith("input_") else self._input).append(block)
                case _:
                    self._own(part, where)
                    content += self._piece(part, where)
        if content or not message.parts:
            written: Item = {"role": ROLES.get(message.role, "user"), "content": _plain(content)}
            self._input.append(written)

    def _piece(self, part: content_pb2.Part, field: str) -> list[Item]:
        """A part as something that a model reads."""
        match part.WhichOneof("kind"):
            case "text":
                piece: Item | None = {"type": "input_text", "text": part.text}
            case "refusal":
                piece = {"type": "input_text", "text": part.refusal}
            case "compaction":
                piece = {"type": "input_text", "text": part.compaction.summary}
            case "media":
                piece = self._media(part.media, f"{field}.media")
            case "opaque":
                piece = self._opaque(part.opaque, field)
            case _:
                piece = None
        if piece is not None and part.HasField("cache_breakpoint") and self._quirks.cache_breakpoints:
            piece["prompt_cache_breakpoint"] = _breakpoint(part.cache_breakpoint)
        return [] if piece is None else [piece]

    def _media(self, media: content_pb2.Media, field: str) -> Item:
        kind = media.modality or _modality(media.mime_type)
        by_address = media.WhichOneof("source") == "uri"
        if kind == common_pb2.MODALITY_IMAGE:
            return {"type": "input_image", "image_url": data_url(media), "detail": media.detail or "auto"}
        if kind == common_pb2.MODALITY_AUDIO and not by_address:
            audio_format = AUDIO_FORMATS.get(media.mime_type, media.mime_type.rpartition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": base64_of(media), "format": audio_format}}
        if kind in (common_pb2.MODALITY_AUDIO, common_pb2.MODALITY_VIDEO):
            raise invalid(field, "images and documents are taken, and sound as bytes; no video")
        if by_address:
            return {"type": "input_file", "file_url": media.uri}
        return {"type": "input_file", "filename": media.filename or "document", "file_data": data_url(media)}

    # What the model said.

    def _assistant(self, message: content_pb2.Message, field: str) -> None:
        for index, part in enumerate(message.parts):
            where = f"{field}.parts[{index}]"
            state = self._state(part, where)
            kind = part.WhichOneof("kind")
            if kind in TEXTS:
                self._text(part, TEXTS[kind], state)
                continue
            self._said = None
            if kind == "reasoning":
                self._reasoning(part, state, where)
                continue
            self._forget(where)
            match kind:
                case "tool_call":
                    self._call(part.tool_call, state, where)
                case "media":
                    self._picture(part, state, where)
                case "opaque":
                    block = self._opaque(part.opaque, where)
                    self._input += [] if block is None else [block]
                case _:
                    self._input += [{"role": "assistant", "content": part.compaction.summary}]
        self._said = None
        self._forget(field)

    def _text(self, part: content_pb2.Part, kind: str, state: Item | None) -> None:
        """Into the message that it came in; without one, into the one before it, or one of its own."""
        self._forget("")
        said = part.refusal if kind == "refusal" else part.text
        piece: Item = {"type": kind, "refusal" if kind == "refusal" else "text": said}
        cited = [parse(each.provider_json, "citations.provider_json") for each in part.citations if each.provider_json]
        if kind == "output_text" and (state is not None or cited):
            piece["annotations"] = [each for each in cited if isinstance(each, dict) and "type" in each]
        if self._said is None or (state or {}).get("id") != self._said.get("id"):
            if state is None and not said:
                return
            self._said = {**(state or {"role": "assistant"}), "content": []}
            self._input.append(self._said)
        self._said["content"].append(piece)

    def _reasoning(self, part: content_pb2.Part, state: Item | None, field: str) -> None:
        """The last part of an item brings its state."""
        self._thoughts.append(part)
        if state is None:
            if part.HasField("provider_state"):
                self._thoughts.clear()
            return
        said: dict[bool, list[Item]] = {True: [], False: []}
        for thought in self._thoughts:
            summary = thought.reasoning.summary
            piece = {"type": "summary_text" if summary else "reasoning_text", "text": thought.reasoning.text}
            said[summary] += [piece] if thought.reasoning.text else []
        self._thoughts.clear()
        if not (self._stored or state.get("encrypted_content") or said[False]):
            message = "it came without its encrypted state, which reasoning.return_encrypted asks for; it is left out"
            self._answer.warning("REASONING_DROPPED", message, field)
            return
        item: Item = {**state, "summary": said[True]}
        if said[False]:
            item["content"] = said[False]
        self._input.append(item)

    def _forget(self, field: str) -> None:
        """Reasoning without a state of this provider's cannot go there."""
        if any(thought.reasoning.text for thought in self._thoughts):
            message = "only reasoning that came from this provider can go back to it; the request goes without it"
            self._answer.warning("REASONING_DROPPED", message, field)
        self._thoughts.clear()

    def _call(self, call: content_pb2.ToolCall, state: Item | None, field: str) -> None:
        kind = text((state or {}).get("type")) or "function_call"
        if call.executor == PROVIDER:
            self._ran.add(call.id)
            if state is None:
                self._dropped("the provider that ran it", field)
                return
            if kind == "mcp_approval_request":
                self._ran.discard(call.id)
        self._calls[call.id] = kind
        if state is not None and state.get(COVERED):
            return
        item: Item = {**(state or {"type": "function_call"})}
        carried = CALLS[kind].carried if kind in CALLS else ()
        if "call_id" in carried:
            item["call_id"] = call.id
            item["name"] = self._spell(call.name) if kind == "function_call" else call.name
            item[CALLS[kind].arguments[0]] = call.arguments_json or ("{}" if kind == "function_call" else "")
        self._input.append(item)

    def _picture(self, part: content_pb2.Part, state: Item | None, field: str) -> None:
        if state is None:
            message = "this provider takes no media of earlier answers back; the request goes without it"
            self._answer.warning("MEDIA_DROPPED", message, field)
        elif not state.get(COVERED):
            self._input.append({**state, "result": base64.b64encode(part.media.data).decode()})

    # What tools answered.

    def _result(self, result: content_pb2.ToolResult, field: str) -> None:
        if result.tool_call_id in self._ran:
            return  # the item of the call holds it
        kind = self._calls.get(result.tool_call_id, "function_call")
        item: Item = {"type": OUTPUTS.get(kind, "function_call_output"), "call_id": result.tool_call_id}
        match item["type"]:
            case "mcp_approval_response":
                item = {"type": item["type"], "approval_request_id": result.tool_call_id}
                item["approve"] = not result.is_error
            case "computer_call_output":
                shown = [each for each in self._content(result.content, field) if each["type"] == "input_image"]
                screenshot = {"type": "computer_screenshot", "image_url": shown[0]["image_url"]} if shown else {}
                item["output"] = screenshot or self._structured(result, field)
            case "shell_call_output":
                item["output"] = self._structured(result, field)
            case "local_shell_call_output":
                item = {"type": item["type"], "id": result.tool_call_id, "output": self._printed(result)}
            case "apply_patch_call_output":
                item["status"] = "failed" if result.is_error else "completed"
                item["output"] = self._printed(result)
            case _:
                item["output"] = _plain(self._content(result.content, field)) or result.structured_json
        self._input.append(item)

    def _content(self, parts: Iterable[content_pb2.Part], field: str) -> list[Item]:
        return [
            piece
            for index, part in enumerate(parts)
            for piece in self._piece(part, f"{field}.tool_result.content[{index}]")
        ]

    def _structured(self, result: content_pb2.ToolResult, field: str) -> Any:
        if not result.structured_json:
            raise invalid(f"{field}.tool_result.structured_json", "the provider defines what this tool answers")
        return parse(result.structured_json, f"{field}.tool_result.structured_json")

    def _printed(self, result: content_pb2.ToolResult) -> str:
        return "\n".join(part.text for part in result.content if part.text) or result.structured_json

    # Whose state it is.

    def _state(self, part: content_pb2.Part, field: str) -> Item | None:
        """The item that a part came in, if it came from this provider."""
        if not self._own(part, field):
            return None
        if part.provider_state.kind == COVERED:
            return {COVERED: True}
        if part.provider_state.kind != ITEM:
            return None
        try:
            item = parse(part.provider_state.data.decode(), f"{field}.provider_state.data")
        except UnicodeDecodeError:
            raise invalid(f"{field}.provider_state.data", "this is not what the provider sent") from None
        return item if isinstance(item, dict) else None

    def _own(self, part: content_pb2.Part, field: str) -> bool:
        if not part.HasField("provider_state"):
            return False
        if part.provider_state.provider != self._provider:
            self._dropped(part.provider_state.provider, f"{field}.provider_state")
            return False
        return True

    def _opaque(self, opaque: content_pb2.OpaqueBlock, field: str) -> Item | None:
        if opaque.provider != self._provider:
            self._dropped(opaque.provider, f"{field}.opaque")
            return None
        block = parse(opaque.json, f"{field}.opaque.json")
        if not isinstance(block, dict):
            raise invalid(f"{field}.opaque.json", "an object is needed")
        return block

    def _dropped(self, owner: str, field: str) -> None:
        message = f"it belongs to {owner}, and {self._provider} is asked; the request goes without it"
        self._answer.warning("PROVIDER_STATE_DROPPED", message, field)


def _plain(content: list[Item]) -> str | list[Item]:
    """A text, where it is no more than one."""
    if not content:
        return ""
    return str(content[0]["text"]) if len(content) == 1 and list(content[0]) == ["type", "text"] else content


def _breakpoint(wanted: content_pb2.CacheBreakpoint) -> Item:
    breakpoint: Item = {"mode": "explicit"}
    if wanted.HasField("ttl"):
        breakpoint["ttl"] = "12h" if wanted.ttl.seconds > LONG_TTL else "30m"
    return breakpoint


def _modality(mime_type: str) -> common_pb2.Modality.ValueType:
    return {
        "image": common_pb2.MODALITY_IMAGE,
        "audio": common_pb2.MODALITY_AUDIO,
        "video": common_pb2.MODALITY_VIDEO,
    }.get(mime_type.partition("/")[0], common_pb2.MODALITY_DOCUMENT)
