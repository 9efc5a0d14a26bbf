"""A small value that a JSON Schema allows."""

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

DEPTH = 24  # a schema that refers to itself ends here
BUDGET = 10_000  # schemas looked at, and sixteens of characters, for one value: a caller's schema may ask for the sky

_FORMATS = {
    "date-time": "2000-01-01T00:00:00Z",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WORDS = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "contains"),
}


def instance(schema: Any) -> Any:
    """The smallest value we know how to make: required properties, first choices, least lengths.

    It follows what schemas of answers and tools use; `pattern` and `not` are not read, and what a schema wants beyond
    the budget is left out.
    """
    return _Maker(schema).value(schema, 0)


class _Maker:
    """Makes values of one schema, within one budget."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = BUDGET
        self._makers: Mapping[str, Callable[[Schema, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": _number,
            "integer": _number,
        }

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > DEPTH:
            return {}
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = _type(schema)
        if kind in self._makers:
            return self._makers[kind](schema, depth + 1)
        return False if kind == "boolean" else None

    def _resolved(self, schema: Schema, depth: int) -> Schema:
        """The schema with what it refers to, and the first of its choices, laid into it."""
        self._left -= 1
        if depth > DEPTH or self._left < 0:
            return {}
        whole = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        others = [*schema.get("allOf", ()), *schema.get("anyOf", ())[:1], *schema.get("oneOf", ())[:1]]
        if "$ref" in schema:
            others.append(_pointed(str(schema["$ref"]), self._root))
        for other in others:
            if isinstance(other, Mapping):
                _lay(self._resolved(other, depth + 1), whole)
        return whole

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Schema = schema.get("properties", {})
        least = min(schema.get("minProperties", 0), max(0, self._left))
        names = list(dict.fromkeys(schema.get("required", ())))
        names += [name for name in properties if name not in names][: max(0, least - len(names))]
        names += [f"property{number}" for number in range(len(names), least)]
        rest = schema.get("additionalProperties", {})
        return {name: self.value(properties.get(name, rest), depth) for name in names}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least = max(schema.get("minItems", 0), 1 if "contains" in schema else 0)
        least = min(least, max(0, self._left))
        first = list(schema.get("prefixItems", ()))[:least]
        more = schema.get("contains", schema.get("items", {}))
        return [self.value(item, depth) for item in first + [more] * (least - len(first))]

    def _string(self, schema: Schema, depth: int) -> str:
        text = _FORMATS.get(str(schema.get("format")), "")
        missing: int = min(max(0, schema.get("minLength", 0) - len(text)), max(0, self._left) * 16)
        self._left -= missing // 16
        return text + "x" * missing


def _lay(other: Schema, whole: dict[str, Any]) -> None:
    for key, value in other.items():
        if key == "properties":
            whole[key] = {**value, **whole.get(key, {})}
        elif key == "required":
            whole[key] = [*whole.get(key, ()), *value]
        else:
            whole.setdefault(key, value)


def _pointed(ref: str, root: Any) -> Any:
    found = root
    for name in ref.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found


def _type(schema: Schema) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = next((name for name in named if name != "null"), "null")
    if isinstance(named, str):
        return named
    return next((name for name, words in _WORDS.items() if any(word in schema for word in words)), "object")


def _number(schema: Schema, depth: int) -> Any:
    whole = schema.get("type") == "integer"
    step = schema.get("multipleOf", 1 if whole else 0)
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    value: Any = 0
    if least is not None:
        value = max(value, least)
    if above is not None and value <= above:
        value = above + (step or _half(above, most if below is None else below))
    if most is not None:
        value = min(value, most)
    if below is not None and value >= below:
        value = below - (step or 1)
    if step and value % step:
        value += step - value % step
    return int(value) if whole else value


def _half(low: Any, high: Any) -> Any:
    return 1 if high is None else (high - low) / 2
