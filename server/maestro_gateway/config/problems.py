"""What is wrong with a configuration: where, what, and how to mend it."""

from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]  # of a setting: ("keys", 0, "secret")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file with line and column, or a source without lines."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. It never holds a secret."""

    place: Place
    path: str
    message: str
    fix: str

    def __str__(self) -> str:
        subject = f"{self.path}: " if self.path and not self.place.source.endswith(self.path) else ""
        return f"{self.place}: {subject}{self.message}; {self.fix}"


class ConfigError(Exception):
    """The configuration cannot be used. It names every problem that was found, in the order in which they stand."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda each: (each.place.source, each.place.line, each.place.column))
        )
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """A path as people write it: `keys[0].secret`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
