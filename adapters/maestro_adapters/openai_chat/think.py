"""Reasoning that stands in the text, between <think> and </think>, taken out of it as it streams."""

OPEN, CLOSE = "<think>", "</think>"


class ThinkTags:
    """Splits a stream of text; a tag may be torn anywhere. Reasoning comes only at the beginning."""

    def __init__(self) -> None:
        self._held = ""
        self._inside: bool | None = None  # not known yet

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """Pieces: is it reasoning, and what it says."""
        if self._inside is False:
            return [(False, text)]
        self._held += text
        if self._inside is None:
            begun = self._held.lstrip()
            if len(begun) < len(OPEN) and OPEN.startswith(begun):
                return []
            self._inside = begun.startswith(OPEN)
            if not self._inside:
                return self.close()
            self._held = begun.removeprefix(OPEN)
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._inside = False
            self._held = ""
            return _spoken((True, thought), (False, rest.lstrip("\n")))
        keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if self._held.endswith(CLOSE[:n])), 0)
        thought = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return _spoken((True, thought))

    def close(self) -> list[tuple[bool, str]]:
        """What was held back."""
        held, self._held = self._held, ""
        return _spoken((bool(self._inside), held))


def _spoken(*pieces: tuple[bool, str]) -> list[tuple[bool, str]]:
    return [piece for piece in pieces if piece[1]]
