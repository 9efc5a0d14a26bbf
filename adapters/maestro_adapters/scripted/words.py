"""Cuts a text into the fragments that a model would stream it in."""

import re

_WORD = re.compile(r"\S{1,256}\s{0,256}|\s{1,256}")

PIECES_MAX = 256


def words(text: str) -> list[str]:
    """Word by word, each with the space behind it."""
    return _WORD.findall(text)


def pieces(text: str) -> list[str]:
    """A few characters at a time; of a long text more at a time, so that there are never many."""
    size = max(8, -(-len(text) // PIECES_MAX))
    return [text[start : start + size] for start in range(0, len(text), size)]
