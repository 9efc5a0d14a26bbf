"""Output items -> parts: each opened by its first piece or by the whole, compared, given its state, closed."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from maestro.v1 import chat_pb2, common_pb2, content_pb2
from maestro_adapters.openai_responses import items
from maestro_adapters.openai_responses.events import Logprob, logprobs_of
from maestro_adapters.openai_responses.items import CALLS, COVERED, ITEM, PROVIDER, Call, Item, text
from maestro_adapters.openai_responses.pieces import Key, Pieces
from maestro_adapters.openai_responses.results import result_of
from maestro_spi.answer import Answer

Index = int | str

# Where a call stands: an item's status, and the last word of a progress event.
STATES: Mapping[str, content_pb2.ToolCallState.ValueType] = {
    "in_progress": content_pb2.TOOL_CALL_STATE_RUNNING,
    "searching": content_pb2.TOOL_CALL_STATE_RUNNING,
    "interpreting": content_pb2.TOOL_CALL_STATE_RUNNING,
    "generating": content_pb2.TOOL_CALL_STATE_RUNNING,
    "calling": content_pb2.TOOL_CALL_STATE_RUNNING,
    "completed": content_pb2.TOOL_CALL_STATE_SUCCEEDED,
    "failed": content_pb2.TOOL_CALL_STATE_FAILED,
    "incomplete": content_pb2.TOOL_CALL_STATE_FAILED,
}
IMAGES: Mapping[str, str] = {"": "image/png", "jpg": "image/jpeg", "svg": "image/svg+xml"}

# What every item has; one that has more is only itself again with it.
_PLAIN = frozenset({"type", "id", "role", "status", "content", "name", "call_id", "arguments", "parsed_arguments"})


class Output:
    """Feeds an Answer with items. One for each call.

    An id of a message or a function call is kept where the item must come back beside its neighbours: after anything
    else than these two, or if it says more than they usually do.
    """

    def __init__(self, answer: Answer, request: chat_pb2.ChatRequest, names: Mapping[str, str]) -> None:
        include = request.include
        self._answer = answer
        self._logprobs = chat_pb2.CHAT_INCLUDE_LOGPROBS in include or request.generation.HasField("top_logprobs")
        self._results = chat_pb2.CHAT_INCLUDE_PROVIDER_TOOL_OUTPUT in include
        self._declared = _declared(request)
        self._names = names
        self._items: dict[Index, Item] = {}
        self._whole: set[Index] = set()
        self._states: dict[Index, content_pb2.ToolCallState.ValueType] = {}
        self._cited: dict[Key, int] = {}
        self._linked = False
        self.pieces = Pieces(answer)
        self.refused = False
        self.awaiting = False

    # While they come.

    def begin(self, index: Index, item: Item) -> None:
        """An item begins; calls are parts from here on."""
        self._items[index] = item
        call = CALLS.get(text(item.get("type")))
        if call is not None and (index,) not in self.pieces:
            self._begin_call(index, item, call)

    def logprobs(self, key: Key, told: list[Logprob]) -> None:
        """How likely the text just said was."""
        if self._logprobs:
            self._answer.logprobs(logprobs_of(told), key=key)

    def cite(self, key: Key, annotation: Item) -> None:
        """A source of a text that has begun."""
        self._cited[key] = self._cited.get(key, 0) + 1
        self._answer.citation(citation_of(annotation), key=key)

    def progress(self, index: Index, kind: str, stage: str) -> None:
        """News of a call that the provider runs."""
        if stage in STATES and kind in CALLS and self._items.get(index, {}).get("type") == kind:
            self._tell(index, STATES[stage])

    def printed(self, index: Index, output: str) -> None:
        """What a shell prints while it runs: news of the call that the item `index` answers."""
        answered = self._items.get(index, {}).get("call_id")
        for other, item in self._items.items():
            if item.get("call_id") == answered and item.get("type") in CALLS:
                self._answer.tool_update((other,), content_pb2.TOOL_CALL_STATE_RUNNING, output=output)

    def preview(self, index: Index, number: int, picture: str, form: str) -> None:
        """A picture on the way to the one that the item will hold."""
        key = (index, "preview", number)
        self._show(key, picture, form)
        self._answer.state(COVERED, items.text_of({"id": self._items.get(index, {}).get("id")}), key=key)
        self._answer.close(key)

    # Once they are whole.

    def finish(self, index: Index, raw: msgspec.Raw) -> None:
        """All of an item is there. Saying so again changes nothing."""
        if index in self._whole:
            return
        self._whole.add(index)
        item = items.read(raw)
        self._items[index] = item
        kind = text(item.get("type"))
        self._linked |= kind not in ("message", "function_call")
        if kind == "message":
            self._message(index, item)
        elif kind == "reasoning":
            self._reasoning(index, item)
        elif kind in CALLS:
            self._call(index, item, CALLS[kind])
        else:
            self._answer.opaque(kind, bytes(raw).decode())

    def finish_rest(self, output: Sequence[msgspec.Raw]) -> None:
        """The items of the whole response: those that have not come by themselves."""
        ids = {item.get("id") for index, item in self._items.items() if index in self._whole} - {None}
        for index, raw in enumerate(output):
            if items.read(raw).get("id") not in ids:
                self.finish(index, raw)

    def _keeps(self, item: Item) -> bool:
        return self._linked or any(value is not None and key not in _PLAIN for key, value in item.items())

    def _message(self, index: Index, item: Item) -> None:
        content = item.get("content")
        keep = self._keeps(item)
        for number, part in enumerate(content if isinstance(content, list) else ()):
            key = (index, number)
            self._said(key, part if isinstance(part, dict) else {"text": part}, keep=keep)
            if keep:
                self._answer.state(ITEM, items.without(item, "content"), key=key)
            self._answer.close(key)

    def _said(self, key: Key, part: Item, *, keep: bool) -> None:
        refused = part.get("type") == "refusal"
        self.refused |= refused
        say = self._answer.refusal if refused else self._answer.text
        whole = text(part.get("refusal" if refused else "text"))
        known = key in self.pieces
        if keep and not known and not whole:
            self._answer.open(key, content_pb2.Part(refusal="") if refused else content_pb2.Part(text=""))
        self.pieces.complete(key, whole, lambda rest: say(rest, key=key))
        told = part.get("logprobs")
        if told and whole and not known:
            self.logprobs(key, msgspec.convert(told, list[Logprob]))
        annotations = part.get("annotations")
        for annotation in (annotations if isinstance(annotations, list) else [])[self._cited.get(key, 0) :]:
            self.cite(key, annotation)

    def _reasoning(self, index: Index, item: Item) -> None:
        """Its texts are a part each; the last of them carries the item."""
        for field in ("summary", "content"):
            said = item.get(field)
            for number, part in enumerate(said if isinstance(said, list) else ()):
                whole = text(part.get("text")) if isinstance(part, dict) else text(part)
                self._thought((index, field, number), whole)
        keys = self.pieces.of(index)
        if not keys:
            keys = [(index, "summary", 0)]
            self._answer.reasoning(redacted=True, key=keys[0])
        carried = [field for field in ("summary", "content") if item.get(field)]
        self._answer.state(ITEM, items.without(item, *carried), key=keys[-1])
        for key in keys:
            self._answer.close(key)

    def _thought(self, key: Key, whole: str) -> None:
        summary = key[1] == "summary"
        if whole or key in self.pieces:
            self.pieces.complete(key, whole, lambda rest: self._answer.reasoning(rest, summary=summary, key=key))

    # Calls.

    def _begin_call(self, index: Index, item: Item, call: Call) -> None:
        self.pieces.begin((index,))
        self._answer.tool_call(
            (index,),
            id=items.call_id(item, call),
            name=self._named(item, call),
            executor=self._executor(item, call),
        )

    def _named(self, item: Item, call: Call) -> str:
        name = text(item.get("name")) or call.tool
        return self._names.get(name, name) if item.get("type") == "function_call" else name

    def _executor(self, item: Item, call: Call) -> content_pb2.ToolExecutor.ValueType:
        """xAI writes searches that it runs itself as custom calls, of tools that nobody declared."""
        custom = item.get("type") == "custom_tool_call"
        if custom and self._declared is not None and item.get("name") not in self._declared:
            return PROVIDER
        return items.executor(item, call)

    def _call(self, index: Index, item: Item, call: Call) -> None:
        key = (index,)
        if key not in self.pieces:
            self._begin_call(index, item, call)
        self.pieces.complete(key, items.arguments(item, call), lambda rest: self._answer.tool_call(key, arguments=rest))
        picture = text(item.get("result")) if call.tool == "image_generation" else ""
        state = items.without(item, *call.carried)
        if picture:
            self._answer.state(COVERED, items.text_of({"id": item.get("id")}), key=key)
        elif self._keeps(item):
            self._answer.state(ITEM, state, key=key)
        self._answer.close(key)
        if self._executor(item, call) == PROVIDER:
            self._settle(index, item, call)
        if picture:
            shown = (index, "picture")
            self._show(shown, picture, text(item.get("output_format")))
            self._answer.state(ITEM, state, key=shown)
            self._answer.close(shown)

    def _settle(self, index: Index, item: Item, call: Call) -> None:
        """A call that is not the caller's: where it stands, and, if asked for, what it gave."""
        if item.get("type") == "mcp_approval_request":
            self.awaiting = True
            self._tell(index, content_pb2.TOOL_CALL_STATE_AWAITING_APPROVAL)
        elif item.get("error"):
            self._tell(index, content_pb2.TOOL_CALL_STATE_FAILED)
        elif text(item.get("status")) in STATES:
            self._tell(index, STATES[item["status"]])
        result = result_of(item, items.call_id(item, call)) if self._results else None
        if result is not None:
            result.name = self._named(item, call)
            self._answer.tool_result(result)

    def _tell(self, index: Index, state: content_pb2.ToolCallState.ValueType) -> None:
        if self._states.get(index) != state:
            self._states[index] = state
            self._answer.tool_update((index,), state)

    def _show(self, key: Key, picture: str, form: str) -> None:
        mime_type = IMAGES.get(form, f"image/{form}")
        self._answer.media(bytes_of(picture), modality=common_pb2.MODALITY_IMAGE, mime_type=mime_type, key=key)


def bytes_of(encoded: Any) -> bytes:
    """The bytes of a base64 text."""
    try:
        return base64.b64decode(text(encoded))
    except binascii.Error:
        return b""


def citation_of(annotation: Item) -> content_pb2.Citation:
    """An annotation of a text; whole, so that it can go back."""
    start, end, at = (annotation.get(field) for field in ("start_index", "end_index", "index"))
    start = at if start is None else start
    start = start if isinstance(start, int) else 0
    return content_pb2.Citation(
        start_index=start,
        end_index=end if isinstance(end, int) else start,
        title=text(annotation.get("title")) or text(annotation.get("filename")),
        uri=text(annotation.get("url")),
        provider_json=items.text_of(annotation),
    )


def _declared(request: chat_pb2.ChatRequest) -> frozenset[str] | None:
    """The names of the request's own tools, if it also has tools that the provider runs; else nobody needs to know."""
    hosted = [tool.provider for tool in request.tools if tool.HasField("provider")]
    if not any(tool.name not in ("custom", "mcp") for tool in hosted):
        return None
    names = {tool.function.name for tool in request.tools if tool.HasField("function")}
    for tool in hosted:
        names.add(text(items.config_of(tool.config_json).get("name")))
    return frozenset(names)
