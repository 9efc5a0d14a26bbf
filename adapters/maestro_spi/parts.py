"""The parts of an answer: numbered, opened and closed in order of appearance, their fragments joined."""

from collections.abc import Hashable, Mapping

from maestro.v1 import chat_pb2, content_pb2
from maestro_stream.grammar import KINDS, text_of

ASSISTANT = content_pb2.ROLE_ASSISTANT

_ARMS: Mapping[str | None, str] = {kind: arm for arm, kind in KINDS.items()}


class Piece:
    """A part that has begun. What its deltas cannot carry gathers in `remainder`."""

    __slots__ = ("arm", "call_id", "index", "kind", "named", "open", "remainder", "text_bytes")

    def __init__(self, index: int, part: content_pb2.Part) -> None:
        self.index = index
        self.kind = part.WhichOneof("kind")
        self.arm = _ARMS.get(self.kind, "")
        self.call_id = part.tool_call.id
        self.named = bool(part.tool_call.name)
        self.text_bytes = len(text_of(part).encode())
        self.open = True
        self.remainder = content_pb2.Part()


class Parts:
    """Makes the events of parts, in order, into `events`.

    One part without a key may be open at a time, the current one; any part that begins closes it. Parts with keys stay
    open until they are closed, and are remembered.
    """

    def __init__(self) -> None:
        self.events: list[chat_pb2.ChatEvent] = []
        self.count = 0
        self.text_bytes = 0  # of everything but reasoning
        self.reasoning_bytes = 0
        self.current: Piece | None = None
        self.last: Piece | None = None  # the one that grew last
        self._keyed: dict[Hashable, Piece] = {}
        self._message = 0
        self._role: content_pb2.Role.ValueType = ASSISTANT
        self._run: list[str] = []  # fragments not yet made into an event, all of one part
        self._run_piece: Piece | None = None

    def find(self, key: Hashable) -> Piece | None:
        """The part of that key, open or closed; without a key, the one that grew last."""
        return self.last if key is None else self._keyed.get(key)

    def find_open(self, key: Hashable) -> Piece | None:
        """The same, if it is open."""
        piece = self.find(key)
        return piece if piece is not None and piece.open else None

    def begin(
        self, part: content_pb2.Part, *, key: Hashable = None, role: content_pb2.Role.ValueType = ASSISTANT
    ) -> Piece:
        """Open a part; another role begins another message."""
        self.leave()
        if key is not None and (namesake := self.find_open(key)) is not None:
            self.close(namesake)
        if role != self._role:
            self._message += 1 if self.count else 0
            self._role = role
        piece = Piece(self.count, part)
        started = chat_pb2.PartStarted(message_index=self._message, role=role, part=part)
        self.emit(chat_pb2.ChatEvent(part_index=piece.index, part_started=started))
        self.count += 1
        self.last = piece
        self._run_piece = None
        if key is not None:
            self._keyed[key] = piece
        return piece

    def leave(self) -> None:
        """The current part is whole."""
        if self.current is not None:
            self.close(self.current)
            self.current = None

    def close(self, piece: Piece) -> None:
        """The part is whole."""
        self.flush()
        piece.open = False
        completed = chat_pb2.PartCompleted(text_bytes=piece.text_bytes)
        if piece.remainder.ByteSize():
            completed.remainder.CopyFrom(piece.remainder)
        self.events.append(chat_pb2.ChatEvent(part_index=piece.index, part_completed=completed))

    def close_all(self) -> None:
        """Every part is whole."""
        self.leave()
        for piece in self._keyed.values():
            if piece.open:
                self.close(piece)

    def say(self, piece: Piece, fragment: str) -> None:
        """More of a part's text."""
        if piece is not self._run_piece:
            self.flush()
            self._run_piece = self.last = piece
        self._run.append(fragment)

    def emit(self, event: chat_pb2.ChatEvent) -> None:
        """Any other event, after what was said before it."""
        self.flush()
        self.events.append(event)

    def flush(self) -> None:
        """Make the fragments that wait into an event."""
        piece = self._run_piece
        if piece is None or not self._run:
            return
        text = "".join(self._run)
        self._run.clear()
        size = len(text)
        if not text.isascii():
            text = _whole(text)
            size = len(text.encode())
        piece.text_bytes += size
        if piece.kind == "reasoning":
            self.reasoning_bytes += size
        else:
            self.text_bytes += size
        event = chat_pb2.ChatEvent(part_index=piece.index)
        setattr(event, piece.arm, text)
        self.events.append(event)


def _whole(text: str) -> str:
    """The text with surrogates paired. JSON may tear a character into two halves; the wire carries whole ones only."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
