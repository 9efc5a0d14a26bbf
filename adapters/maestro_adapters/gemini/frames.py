"""Bytes in, responses out: server-sent events, and the bare JSON that may stand in their place."""

import msgspec

from maestro_adapters.wire.bounds import BODY, Unreadable
from maestro_adapters.wire.sse import COMMENT, EventSplitter


class Frames:
    """Splits what is read into responses, each as JSON.

    Gemini answers in server-sent events. A whole answer, and a stream asked for without `alt=sse`, are bare JSON from
    the first byte; and an error that befalls a stream may stand in it as bare JSON, where an event would begin. Bare
    JSON is held until it ends.
    """

    def __init__(self) -> None:
        self._events = EventSplitter()
        self._bare: list[bytes] = []
        self._size = 0
        self._at_line_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """The responses that are whole now."""
        if self._bare:
            self._hold(data)
            return []
        at = self._bare_from(data)
        if at is not None:
            self._hold(data[at:])
            data = data[:at]
        elif data:
            self._at_line_start = data[-1:] in b"\r\n" or (self._at_line_start and not data.strip())
        return [payload for name, payload in self._events.feed(data) if name is not COMMENT]

    def close(self) -> list[bytes]:
        """What is left when the body has ended."""
        rest = [payload for name, payload in self._events.close() if name is not COMMENT]
        return [*rest, b"".join(self._bare)] if self._bare else rest

    def _bare_from(self, data: bytes) -> int | None:
        if self._at_line_start:
            begin = data.lstrip()
            if begin[:1] in (b"{", b"["):
                return len(data) - len(begin)
        at = data.find(b"\n{")
        return at + 1 if at >= 0 else None

    def _hold(self, data: bytes) -> None:
        self._bare.append(data)
        self._size += len(data)
        if self._size > BODY:
            raise Unreadable(f"an answer of more than {BODY} bytes")


def is_json(payload: bytes) -> bool:
    """Is it whole?"""
    try:
        msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return False
    return True
