"""The environment: what the process has, what .env puts beneath it, and which MAESTRO_ variables set what."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from maestro_gateway.config.document import Document
from maestro_gateway.config.problems import Path as SettingPath
from maestro_gateway.config.problems import Place, Problem
from maestro_gateway.config.schema import Settings
from maestro_gateway.config.shape import INDEX, NAME, at, fields, inside, leaves, plain

PREFIX, LEVEL = "MAESTRO_", "__"
# Read by others than this file, or here under a name of their own.
KNOWN = frozenset({"MAESTRO_ADDRESS", "MAESTRO_CONFIG", "MAESTRO_HOME", "MAESTRO_KEY", "MAESTRO_PROVIDER"})
TESTS = "MAESTRO_TEST_"
ASSIGNMENT = re.compile(r"""(?:export\s+)?([A-Za-z_]\w*)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^"'\s#].*?|)\s*(?:\s#.*)?""")
TEXT = (str, SecretStr, Path)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Environment:
    """Every variable with its value, and where it was set. The real environment is never overridden."""

    variables: Mapping[str, str]
    places: Mapping[str, Place] = field(default_factory=dict)

    def place(self, name: str) -> Place:
        """Where it was set."""
        return self.places.get(name, Place(f"environment {name}"))


def process() -> tuple[Mapping[str, str], Path]:
    """What this process was started with: its environment and its folder."""
    return os.environ, Path.cwd()


def read_environment(environ: Mapping[str, str], cwd: Path) -> tuple[Environment, list[Problem]]:
    """The environment, with the `.env` of the working folder beneath it."""
    path = cwd / ".env"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Environment(environ), []
    except (OSError, UnicodeDecodeError):
        problem = Problem(
            Place(str(path), 1, 1), "", "cannot be read", "make it readable text in UTF-8, or move it away"
        )
        return Environment(environ), [problem]
    variables, places, problems = dict[str, str](), dict[str, Place](), list[Problem]()
    for number, line in enumerate(text.splitlines(), start=1):
        line, place = line.strip(), Place(str(path), number, 1)
        if not line or line.startswith("#"):
            continue
        found = ASSIGNMENT.fullmatch(line)
        if not found:
            problems.append(Problem(place, "", "is not an assignment", "write it like: NAME=value, or NAME='a value'"))
        elif found[1] not in environ:
            variables[found[1]], places[found[1]] = _unquoted(found[2]), place
    return Environment({**variables, **environ}, places), problems


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text[1:-1])
    return text[1:-1] if text.startswith("'") else text


def override(document: Document, environment: Environment) -> list[Problem]:
    """Puts into `document` what MAESTRO_ variables say; the problems are those of variables that set nothing."""
    variables = environment.variables
    if variables.get("MAESTRO_ADDRESS") and "MAESTRO_LISTEN__ADDRESS" not in variables:
        put(document, ("listen", "address"), variables["MAESTRO_ADDRESS"], environment.place("MAESTRO_ADDRESS"))
    problems = []
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name.startswith(TESTS) or name in KNOWN:
            continue
        path = _path(name, document.values)
        if path is None:
            problems.append(Problem(environment.place(name), name, "sets nothing", _nearest(name)))
        else:
            put(document, path, _value(variables[name], at(Settings, path)), environment.place(name))
    return problems


def put(document: Document, path: SettingPath, value: Any, place: Place) -> None:
    """Sets one setting. What stands in the way, being of the wrong type, is left for the check of types to name."""
    *above, last = path
    here: Any = document.values
    for step, following in zip(above, path[1:], strict=True):
        here = _open(here, step, [] if isinstance(following, int) else {})
    if isinstance(here, dict):
        here[str(last)] = value
    elif isinstance(here, list) and isinstance(last, int):
        here[last : last + 1] = [value]  # at the end it is one more
    else:
        return
    document.places[tuple(path)] = place


def _open(here: Any, step: str | int, empty: Any) -> Any:
    if isinstance(here, dict):
        if here.get(str(step)) is None:
            here[str(step)] = empty
        return here[str(step)]
    if isinstance(here, list) and isinstance(step, int):
        if step >= len(here):
            here.append(empty)
        return here[step]
    return None


def _path(name: str, values: Any) -> SettingPath | None:
    """MAESTRO_LISTEN__ADDRESS -> listen.address, where there is such a setting."""
    path: list[str | int] = []
    for part in name.removeprefix(PREFIX).split(LEVEL):
        step = _step(part.lower(), at(Settings, tuple(path)), values)
        if step is None:
            return None
        path.append(step)
        values = values[step] if _holds(values, step) else None
    return tuple(path)


def _step(part: str, annotation: Any, values: Any) -> str | int | None:
    if part.isdecimal() and inside(annotation, INDEX) is not None:
        return int(part)
    if part in fields(annotation):
        return part
    if fields(annotation) or inside(annotation, NAME) is None or not part:
        return None
    # The operator's own names may hold what no variable's name can.
    written = values if isinstance(values, dict) else {}
    return next((each for each in written if re.sub(r"\W", "_", each).lower() == part), part)


def _holds(values: Any, step: str | int) -> bool:
    return (isinstance(values, dict) and step in values) or (
        isinstance(values, list) and isinstance(step, int) and step < len(values)
    )


def _value(text: str, annotation: Any) -> Any:
    """Lists and mappings are written as in YAML, in one line; all else is text, which its setting reads."""
    if plain(annotation) not in TEXT and text.startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _nearest(name: str) -> str:
    known = (each.removeprefix(PREFIX) for each in sorted({*_names(), *KNOWN}))
    near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"did you mean {PREFIX}{near[0]}?" if near else "take it out; docs/configuration.md lists those there are"


def _names() -> Iterator[str]:
    for path, _ in leaves(Settings):
        yield PREFIX + LEVEL.join(str(step).upper() for step in path)
