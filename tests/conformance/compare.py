"""Comparing: two JSON values, an answer with what was expected of it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from maestro.v1 import chat_pb2
from maestro_spi import MaestroError, Reason


class _Word:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ANY: Final = _Word("anything")
ABSENT: Final = _Word("absent")


@dataclass(frozen=True)
class Difference:
    """A place where two JSON values differ."""

    path: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"request {self.path}: recorded {_short(self.theirs)}, sent {_short(self.ours)}"


@dataclass(frozen=True)
class Allowed:
    """A difference between what was recorded and what we send that changes nothing, and why."""

    path: str  # a regular expression on the whole path
    why: str
    theirs: Any = ANY
    ours: Any = ANY

    def covers(self, difference: Difference) -> bool:
        """Is it this one?"""
        return (
            re.fullmatch(self.path, difference.path) is not None
            and (self.theirs is ANY or self.theirs == difference.theirs)
            and (self.ours is ANY or self.ours == difference.ours)
        )


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[Difference]:
    """Where two JSON values differ. Numbers are equal by value."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in sorted({*theirs, *ours}):
            where = f"{path}.{key}" if path else key
            yield from differences(theirs.get(key, ABSENT), ours.get(key, ABSENT), where)
    elif isinstance(theirs, list) and isinstance(ours, list):
        for index in range(max(len(theirs), len(ours))):
            a = theirs[index] if index < len(theirs) else ABSENT
            b = ours[index] if index < len(ours) else ABSENT
            yield from differences(a, b, f"{path}[{index}]")
    elif not _same(theirs, ours):
        yield Difference(path, theirs, ours)


@dataclass(frozen=True)
class ExpectedCall:
    """A tool call; `id` or `arguments` of None are not compared. Without `raw`, arguments are compared as JSON."""

    id: str | None
    name: str | None
    arguments: Any = None
    raw: str | None = None


@dataclass(frozen=True)
class Expected:
    """What an answer must be, in our words. None is not compared."""

    text: str = ""
    reasoning: str = ""
    refusal: str | None = None
    calls: Sequence[ExpectedCall] = ()
    finish: chat_pb2.FinishReason.ValueType | None = None
    finish_word: str | None = None
    usage: Mapping[str, int | None] = field(default_factory=dict)  # field of Usage -> tokens
    model: str | None = None
    response_id: str | None = None
    reason: Reason | None = None  # it fails, with this
    code: str | None = None  # the provider's


def against(expected: Expected, answer: chat_pb2.ChatResponse, error: MaestroError | None) -> list[str]:
    """What is not as expected, in words."""
    wrong = [*_outcome(expected, error), *_said(expected, answer)]
    if error is None and expected.reason is None:
        wrong += _facts(expected, answer)
    return wrong


def _outcome(expected: Expected, error: MaestroError | None) -> Iterator[str]:
    if error is None:
        if expected.reason is not None:
            yield f"no error, expected {expected.reason.name}"
        return
    if expected.reason is None:
        yield f"error {error} ({error.word.code} {error.word.message[:200]})"
    elif error.reason is not expected.reason:
        word = f"{error.word.code} {error.word.message[:100]}"
        yield f"reason {error.reason.name}, expected {expected.reason.name} ({word})"
    elif expected.code is not None and error.word.code != expected.code:
        yield f"provider's code {error.word.code!r}, expected {expected.code!r}"


def _said(expected: Expected, answer: chat_pb2.ChatResponse) -> Iterator[str]:
    parts = [part for message in answer.messages for part in message.parts]
    text = "".join(part.text for part in parts)
    reasoning = "".join(part.reasoning.text for part in parts)
    refusal = "".join(part.refusal for part in parts)
    if text != expected.text:
        yield f"text {_short(text)}, expected {_short(expected.text)}"
    if reasoning != expected.reasoning:
        yield f"reasoning {_short(reasoning)}, expected {_short(expected.reasoning)}"
    if expected.refusal is not None and refusal != expected.refusal:
        yield f"refusal {_short(refusal)}, expected {_short(expected.refusal)}"
    calls = [part.tool_call for part in parts if part.HasField("tool_call") and part.tool_call.executor <= 1]
    if len(calls) != len(expected.calls):
        yield f"{len(calls)} tool calls, expected {len(expected.calls)}"
        return
    if len({call.id for call in calls} - {""}) != len(calls):
        yield f"ids of tool calls not unique: {[call.id for call in calls]}"
    for index, (call, wanted) in enumerate(zip(calls, expected.calls, strict=True)):
        if wanted.id and call.id != wanted.id:
            yield f"call {index}: id {call.id!r}, expected {wanted.id!r}"
        if wanted.name is not None and call.name != wanted.name:
            yield f"call {index}: name {call.name!r}, expected {wanted.name!r}"
        if not _arguments(wanted, call.arguments_json):
            expects = wanted.arguments if wanted.raw is None else wanted.raw
            yield f"call {index}: arguments {_short(call.arguments_json)}, expected {_short(expects)}"


def _arguments(wanted: ExpectedCall, written: str) -> bool:
    if wanted.raw is not None:
        return written == wanted.raw
    if wanted.arguments is None:
        return True
    try:
        return bool(json.loads(written or "{}") == wanted.arguments)
    except ValueError:
        return False


def _facts(expected: Expected, answer: chat_pb2.ChatResponse) -> Iterator[str]:
    pairs: list[tuple[str, Any, Any]] = [
        ("finish reason", answer.finish_reason, expected.finish),
        ("finish word", answer.provider_finish_reason, expected.finish_word),
        ("model", answer.model, expected.model),
        ("response id", answer.provider_metadata.response_id, expected.response_id),
    ]
    pairs += [(name, getattr(answer.usage, name), tokens) for name, tokens in expected.usage.items()]
    for name, got, wanted in pairs:
        if wanted is not None and got != wanted:
            yield f"{name} {got!r}, expected {wanted!r}"


def _same(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return theirs is ours
    if isinstance(theirs, int | float) and isinstance(ours, int | float):
        return abs(theirs - ours) <= 1e-6 * max(abs(theirs), abs(ours))
    return bool(theirs == ours)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]}…{text[-30:]} ({len(text)})"
