"""What pydantic finds wrong, in words that say what to write instead."""

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from maestro_gateway.config.document import Document
from maestro_gateway.config.problems import Path, Problem, dotted
from maestro_gateway.config.schema import Settings
from maestro_gateway.config.shape import at, field_at, fields, plain

KEY = "[key]"  # how pydantic marks that the name itself is wrong, not what stands under it
WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "float_type": "must be a number",
    "int_type": "must be a number",
    "model_type": "must be a mapping",
    "string_pattern_mismatch": "is not written as it must be",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}
CONSEQUENCES = frozenset({"default_factory_not_called"})  # of another complaint; they say nothing new


def complaints(error: ValidationError, document: Document) -> list[Problem]:
    """Every complaint, at its place. What was written is never repeated: it may be a secret."""
    return [
        _problem(detail, document)
        for detail in error.errors(include_input=False, include_url=False)
        if detail["type"] not in CONSEQUENCES
    ]


def sections(error: ValidationError) -> set[str]:
    """The top-level names that something is wrong with."""
    return {str(detail["loc"][0]) for detail in error.errors(include_input=False, include_url=False)}


def _problem(detail: ErrorDetails, document: Document) -> Problem:
    path: Path = tuple(step for step in detail["loc"] if step != KEY)
    if KEY in detail["loc"]:
        return Problem(document.place(path), dotted(path), "is not a name it can have", _name_of(path))
    match detail["type"]:
        case "extra_forbidden":
            message, fix = "no such setting", _nearest(str(path[-1]), fields(at(Settings, path[:-1])))
        case "missing":
            message, fix = "is missing", f"add {_hint(path)}"
        case _:
            message, fix = _message(detail), f"write {_hint(path)}"
    return Problem(document.place(path), dotted(path), message, fix)


def _message(detail: ErrorDetails) -> str:
    if detail["type"] in WORDS:
        return WORDS[detail["type"]]
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]


def _hint(path: Path) -> str:
    field, name = _field(path)
    if field is None:
        return "it as docs/configuration.md has it"
    example = f", for example {name}: {_shown(field.examples[0])}" if field.examples else ""
    return f"{name}: {field.description}{example}"


def _field(path: Path) -> tuple[FieldInfo | None, str]:
    """What the schema says of the setting, or of the list that it is an item of."""
    while path:
        field = field_at(Settings, path)
        if field is not None:
            return field, str(path[-1])
        path = path[:-1]
    return None, ""


def _shown(example: Any) -> str:
    if isinstance(example, bool):
        return str(example).lower()
    if isinstance(example, list):
        return f"[{', '.join(example)}]"
    if isinstance(example, dict):
        return "{" + ", ".join(f"{key}: {value}" for key, value in example.items()) + "}"
    return str(example)


def _name_of(path: Path) -> str:
    """How a provider or a model may be called."""
    names = typing.get_args(plain(at(Settings, path[:-1])))[0]
    noted = [each for each in typing.get_args(names) if isinstance(each, FieldInfo)]
    return str(noted[0].description) if noted else "call it otherwise"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
