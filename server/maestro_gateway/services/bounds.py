"""The rules that guard memory and time, read from the proto: for platforms that have no protovalidate."""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import message

from maestro_gateway.services.descriptors import Descriptors
from maestro_spi.errors import Violation

# Rule -> does it hold, and what to say when not. The other rules are for meaning, and providers check them too.
RULES: tuple[tuple[str, str, Callable[[Any, Any], bool], str], ...] = (
    ("repeated", "max_items", lambda value, limit: len(value) <= limit, "must contain no more than {} item(s)"),
    ("repeated", "min_items", lambda value, limit: len(value) >= limit, "must contain at least {} item(s)"),
    ("map", "max_pairs", lambda value, limit: len(value) <= limit, "must contain at most {} entries"),
    ("string", "max_len", lambda value, limit: len(value) <= limit, "must be at most {} characters"),
    ("string", "min_len", lambda value, limit: len(value) >= limit, "must be at least {} characters"),
    ("int32", "gte", lambda value, limit: value >= limit, "must be greater than or equal to {}"),
    ("int32", "gt", lambda value, limit: value > limit, "must be greater than {}"),
    ("int32", "lte", lambda value, limit: value <= limit, "must be less than or equal to {}"),
    ("float", "gte", lambda value, limit: value >= limit, "must be greater than or equal to {}"),
    ("float", "lte", lambda value, limit: value <= limit, "must be less than or equal to {}"),
)


class Bounds:
    """Sizes, lengths and ranges, wherever the proto sets them."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._field_options = descriptors.message("google.protobuf.FieldOptions")
        # The extension that holds a field's rules, found by its name in the same pool as the messages.
        self._rules = self._field_options.DESCRIPTOR.file.pool.FindExtensionByName("buf.validate.field")
        self._known: dict[str, list[tuple[str, str, Any, str, Callable[[Any, Any], bool]]]] = {}

    def violations(self, request: message.Message) -> list[Violation]:
        return list(self._walk(request, ""))

    def _walk(self, part: message.Message, prefix: str) -> Iterator[Violation]:
        for field in part.DESCRIPTOR.fields:
            value = getattr(part, field.name)
            at = f"{prefix}{field.name}"
            for kind, rule, limit, text, holds in self._of(field):
                if (not field.has_presence or part.HasField(field.name)) and not holds(value, limit):
                    yield Violation(at, f"{kind}.{rule}", text.format(limit))
            yield from self._below(part, field, value, at)

    def _below(self, part: message.Message, field: Any, value: Any, at: str) -> Iterator[Violation]:
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            return
        if field.is_repeated:
            for index, item in enumerate(value):
                yield from self._walk(item, f"{at}[{index}].")
        elif part.HasField(field.name):
            yield from self._walk(value, f"{at}.")

    def _of(self, field: Any) -> list[tuple[str, str, Any, str, Callable[[Any, Any], bool]]]:
        if field.full_name not in self._known:
            options = self._field_options.FromString(field.GetOptions().SerializeToString())
            rules: Any = options.Extensions[self._rules]  # type: ignore[index]
            self._known[field.full_name] = [
                (kind, rule, getattr(getattr(rules, kind), rule), text, holds)
                for kind, rule, holds, text in RULES
                if rules.HasField(kind) and getattr(rules, kind).HasField(rule)
            ]
        return self._known[field.full_name]
