"""A page of a list, and the token that leads to the next."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

from maestro_spi.errors import MaestroError, Reason, Violation

T = TypeVar("T")


class Pages:
    """Page tokens are opaque and bound to the list and to the arguments they were made for."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def page(self, items: Sequence[T], request: Message, *, default: int, most: int) -> tuple[Sequence[T], str]:
        """The page that `request` asks for by its page_size and page_token, and the next token, empty at the end."""
        token: str = getattr(request, "page_token")  # noqa: B009 - every list request has it
        size = min(getattr(request, "page_size") or default, most)  # noqa: B009
        start = self._start(token, request) if token else 0
        end = start + size
        return items[start:end], self._token(end, request) if end < len(items) else ""

    def _token(self, start: int, request: Message) -> str:
        return f"{start:x}.{self._seal(start, request)}"

    def _start(self, token: str, request: Message) -> int:
        try:
            start = int(token.partition(".")[0], 16)
        except ValueError:
            start = -1
        if start < 0 or not hmac.compare_digest(token.encode(), self._token(start, request).encode()):
            raise MaestroError(
                Reason.INVALID_FIELD,
                "page_token: not a token of this list with these arguments; begin again without one",
                metadata={"field": "page_token"},
                violations=[Violation("page_token", "page_token", "not a token of this list with these arguments")],
                phase="validate",
            )
        return start

    def _seal(self, start: int, request: Message) -> str:
        bound = type(request)()
        bound.CopyFrom(request)
        for field in ("page_token", "page_size"):
            bound.ClearField(field)
        text = f"{request.DESCRIPTOR.full_name}:{start:x}:".encode() + bound.SerializeToString(deterministic=True)
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:24]
