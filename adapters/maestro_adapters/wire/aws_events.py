"""AWS event streams: bytes in, messages out, their checksums held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from maestro_adapters.wire.bounds import LINE, Unreadable

_PRELUDE = Struct(">III")  # length of all, length of the headers, checksum of the two
_CHECKSUM = Struct(">I")
_LENGTH = Struct(">H")
_SMALLEST = _PRELUDE.size + _CHECKSUM.size

# The types of a header's value: what is read, and in how many bytes.
_TRUE, _FALSE, _BYTES, _STRING = 0, 1, 6, 7
_FIXED = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # byte, short, int, long, timestamp, uuid


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its headers, text where they are text, and its payload."""

    headers: Mapping[str, str | bytes | bool | int]
    payload: bytes

    @property
    def type(self) -> str:
        """What it is: the name of the event or of the exception."""
        return str(self.headers.get(":event-type") or self.headers.get(":exception-type") or "")

    @property
    def failed(self) -> bool:
        """Does it tell of a failure?"""
        return self.headers.get(":message-type") in ("exception", "error")


class MessageSplitter:
    """Splits one stream. A message whose checksum is wrong is Unreadable."""

    __slots__ = ("_held", "_limit", "_need", "_size")

    def __init__(self, limit: int = LINE) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._need = _PRELUDE.size  # bytes without which nothing more can be said

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now."""
        self._held.append(data)
        self._size += len(data)
        if self._size < self._need:
            return []
        data = b"".join(self._held)
        messages, at = [], 0
        self._need = _PRELUDE.size
        while len(data) - at >= _PRELUDE.size:
            total, headers = self._prelude(data, at)
            if len(data) - at < total:
                self._need = total
                break
            messages.append(_message(data[at : at + total], headers))
            at += total
        self._held = [data[at:]]
        self._size = len(data) - at
        return messages

    @property
    def torn(self) -> bool:
        """Is there the beginning of a message?"""
        return self._size > 0

    def _prelude(self, data: bytes, at: int) -> tuple[int, int]:
        total, headers, checksum = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != checksum:
            raise Unreadable("the checksum of a prelude is wrong")
        if not _SMALLEST + headers <= total <= self._limit:
            raise Unreadable(f"a message of {total} bytes with {headers} bytes of headers")
        return total, headers


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with text headers, as AWS writes it."""
    written = bytearray()
    for name, value in headers.items():
        text = value.encode()
        written += bytes([len(name)]) + name.encode() + bytes([_STRING]) + _LENGTH.pack(len(text)) + text
    lengths = (_SMALLEST + len(written) + len(payload)).to_bytes(4, "big") + len(written).to_bytes(4, "big")
    message = lengths + _CHECKSUM.pack(crc32(lengths)) + bytes(written) + payload
    return message + _CHECKSUM.pack(crc32(message))


def _message(data: bytes, headers: int) -> Message:
    if crc32(data[:-4]) != _CHECKSUM.unpack_from(data, len(data) - 4)[0]:
        raise Unreadable("the checksum of a message is wrong")
    begin = _PRELUDE.size
    return Message(_headers(data[begin : begin + headers]), data[begin + headers : -4])


def _headers(data: bytes) -> dict[str, str | bytes | bool | int]:
    headers: dict[str, str | bytes | bool | int] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode(), data[name_end]
            value, at = _value(data, kind, name_end + 1)
            headers[name] = value
    except (IndexError, UnicodeDecodeError) as error:
        raise Unreadable("the headers of a message cannot be read") from error
    return headers


def _value(data: bytes, kind: int, at: int) -> tuple[str | bytes | bool | int, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in _FIXED:
        end = at + _FIXED[kind]
        return int.from_bytes(data[at:end], "big", signed=True), end
    if kind not in (_BYTES, _STRING):
        raise Unreadable(f"a header of the unknown type {kind}")
    begin = at + 2
    end = begin + int.from_bytes(data[at:begin], "big")
    if end > len(data):
        raise IndexError
    return (data[begin:end].decode() if kind == _STRING else data[begin:end]), end
