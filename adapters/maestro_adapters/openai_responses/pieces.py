"""What has been heard of each part, so that the whole that follows it is compared, not said again."""

from collections.abc import Callable
from typing import Any

from maestro_spi.answer import Answer

Key = tuple[Any, ...]  # the index of an item first


class Pieces:
    """Fragments by part. A part is known from its first fragment on, and whole once `complete` has seen it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._said: dict[Key, list[str] | None] = {}  # None: whole

    def __contains__(self, key: Key) -> bool:
        return key in self._said

    def of(self, index: int | str) -> list[Key]:
        """The parts of an item, in their order of appearance."""
        return [key for key in self._said if key[0] == index]

    def begin(self, key: Key) -> None:
        """The part is known, though nothing has been said."""
        self._said.setdefault(key, [])

    def hear(self, key: Key, fragment: str) -> bool:
        """A fragment came; False if the part is whole already."""
        said = self._said.setdefault(key, [])
        if said is None:
            return False
        said.append(fragment)
        return True

    def heard(self, key: Key) -> bool:
        """Has there been a fragment?"""
        return bool(self._said.get(key))

    def complete(self, key: Key, whole: str, say: Callable[[str], None]) -> None:
        """The whole came: what of it has not been heard is said."""
        said = self._said.get(key, [])
        if said is None:
            return
        self._said[key] = None
        heard = "".join(said)
        if whole.startswith(heard):
            say(whole[len(heard) :])
        elif whole:
            self._answer.warning("PROVIDER_TEXT_DIFFERS", "the provider's whole differs from the pieces that it sent")
