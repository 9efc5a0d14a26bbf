"""What may stand where: the schema, walked by path."""

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maestro_gateway.config.problems import Path

NAME = "<name>"  # stands for whatever the operator calls a provider or a model
INDEX = 0  # stands for any item


def plain(annotation: Any) -> Any:
    """The type itself, without what is noted about it and without `| None`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        real = [each for each in typing.get_args(annotation) if each is not type(None)]
        return plain(real[0]) if len(real) == 1 else annotation
    return annotation


def fields(annotation: Any) -> dict[str, FieldInfo]:
    """The settings of a section; none where the type is no section."""
    kind = plain(annotation)
    return dict(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def inside(annotation: Any, step: str | int) -> Any | None:
    """The type of what stands in it under `step`; None where nothing may."""
    known = fields(annotation)
    if known:
        return known[step].annotation if isinstance(step, str) and step in known else None
    origin, arguments = typing.get_origin(plain(annotation)), typing.get_args(plain(annotation))
    if origin is dict and isinstance(step, str):
        return arguments[1]
    if origin is tuple and isinstance(step, int):
        return arguments[0]
    return None


def at(annotation: Any, path: Path) -> Any | None:
    """The type of the setting at `path`; None where there is no such setting."""
    for step in path:
        annotation = inside(annotation, step)
        if annotation is None:
            return None
    return annotation


def field_at(annotation: Any, path: Path) -> FieldInfo | None:
    """What is said about the setting at `path`."""
    return fields(at(annotation, path[:-1])).get(str(path[-1])) if path else None


def leaves(annotation: Any, path: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every setting that holds a value rather than other settings."""
    for name, field in fields(annotation).items():
        here, kind = (*path, name), plain(field.annotation)
        for step in (NAME, INDEX):
            below = inside(kind, step)
            if fields(below):
                yield from leaves(below, (*here, step))
        if fields(kind):
            yield from leaves(kind, here)
        elif not any(fields(inside(kind, step)) for step in (NAME, INDEX)):
            yield here, field
