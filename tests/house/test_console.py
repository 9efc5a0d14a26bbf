"""The recipes of examples/console.md do what they say."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import grpcurl
from tests.doubles.gateway import RunningGateway

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:7070"
BLOCK = re.compile(r"^```console\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A command, and what it prints: `…` is any text, and alone in its line any lines."""

    command: str
    prints: str

    def __str__(self) -> str:
        return self.command.split()[-1]


def recipes(text: str) -> Iterator[Recipe]:
    for block in BLOCK.finditer(text):
        for step in re.split(r"^\$ ", block["body"], flags=re.M)[1:]:
            lines = step.splitlines()
            quoted = list(_open_to_the_end_of_each_line(lines))
            length = 1 + next(number for number, unfinished in enumerate(quoted) if not unfinished)
            yield Recipe("\n".join(lines[:length]), "\n".join(lines[length:]))


def _open_to_the_end_of_each_line(lines: list[str]) -> Iterator[bool]:
    """Does the command go on in the next line: by a backslash, or within quotes?"""
    inside = False
    for line in lines:
        inside ^= line.count("'") % 2 == 1
        yield inside or line.endswith("\\")


def matches(printed: str, expected: str) -> bool:
    """Spaces apart: how JSON is set is grpcurl's business."""
    lines = [" ".join(line.split()) for line in expected.splitlines()]
    pattern = "".join("(?:.*\n)*?" if line == "…" else _line(line) for line in lines)
    shown = "".join(" ".join(line.split()) + "\n" for line in printed.splitlines())
    return re.fullmatch(pattern, shown) is not None


def _line(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…"))) + "\n"


RECIPES = list(recipes((ROOT / "examples/console.md").read_text()))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 12


def test_what_is_printed_is_compared_line_by_line() -> None:
    assert matches('{\n  "a":  1,\n  "b": 2\n}\n', '{\n"a": 1,\n…\n}')
    assert matches("chats/123\n", "chats/…")
    assert not matches('{\n  "a": 1\n}\n', '{\n"a": 2\n}')
    assert not matches("a\nb\n", "a")


@pytest.mark.group("grpcurl")
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_does_what_it_says(recipe: Recipe, running_gateway: RunningGateway, tmp_path: Path) -> None:
    tool = grpcurl()
    assert tool is not None
    (tmp_path / ".maestro").mkdir()
    (tmp_path / ".maestro/key").write_text(running_gateway.key)
    ran = subprocess.run(
        ["bash", "-c", recipe.command.replace(ADDRESS, running_gateway.address)],
        env={"HOME": str(tmp_path), "PATH": f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert matches(ran.stdout, recipe.prints), f"$ {recipe.command}\n{ran.stdout}"
