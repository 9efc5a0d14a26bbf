"""Blocks of content, theirs -> Answer: opened, grown and closed as they say, one at a time or several at once."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from maestro.v1 import content_pb2
from maestro_adapters.anthropic import said
from maestro_adapters.anthropic.conversation import REDACTED, SIGNATURE
from maestro_spi.answer import Answer

PROVIDER, CLIENT = content_pb2.TOOL_EXECUTOR_PROVIDER, content_pb2.TOOL_EXECUTOR_CLIENT
RUNNING, DONE, FAILED = (
    content_pb2.TOOL_CALL_STATE_RUNNING,
    content_pb2.TOOL_CALL_STATE_SUCCEEDED,
    content_pb2.TOOL_CALL_STATE_FAILED,
)

_TOLD = ("type", "id", "name", "input")  # of a call; what else its block says travels with it as state
_NOTHING = (b"", b"null")
_DIRECT = {"type": "direct"}  # the caller of a call that nobody but the model makes


class Blocks:
    """The blocks of one message, known by their index.

    A tool that the provider runs is a call of its own; what came of it is an update, and its output a part if that is
    asked for. The block that says so is an opaque part, as is one of a kind that is not known: they go back unchanged.
    """

    def __init__(self, answer: Answer, names: Mapping[str, str], answer_tool: str, *, outputs: bool) -> None:
        self._answer = answer
        self._names = names
        self._answer_tool = answer_tool
        self._outputs = outputs
        self._unsaid: dict[int, bytes] = {}  # arguments of calls of which nothing has been said yet
        self._answers: set[int] = set()  # calls that are the answer itself
        self._runs: dict[str, int] = {}  # calls that the provider runs, by id
        self._others: dict[int, bytes] = {}
        self._kinds: Mapping[str, Callable[[int, said.Block, bytes], None]] = {
            "text": self._text,
            "thinking": self._thinking,
            "redacted_thinking": self._redacted,
            "tool_use": self._call,
            "server_tool_use": self._call,
            "mcp_tool_use": self._call,
        }

    @property
    def answered(self) -> bool:
        """Has it called the tool that stands for answering?"""
        return bool(self._answers)

    def open(self, index: int, raw: bytes) -> None:
        """A block begins; it may hold some of its content, or all of it."""
        block = said.block(raw)
        kind = self._kinds.get(block.type)
        if kind is None:
            self._others[index] = raw
        else:
            kind(index, block, raw)

    def grow(self, index: int, delta: said.Delta, data: bytes) -> None:
        """More of a block; `data` is the event that says so."""
        if delta.text is not None and index not in self._others:
            self._answer.text(delta.text, key=index)
        elif delta.partial_json is not None:
            self._arguments(index, delta.partial_json)
        elif delta.thinking is not None:
            self._answer.reasoning(delta.thinking, key=index)
        elif delta.signature is not None:
            self._answer.state(SIGNATURE, delta.signature, key=index)
        elif delta.citation is not said.NOTHING:
            self._cite(index, bytes(delta.citation))
        elif index in self._others:
            self._others[index] = _grown(self._others[index], msgspec.json.decode(data)["delta"])

    def close(self, index: int) -> None:
        """A block is whole."""
        if index in self._unsaid:
            self._arguments(index, str(self._unsaid[index], "utf-8", "replace"))
        self._answer.close(index)
        if index in self._runs.values():
            self._answer.tool_update(index, RUNNING)
        if index in self._others:
            self._other(self._others.pop(index))

    def _text(self, index: int, block: said.Block, _: bytes) -> None:
        self._answer.open(index, content_pb2.Part(text=""))
        self._answer.text(block.text, key=index)
        for citation in block.citations or ():
            self._cite(index, bytes(citation))

    def _thinking(self, index: int, block: said.Block, _: bytes) -> None:
        self._answer.open(index, content_pb2.Part(reasoning=content_pb2.Reasoning()))
        self._answer.reasoning(block.thinking, key=index)
        if block.signature:
            self._answer.state(SIGNATURE, block.signature, key=index)

    def _redacted(self, index: int, block: said.Block, _: bytes) -> None:
        self._answer.open(index, content_pb2.Part(reasoning=content_pb2.Reasoning(redacted=True)))
        self._answer.state(REDACTED, block.data or "", key=index)

    def _call(self, index: int, block: said.Block, raw: bytes) -> None:
        name, ours = block.name or "", block.type == "tool_use"
        if ours and name and name == self._answer_tool:
            self._answers.add(index)
            self._answer.open(index, content_pb2.Part(text=""))
        elif ours:
            self._answer.tool_call(index, id=block.id, name=self._names.get(name, name), executor=CLIENT)
            rest = _rest(raw)
            if rest not in ({}, {"caller": _DIRECT}):
                self._answer.state(block.type, msgspec.json.encode(rest), key=index)
        else:
            self._answer.tool_call(index, id=block.id, name=name, executor=PROVIDER)
            self._answer.state(block.type, msgspec.json.encode(_rest(raw)), key=index)
            self._runs[block.id or ""] = index
        given = bytes(block.input)
        self._unsaid[index] = b"{}" if given in _NOTHING else given

    def _arguments(self, index: int, fragment: str) -> None:
        if fragment:
            self._unsaid.pop(index, None)
            if index in self._answers:
                self._answer.text(fragment, key=index)
            else:
                self._answer.tool_call(index, arguments=fragment)

    def _cite(self, index: int, raw: bytes) -> None:
        source = said.citation(raw)
        # Their pages end before the last one; ours with it. Places in the source are in its own words alone.
        citation = content_pb2.Citation(
            title=source.title or source.document_title or "",
            uri=source.url or source.source or "",
            cited_text=source.cited_text or "",
            start_page=source.start_page_number or 0,
            end_page=max((source.end_page_number or 1) - 1, 0),
            provider_json=str(raw, "utf-8", "replace"),
        )
        self._answer.citation(citation, key=index)

    def _other(self, raw: bytes) -> None:
        block = said.block(raw)
        if block.type.endswith("_tool_result") and block.tool_use_id:
            self._ran(block)
        self._answer.opaque(block.type, str(raw, "utf-8", "replace"))

    def _ran(self, block: said.Block) -> None:
        content = bytes(block.content) or b"null"
        code = _error_code(content)
        failed = block.is_error or code is not None
        call = block.tool_use_id or ""
        self._answer.tool_update(self._runs.get(call, call), FAILED if failed else DONE, message=code or "")
        if self._outputs:
            result = content_pb2.ToolResult(
                tool_call_id=call,
                name=block.type.removesuffix("_tool_result"),
                content=[content_pb2.Part(text=text) for text in _texts(content)],
                structured_json=str(content, "utf-8", "replace"),
                is_error=failed,
                error_code=code or "",
            )
            self._answer.tool_result(result)


def _rest(raw: bytes) -> dict[str, Any]:
    return {name: value for name, value in msgspec.json.decode(raw).items() if name not in _TOLD}


def _grown(raw: bytes, delta: dict[str, Any]) -> bytes:
    """A block with a delta added: text to text, everything else in its place."""
    block = msgspec.json.decode(raw)
    for name, value in delta.items():
        if name != "type":
            before = block.get(name)
            block[name] = before + value if isinstance(before, str) and isinstance(value, str) else value
    return msgspec.json.encode(block)


def _error_code(content: bytes) -> str | None:
    try:
        outcome = msgspec.json.decode(content, type=said.Outcome)
    except msgspec.ValidationError:
        return None  # a list is what was found
    return outcome.error_code or outcome.type if outcome.type.endswith("_error") else None


def _texts(content: bytes) -> list[str]:
    read = msgspec.json.decode(content)
    items = read if isinstance(read, list) else [read]
    return [item["text"] for item in items if isinstance(item, dict) and isinstance(item.get("text"), str)]
