"""Every rule that stands in the proto, and for each a request that breaks it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from maestro_gateway.services.descriptors import Descriptors

Break = Callable[[Any, str, Any], str]  # sets the field of a message so that the rule breaks; what is added to its path


@dataclass(frozen=True, slots=True)
class Broken:
    """A request of one method with one mistake in it."""

    method: str
    path: str
    rule: str
    data: bytes


def _said(value: Callable[[Any], Any]) -> Break:
    def broken(message: Any, field: str, limit: Any) -> str:
        setattr(message, field, value(limit))
        return ""

    return broken


def _too_many(message: Any, field: str, limit: int) -> str:
    items = getattr(message, field)
    for _ in range(limit + 1):
        items.add()
    return ""


def _too_many_texts(message: Any, field: str, limit: int) -> str:
    getattr(message, field).extend(["x"] * (limit + 1))
    return ""


def _too_many_pairs(message: Any, field: str, limit: int) -> str:
    getattr(message, field).update({str(number): "" for number in range(limit + 1)})
    return ""


def _item(value: Callable[[Any], str]) -> Break:
    def broken(message: Any, field: str, limit: Any) -> str:
        getattr(message, field).append(value(limit))
        return "[0]"

    return broken


def _unset(message: Any, field: str, limit: Any) -> str:
    message.ClearField(field)
    return ""


BREAKS: Mapping[str, Break] = {
    "required": _unset,
    "string.max_len": _said(lambda limit: "é" * (limit + 1)),
    "string.min_len": _said(lambda limit: "x" * (limit - 1)),
    "string.pattern": _said(lambda limit: "no such name!"),
    "enum.defined_only": _said(lambda limit: 999),
    "enum.not_in": _said(lambda limit: limit[0]),
    "int32.gte": _said(lambda limit: limit - 1),
    "int32.gt": _said(lambda limit: limit),
    "int32.lte": _said(lambda limit: limit + 1),
    "float.gte": _said(lambda limit: limit - 0.5),
    "float.lte": _said(lambda limit: limit + 0.5),
    "repeated.min_items": _unset,
    "repeated.max_items": _too_many,
    "repeated.max_items of texts": _too_many_texts,
    "map.max_pairs": _too_many_pairs,
    "repeated.items.string.min_len": _item(lambda limit: "x" * (limit - 1)),
    "repeated.items.string.max_len": _item(lambda limit: "é" * (limit + 1)),
}


class UnknownRuleError(AssertionError):
    """The proto has a rule that nobody breaks here: add it to BREAKS."""


def broken_requests(method: str) -> Iterator[Broken]:
    """For each rule that a request of this method can break, one that does."""
    descriptors = Descriptors()
    asked = dict(descriptors.methods())[method].input_type
    for steps, field in _fields(asked, (), {asked.full_name}):
        for rule, limit in _rules(descriptors, field):
            request = descriptors.message(asked.full_name)()
            message, path = _reach(request, steps)
            of_texts = rule == "repeated.max_items" and field.message_type is None
            name = f"{rule} of texts" if of_texts else rule
            if name not in BREAKS:
                raise UnknownRuleError(f"{field.full_name}: {name}")
            path += field.name + BREAKS[name](message, field.name, limit)
            yield Broken(method, path, rule.removeprefix("repeated.items."), request.SerializeToString())


def _fields(message: Any, steps: tuple[Any, ...], seen: set[str]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every field within reach, with the way to it; each kind of message once."""
    for field in message.fields:
        yield steps, field
        below = field.message_type
        if below is None or below.GetOptions().map_entry or below.full_name in seen:
            continue
        if below.full_name.startswith("maestro."):
            seen.add(below.full_name)
            yield from _fields(below, (*steps, field), seen)


def _reach(request: Message, steps: tuple[Any, ...]) -> tuple[Any, str]:
    message: Any = request
    path = ""
    for field in steps:
        if field.is_repeated:
            message = getattr(message, field.name).add()
            path += f"{field.name}[0]."
        else:
            message = getattr(message, field.name)
            message.SetInParent()
            path += f"{field.name}."
    return message, path


def _rules(descriptors: Descriptors, field: Any) -> Iterator[tuple[str, Any]]:
    options = descriptors.message("google.protobuf.FieldOptions")
    extension = options.DESCRIPTOR.file.pool.FindExtensionByName("buf.validate.field")
    rules: Any = options.FromString(field.GetOptions().SerializeToString()).Extensions[extension]
    for kind, value in rules.ListFields():
        if kind.message_type is None:
            yield kind.name, value
        else:
            yield from _leaves(kind.name, value)


def _leaves(prefix: str, rules: Any) -> Iterator[tuple[str, Any]]:
    for rule, value in rules.ListFields():
        if rule.name == "items":
            for kind, below in value.ListFields():
                yield from _leaves(f"{prefix}.items.{kind.name}", below)
        else:
            yield f"{prefix}.{rule.name}", value
