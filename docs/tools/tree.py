"""The tree of files that git knows, each with the first line of its docstring."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto/maestro/v1"
PACKAGES = (
    "proto/python/maestro_stream",
    "adapters/maestro_spi",
    "adapters/maestro_adapters",
    "server/maestro_gateway",
    "clients/python/maestro_client",
)
WIDTH = 32
SERVICE = re.compile(r"// (?P<says>[^\n]+)\nservice (?P<name>\w+)")


def listing(_: str) -> str:
    """All of it, the floors of the gateway from the door down."""
    lines = ["proto/maestro/v1/", *(_line(1, file.name, _services(file)) for file in sorted(PROTO.glob("*.proto")))]
    floors = _floors()
    for package in PACKAGES:
        folder = ROOT / package
        lines += ["", f"{package}/", *_folder(folder, _known(folder), floors)]
    return "```text\n" + "\n".join(lines) + "\n```"


def _known(folder: Path) -> list[Path]:
    """Not whatever lies about: what is written down here must be the same in every checkout."""
    names = subprocess.run(["git", "ls-files", "*.py"], cwd=folder, check=True, capture_output=True, text=True).stdout
    return [folder / name for name in names.splitlines() if (folder / name).exists()]


def _folder(folder: Path, known: Sequence[Path], order: Sequence[str], depth: int = 1) -> Iterator[str]:
    """Files first, by name; then folders: those that are a floor in their order, others by name."""
    within = [file for file in known if folder in file.parents]
    files = {file for file in within if file.parent == folder}
    folders = {folder / file.relative_to(folder).parts[0] for file in within} - files
    for file in sorted(files, key=lambda file: _place(file.stem, order)):
        if says := _says(file):
            yield _line(depth, file.name, says)
    for inner in sorted(folders, key=lambda inner: _place(inner.name, order)):
        yield _line(depth, f"{inner.name}/", "")
        yield from _folder(inner, within, (), depth + 1)


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _floors() -> list[str]:
    """As the import contracts have them, from the top."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["maestro_gateway"])
    return [room for layer in layers for room in layer.split(" | ")]


def _says(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def _services(file: Path) -> str:
    found = [f"{service['name']}: {service['says']}" for service in SERVICE.finditer(file.read_text())]
    return " ".join(found) or "types alone"


def _line(depth: int, name: str, says: str) -> str:
    return f"{'  ' * depth + name:{WIDTH}}{says}".rstrip()
