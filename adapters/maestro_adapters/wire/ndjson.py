"""Newline-delimited JSON: bytes in, lines out, however the bytes were split."""

from maestro_adapters.wire.bounds import LINE, Unreadable


class LineSplitter:
    """Splits one stream. Empty lines are skipped; LF and CRLF both end a line."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int = LINE) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now."""
        whole, newline, rest = data.rpartition(b"\n")
        if newline and self._held:
            whole = b"".join([*self._held, whole])
            self._held.clear()
            self._size = 0
        if rest:
            self._held.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                raise Unreadable(f"a line of more than {self._limit} bytes")
        return _lines(whole) if newline else []

    def close(self) -> list[bytes]:
        """What is left when the stream has ended; its newline may be missing."""
        rest = b"".join(self._held)
        self._held.clear()
        return _lines(rest)


def _lines(whole: bytes) -> list[bytes]:
    return [stripped for line in whole.split(b"\n") if (stripped := line.strip())]
