"""How much of what a provider sends is held at once, and the fault of sending what cannot be read."""

LINE = 16 * 1024 * 1024  # bytes of one event, line or frame
BODY = 64 * 1024 * 1024  # bytes of one whole answer


class Unreadable(ValueError):  # noqa: N818 - a fact about the bytes, told as one
    """The bytes are not what the protocol says they are."""
