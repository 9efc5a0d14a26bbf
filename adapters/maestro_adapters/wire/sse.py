"""Server-sent events: bytes in, events out, however the bytes were split."""

from maestro_adapters.wire.bounds import LINE, Unreadable

Event = tuple[bytes, bytes]  # its name, and its data

COMMENT = b":"  # the name under which a comment is handed over: the provider lives and has nothing to say

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Splits one stream. The usual frames, one line of data with or without a name, take no more than a few slices.

    LF, CR and CRLF all end a line, lines of data are joined by LF, fields other than `event` and `data` are skipped.
    """

    __slots__ = ("_after_cr", "_begun", "_held", "_limit", "_size")

    def __init__(self, limit: int = LINE) -> None:
        self._limit = limit
        self._held: list[bytes] = []  # the beginning of a frame
        self._size = 0
        self._begun = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that are whole now."""
        if not self._begun:
            data = self._begin(data)
        if self._after_cr or b"\r" in data:
            data = self._without_cr(data)
        # The blank line may have been torn: look one byte back into what is held.
        ended = b"\n\n" in data or (data[:1] == b"\n" and bool(self._held) and self._held[-1][-1:] == b"\n")
        if not ended:
            self._hold(data)
            return []
        if self._held:
            self._held.append(data)
            data = b"".join(self._held)
            self._held.clear()
        whole, _, rest = data.rpartition(b"\n\n")
        self._size = 0
        if rest:
            self._hold(rest)
        return _events(whole)

    def close(self) -> list[Event]:
        """What is left when the stream has ended; its blank line may be missing, or half of it."""
        rest = b"".join(self._held)
        self._held.clear()
        return _events(rest)

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._size += len(data)
            if self._size > self._limit:
                raise Unreadable(f"an event of more than {self._limit} bytes")

    def _begin(self, data: bytes) -> bytes:
        """The data without the mark that some put before the first event."""
        if self._held:
            data = b"".join(self._held) + data
            self._held.clear()
            self._size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._hold(data)
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _without_cr(self, data: bytes) -> bytes:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a torn CRLF
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(whole: bytes) -> list[Event]:
    frames = whole.split(b"\n\n")
    if whole.count(b"\n") == 2 * (len(frames) - 1):  # each frame is one line
        plain = [(b"", frame[6:]) for frame in frames if frame[:6] == b"data: "]
        if len(plain) == len(frames):
            return plain
    events: list[Event] = []
    for frame in frames:
        name, _, data = frame.partition(b"\n")
        if name[:7] == b"event: " and data[:6] == b"data: " and b"\n" not in data:
            events.append((name[7:], data[6:]))
        elif frame:
            _parse(frame, events)
    return events


def _parse(frame: bytes, events: list[Event]) -> None:
    name = b""
    lines = []
    for line in frame.split(b"\n"):
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
        elif colon and not field:
            events.append((COMMENT, value))
    if lines:
        events.append((name, b"\n".join(lines)))
