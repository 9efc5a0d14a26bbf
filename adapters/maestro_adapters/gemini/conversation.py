"""Ours -> theirs: the messages of a request, as Gemini's contents and system instruction."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.gemini.answer import WHOLE
from maestro_adapters.wire.body import base64_of, invalid, read_data_url

Json = dict[str, Any]

# What goes in place of a signature with a call that another model made: models that sign their calls take no other.
UNSIGNED = "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv"

NOT_PARTS = ("groundingMetadata", "urlContextMetadata")  # opaque blocks that say something about the answer
PROVIDER = content_pb2.TOOL_EXECUTOR_PROVIDER
LAST = 1 << 30

_MADE_UP = re.compile(r"call_\d+\Z")  # ids that Gemini never gave
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Conversation:
    """The messages, turn by turn.

    What the model said in a row is one content, and so are the results of its calls, in the order of the calls. Calls
    and results are matched by name and order; ids go along where Gemini or another provider gave them.
    """

    def __init__(self, request: chat_pb2.ChatRequest, provider: str, *, signs_calls: bool) -> None:
        self.contents: list[Json] = []
        self.warnings: list[common_pb2.Warning] = []
        self._provider = provider
        self._signs_calls = signs_calls
        self._names: dict[str, str] = {}  # of the calls, by id
        self._order: dict[str, int] = {}
        self._ran: set[str] = set()  # calls that a provider ran itself
        self._system: list[Json] = []
        self._developer: list[Json] = []
        self._results: list[tuple[int, Json]] = []
        self._writers: Mapping[str, Callable[[content_pb2.Part, str], Iterable[Json]]] = {
            "text": lambda part, where: [self._text(part.text, part, where)],
            "refusal": lambda part, where: [self._text(part.refusal, part, where)],
            "compaction": lambda part, where: [self._text(part.compaction.summary, part, where)],
            "media": lambda part, where: [{**media(part.media, where), **self._signature(part, where)}],
            "reasoning": self._reasoning,
            "tool_call": self._tool_call,
            "tool_result": self._tool_result,
            "opaque": self._opaque,
        }
        for number, part in enumerate(request.system):
            self._system.extend(self._part(part, f"system[{number}]"))
        for number, message in enumerate(request.messages):
            self._message(message, f"messages[{number}]")
        self._flush()

    @property
    def system(self) -> list[Json]:
        """The parts of the system instruction: the operator's before the developer's."""
        return [part for part in (*self._system, *self._developer) if part]

    def _message(self, message: content_pb2.Message, where: str) -> None:
        parts = [
            written
            for index, part in enumerate(message.parts)
            for written in self._part(part, f"{where}.parts[{index}]")
            if written
        ]
        match message.role:
            case content_pb2.ROLE_SYSTEM | content_pb2.ROLE_DEVELOPER:
                if self.contents:
                    self._warn("SYSTEM_MOVED", where, "Gemini takes instructions at the beginning only")
                kept = self._system if message.role == content_pb2.ROLE_SYSTEM else self._developer
                kept.extend(parts)
                return
            case content_pb2.ROLE_ASSISTANT:
                self._flush()
                self._add("model", parts, joined=True)
            case content_pb2.ROLE_TOOL:
                self._results.extend((LAST, part) for part in parts)
            case _:
                self._flush()
                self._add("user", parts)

    def _add(self, role: str, parts: list[Json], *, joined: bool = False) -> None:
        if joined and self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"].extend(parts)
        elif parts:
            self.contents.append({"role": role, "parts": parts})
        if role == "model" and self._signs_calls and parts:
            calls = [part for part in self.contents[-1]["parts"] if isinstance(part, dict) and "functionCall" in part]
            if calls and "thoughtSignature" not in calls[0]:
                calls[0]["thoughtSignature"] = UNSIGNED

    def _flush(self) -> None:
        """The results that have gathered, in the order of their calls."""
        if self._results:
            self._results.sort(key=lambda result: result[0])
            self._add("user", [part for _, part in self._results])
            self._results = []

    def _part(self, part: content_pb2.Part, where: str) -> Iterable[Json]:
        write = self._writers.get(part.WhichOneof("kind") or "")
        if write is None:
            raise invalid(where, "this part has no content")
        return write(part, where)

    def _text(self, text: str, part: content_pb2.Part, where: str) -> Json:
        signature = self._signature(part, where)
        return {"text": text, **signature} if text or signature else {}

    def _reasoning(self, part: content_pb2.Part, where: str) -> Iterable[Json]:
        owner = part.provider_state.provider
        if owner and owner != self._provider:
            self._foreign(f"{where}.provider_state", owner)
        elif part.reasoning.text or owner:
            yield {"text": part.reasoning.text, "thought": True, **self._signature(part, where)}

    def _tool_call(self, part: content_pb2.Part, where: str) -> Iterable[Any]:
        call = part.tool_call
        if call.executor == PROVIDER:
            self._ran.add(call.id)
            if part.provider_state.provider == self._provider and part.provider_state.kind == WHOLE:
                yield msgspec.Raw(part.provider_state.data)
            else:
                self._foreign(where, part.provider_state.provider or "another provider")
            return
        self._order[call.id] = len(self._order)
        self._names[call.id] = call.name
        written: Json = {"name": call.name, "args": self._arguments(call.arguments_json, where)}
        if not _MADE_UP.match(call.id):
            written["id"] = call.id
        yield {"functionCall": written, **self._signature(part, where)}

    def _arguments(self, json: str, where: str) -> Any:
        if not json.strip():
            return {}
        try:
            _object(json)
        except msgspec.MsgspecError:
            self._warn("ARGUMENTS_WRAPPED", f"{where}.tool_call.arguments_json", "Gemini takes an object only")
            return {"arguments": json}
        return msgspec.Raw(json.encode())

    def _tool_result(self, part: content_pb2.Part, where: str) -> Iterable[Json]:
        result = part.tool_result
        if result.tool_call_id in self._ran:
            return []  # what Google needs of it are the opaque blocks beside it
        name = result.name or self._names.get(result.tool_call_id, "")
        if not name:
            raise invalid(f"{where}.tool_result.name", "Gemini matches results by name, and no call has this id")
        written: Json = {"name": name, "response": _response(result)}
        if not _MADE_UP.match(result.tool_call_id):
            written["id"] = result.tool_call_id
        shown = [media(each.media, where) for each in result.content if each.HasField("media")]
        if shown and self._signs_calls:
            written["parts"] = shown
            shown = []
        order = self._order.get(result.tool_call_id, LAST)
        self._results.append((order, {"functionResponse": written}))
        self._results.extend((LAST, part) for part in shown)
        return []

    def _opaque(self, part: content_pb2.Part, where: str) -> Iterable[Any]:
        block = part.opaque
        if block.provider != self._provider:
            self._foreign(f"{where}.opaque", block.provider)
        elif block.type not in NOT_PARTS:
            try:
                _object(block.json)
            except msgspec.MsgspecError:
                raise invalid(f"{where}.opaque.json", "a block is one JSON object") from None
            yield msgspec.Raw(block.json.encode())

    def _signature(self, part: content_pb2.Part, where: str) -> Json:
        state = part.provider_state
        if not state.data:
            return {}
        if state.provider != self._provider:
            self._foreign(f"{where}.provider_state", state.provider)
            return {}
        return {"thoughtSignature": state.data.decode(errors="replace")}

    def _foreign(self, field: str, owner: str) -> None:
        self._warn("PROVIDER_STATE_DROPPED", field, f"it belongs to {owner}, and {self._provider} answers")

    def _warn(self, code: str, field: str, message: str) -> None:
        self.warnings.append(common_pb2.Warning(code=code, message=message, field=field))


def media(part: content_pb2.Media, where: str) -> Json:
    """Bytes, or where they are."""
    inline = read_data_url(part.uri) if part.WhichOneof("source") == "uri" else None
    if inline is not None:
        whole = content_pb2.Media(mime_type=inline[0], data=inline[1])
        written: Json = {"inlineData": {"mimeType": whole.mime_type, "data": base64_of(whole)}}
    elif part.WhichOneof("source") == "uri":
        written = {"fileData": {"fileUri": part.uri}}
        if part.mime_type:
            written["fileData"]["mimeType"] = part.mime_type
    elif part.WhichOneof("source") == "data":
        written = {"inlineData": {"mimeType": part.mime_type, "data": base64_of(part)}}
    else:
        raise invalid(f"{where}.media", "bytes or an address are needed")
    clip = {}
    if part.HasField("start_offset"):
        clip["startOffset"] = part.start_offset.ToJsonString()
    if part.HasField("end_offset"):
        clip["endOffset"] = part.end_offset.ToJsonString()
    return {**written, "videoMetadata": clip} if clip else written


def _response(result: content_pb2.ToolResult) -> Any:
    """What a function answered: an object, whatever it was."""
    text = "\n".join(part.text for part in result.content if part.HasField("text"))
    key = "error" if result.is_error else "output"
    if not result.structured_json.strip():
        return {key: text}
    try:
        _object(result.structured_json)
    except msgspec.ValidationError:
        return {key: msgspec.Raw(result.structured_json.encode())}
    except msgspec.DecodeError:
        return {key: result.structured_json}
    return msgspec.Raw(result.structured_json.encode())
