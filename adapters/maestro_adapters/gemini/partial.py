"""Arguments that come in pieces, each with the path of where it belongs, put together."""

import re
from itertools import pairwise
from typing import Any

import msgspec

from maestro_adapters.gemini.said import PartialArgument

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")
_ESCAPED = re.compile(r"\\(.)")


class Arguments:
    """The arguments of one call. Pieces of the same text follow one another; what is whole replaces."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, piece: PartialArgument) -> None:
        """Put a piece where it belongs."""
        steps = [_step(match) for match in _STEP.finditer(piece.json_path)]
        if not steps:
            return
        here: Any = self._root
        for step, following in pairwise(steps):
            here = _into(here, step, [] if isinstance(following, int) else {})
        value: Any = piece.string_value
        if value is None:
            value = piece.number_value if piece.number_value is not None else piece.bool_value
        elif isinstance(_at(here, steps[-1]), str):
            value = _at(here, steps[-1]) + value
        _put(here, steps[-1], value)

    def json(self) -> str:
        """The whole, as JSON text."""
        return msgspec.json.encode(self._root).decode()


def _step(match: re.Match[str]) -> str | int:
    name, index, single, double = match.groups()
    if index is not None:
        return int(index)
    return name if name is not None else _ESCAPED.sub(r"\1", single if single is not None else double)


def _into(here: Any, step: str | int, empty: Any) -> Any:
    inner = _at(here, step)
    if not isinstance(inner, dict | list):
        inner = empty
        _put(here, step, inner)
    return inner


def _at(here: Any, step: str | int) -> Any:
    if isinstance(here, list):
        return here[step] if isinstance(step, int) and step < len(here) else None
    return here.get(str(step))


def _put(here: Any, step: str | int, value: Any) -> None:
    if not isinstance(here, list):
        here[str(step)] = value
    elif isinstance(step, int) and step < len(here):
        here[step] = value
    else:
        here.append(value)
