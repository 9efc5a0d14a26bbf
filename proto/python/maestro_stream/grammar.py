"""What may follow what in a stream of chat events."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from maestro.v1 import chat_pb2, content_pb2

# The kind of part that each delta belongs to.
KINDS: Mapping[str, str] = {
    "text_delta": "text",
    "reasoning_delta": "reasoning",
    "arguments_delta": "tool_call",
    "refusal_delta": "refusal",
    "media_delta": "media",
}


class GrammarBroken(ValueError):  # noqa: N818 - it says what happened, as StopIteration does
    """A stream that breaks the rules: which event, counted from 1, and which rule."""


@dataclass(slots=True)
class _Part:
    kind: str | None
    message: int
    role: content_pb2.Role.ValueType
    text_bytes: int
    open: bool = True


class Grammar:
    """Checks a stream event by event, from its first on.

    `numbered` is False for events as an adapter yields them: then none may carry a sequence number yet. An event
    without an arm is newer than this reader: it is skipped, but its number counts. A part without a kind, which is as
    new, takes any delta.
    """

    def __init__(self, *, numbered: bool = True) -> None:
        self._numbered = numbered
        self._seen = 0
        self._sequence = 0
        self._parts: list[_Part] = []
        self._started = False
        self._ended = False
        self._grounded = False
        self._rules: dict[str, Callable[[chat_pb2.ChatEvent], None]] = {
            "started": self._start,
            "part_started": self._part_started,
            "part_completed": self._part_completed,
            "citation": self._citation,
            "logprobs": self._logprobs,
            "attempt_changed": self._attempt_changed,
            "completed": self._completed,
            "interrupted": self._interrupted,
        }

    def see(self, event: chat_pb2.ChatEvent) -> None:
        """Take the next event; GrammarBroken if it may not come now."""
        self._seen += 1
        arm = event.WhichOneof("event")
        if self._ended:
            raise self._broken(f"{arm} after the end")
        if not self._started and arm != "started":
            raise self._broken(f"{arm} before started")
        self._count(event, arm)
        if arm is None:
            return
        if arm in KINDS:
            self._delta(event, arm)
        elif arm in self._rules:
            self._rules[arm](event)

    def end(self) -> None:
        """The stream is over; GrammarBroken if it did not say so."""
        if not self._ended:
            raise GrammarBroken(f"after event {self._seen}: the stream was cut, neither completed nor interrupted")

    def _broken(self, rule: str) -> GrammarBroken:
        return GrammarBroken(f"event {self._seen}: {rule}")

    def _count(self, event: chat_pb2.ChatEvent, arm: str | None) -> None:
        if event.merged and arm is not None and arm not in KINDS:
            raise self._broken(f"{arm} says that {event.merged} were merged, but only deltas merge")
        if not self._numbered:
            if event.sequence or event.merged:
                raise self._broken(f"sequence {event.sequence}, merged {event.merged}: adapters do not number")
            return
        expected = self._sequence + 1 + event.merged
        if event.merged < 0 or event.sequence != expected:
            raise self._broken(
                f"sequence {event.sequence}, not {expected} (previous {self._sequence} + 1 + merged {event.merged})"
            )
        self._sequence = event.sequence

    def _start(self, event: chat_pb2.ChatEvent) -> None:
        if self._started:
            raise self._broken("started a second time")
        self._started = True

    def _part_started(self, event: chat_pb2.ChatEvent) -> None:
        if self._grounded:
            raise self._broken("part_started after a citation of a completed part, which only the end may follow")
        if event.part_index != len(self._parts):
            raise self._broken(f"part {event.part_index} started, but the next one is {len(self._parts)}")
        begun = event.part_started
        self._message(begun.message_index, begun.role)
        text_bytes = len(text_of(begun.part).encode())
        self._parts.append(_Part(begun.part.WhichOneof("kind"), begun.message_index, begun.role, text_bytes))

    def _message(self, index: int, role: content_pb2.Role.ValueType) -> None:
        last = max((part.message for part in self._parts), default=-1)
        if not 0 <= index <= last + 1:
            raise self._broken(f"message {index} leaves a hole after message {last}")
        if any(part.message == index and part.role != role for part in self._parts):
            raise self._broken(f"message {index} changes its role to {content_pb2.Role.Name(role)}")

    def _delta(self, event: chat_pb2.ChatEvent, arm: str) -> None:
        part = self._open(event.part_index, arm)
        if part.kind is not None and part.kind != KINDS[arm]:
            raise self._broken(f"{arm} for part {event.part_index}, which is {part.kind}")
        if arm != "media_delta":
            part.text_bytes += len(getattr(event, arm).encode())

    def _part_completed(self, event: chat_pb2.ChatEvent) -> None:
        part = self._open(event.part_index, "part_completed")
        completed = event.part_completed
        if completed.text_bytes != part.text_bytes:
            raise self._broken(
                f"part {event.part_index} has text_bytes {completed.text_bytes}, but {part.text_bytes} bytes came"
            )
        kind = completed.remainder.WhichOneof("kind")
        if kind is not None and part.kind is not None and kind != part.kind:
            raise self._broken(f"part {event.part_index} is {part.kind}, its remainder {kind}")
        if text_of(completed.remainder):
            raise self._broken(f"part {event.part_index} sends its text again in the remainder")
        part.open = False

    def _citation(self, event: chat_pb2.ChatEvent) -> None:
        if not 0 <= event.part_index < len(self._parts):
            raise self._broken(f"citation for part {event.part_index}, which never started")
        if not self._parts[event.part_index].open:
            self._grounded = True
            self._all_completed("a citation of a completed part")

    def _logprobs(self, event: chat_pb2.ChatEvent) -> None:
        self._open(event.part_index, "logprobs")

    def _attempt_changed(self, event: chat_pb2.ChatEvent) -> None:
        changed = event.attempt_changed
        if not changed.discard:
            return
        if not 0 <= changed.discard_from_part <= len(self._parts):
            raise self._broken(f"discards from part {changed.discard_from_part} on, which never started")
        del self._parts[changed.discard_from_part :]
        self._grounded = False

    def _completed(self, event: chat_pb2.ChatEvent) -> None:
        self._all_completed("completed")
        self._ended = True

    def _interrupted(self, event: chat_pb2.ChatEvent) -> None:
        if not event.interrupted.error.code:
            raise self._broken("interrupted with status OK")
        self._ended = True

    def _open(self, index: int, arm: str) -> _Part:
        if not 0 <= index < len(self._parts):
            raise self._broken(f"{arm} for part {index}, which never started")
        part = self._parts[index]
        if not part.open:
            raise self._broken(f"{arm} for part {index}, which is completed")
        return part

    def _all_completed(self, what: str) -> None:
        still_open = [index for index, part in enumerate(self._parts) if part.open]
        if still_open:
            raise self._broken(f"{what}, while part {still_open[0]} is open")


def check(events: Iterable[chat_pb2.ChatEvent], *, numbered: bool = True) -> None:
    """Check a whole stream."""
    grammar = Grammar(numbered=numbered)
    for event in events:
        grammar.see(event)
    grammar.end()


def text_of(part: content_pb2.Part) -> str:
    """What deltas append to, of whatever kind the part is."""
    return part.text or part.refusal or part.reasoning.text or part.tool_call.arguments_json
