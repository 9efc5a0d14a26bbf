"""Marks in Markdown, and what stands between them: whole files, one class of a file, one block of another page."""

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPENING = re.compile(r"^<!-- (?P<name>\w+)(?:: (?P<what>\S+))? -->$", re.MULTILINE)
BLOCK = re.compile(r"^(?P<opening><!-- (?P<name>\w+)(?:: (?P<what>\S+))? -->)\n.*?^<!-- /(?P=name) -->$", re.M | re.S)
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
LANGUAGES = {".py": "python", ".go": "go", ".ts": "ts", ".yaml": "yaml", ".toml": "toml", ".proto": "protobuf"}

Maker = Callable[[str], str]


class MarkError(Exception):
    """A mark that cannot be filled: where it stands, and why."""


def filled(page: Path, makers: Mapping[str, Maker]) -> str:
    """The page, with what belongs between its marks."""
    text = page.read_text()
    name = page.relative_to(ROOT)
    if len(OPENING.findall(text)) != len(BLOCK.findall(text)):
        raise MarkError(f"{name}: a mark is opened and not closed, or closed by another name")

    def fill(block: re.Match[str]) -> str:
        if block["name"] not in makers:
            raise MarkError(f"{name}: no mark is called {block['name']!r}; there are: {', '.join(makers)}")
        try:
            made = makers[block["name"]](block["what"] or "")
        except (OSError, LookupError) as error:
            raise MarkError(f"{name}: {block['opening']}: {error}") from None
        return f"{block['opening']}\n{made}\n<!-- /{block['name']} -->"

    return BLOCK.sub(fill, text)


def include(what: str) -> str:
    """`path`, `path.py#Name` (one class, function or constant), or `path.md#heading` (the block beneath it)."""
    path, _, fragment = what.partition("#")
    file = ROOT / path
    text = file.read_text().strip("\n")
    if file.suffix == ".md":
        return _beneath(text, fragment)
    if fragment:
        text = _named(text, fragment)
    return f"```{LANGUAGES.get(file.suffix, '')}\n{text}\n```"


def slug(heading: str) -> str:
    """What a heading is called in links."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _beneath(text: str, heading: str) -> str:
    for section in re.split(r"^#+ ", text, flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        block = FENCED.search(body)
        if slug(title) == heading and block:
            return block[0]
    raise LookupError(f"no block stands under a heading '#{heading}'")


def _named(text: str, name: str) -> str:
    for node in ast.parse(text).body:
        if name in _names(node):
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise LookupError(f"nothing at its top level is called {name}")


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case _:
            return []
