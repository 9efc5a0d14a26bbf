"""Live[T]: one current value, swapped whole."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Live(Generic[T]):
    """Holds an immutable value. A call reads it once, at its start; a reload swaps it in one breath."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    @property
    def value(self) -> T:
        """The current one."""
        return self._value

    def swap(self, value: T) -> T:
        """Put another in its place; the old one comes back."""
        old, self._value = self._value, value
        return old
