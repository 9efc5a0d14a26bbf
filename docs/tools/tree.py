"""The tree of files, each with the first line of its docstring."""

import ast
import re
import tomllib
from collections.abc import Iterator
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
    for package in PACKAGES:
        lines += ["", f"{package}/", *_folder(ROOT / package, 1, _floors())]
    return "```text\n" + "\n".join(lines) + "\n```"


def _folder(folder: Path, depth: int, order: list[str]) -> Iterator[str]:
    """Files first, by name; then folders: those that are a floor in their order, others by name."""
    entries = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() or entry.suffix == ".py"]
    files = [entry for entry in entries if entry.is_file()]
    folders = [entry for entry in entries if entry.is_dir() and any(entry.rglob("*.py"))]
    for file in sorted(files, key=lambda file: _place(file.stem, order)):
        if says := _says(file):
            yield _line(depth, file.name, says)
    for inner in sorted(folders, key=lambda inner: _place(inner.name, order)):
        yield _line(depth, f"{inner.name}/", "")
        yield from _folder(inner, depth + 1, [])


def _place(name: str, order: list[str]) -> tuple[int, str]:
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
