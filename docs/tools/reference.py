"""The API reference, from the comments of the .proto files."""

import html
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from maestro_gateway.services.descriptors import Descriptors

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).parent / "buf"
PACKAGE = "maestro.v1"
HEAD = f"""\
# Reference

<!-- Made by docs/tools/reference.py from proto/maestro/v1; not edited by hand. -->

Everything in the package `{PACKAGE}`. *Needs* is the scope that the caller's key must hold. A *rule* that a request
breaks is answered with INVALID_FIELD, the field's path and the rule's name ([errors](errors.md)). Beside it the server
has the standard `grpc.health.v1.Health`, and reflection as `grpc.reflection.v1` and `v1alpha`.
"""
# Numbers of fields in descriptor.proto, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
FIELD, NESTED_MESSAGE, NESTED_ENUM = 2, 3, 4
VALUE = METHOD = 2

Path_ = tuple[int, ...]


def page() -> str:
    """The whole page."""
    image = subprocess.run([BUF, "build", "-o", "-"], cwd=ROOT, check=True, capture_output=True).stdout
    files = descriptor_pb2.FileDescriptorSet.FromString(image).file
    rules = Rules()
    ours = sorted((file for file in files if file.package == PACKAGE), key=lambda file: (not file.service, file.name))
    return HEAD + "".join(line for file in ours for line in _File(file, rules).lines())


class Rules:
    """What only the server's descriptor file knows: the right of a method, the rules of a field."""

    def __init__(self) -> None:
        self._descriptors = Descriptors()
        self._methods = dict(self._descriptors.methods())
        self._options: Any = self._descriptors.message("google.protobuf.FieldOptions")
        self._rules: Any = self._options.DESCRIPTOR.file.pool.FindExtensionByName("buf.validate.field")

    def needs(self, method: str) -> str:
        """The scope."""
        return self._descriptors.needs(self._methods[method])

    def of(self, message: str, field: str) -> str:
        """`string.max_len = 256`, or nothing."""
        found: Any = self._descriptors.message(message).DESCRIPTOR.fields_by_name[field]
        rules = self._options.FromString(found.GetOptions().SerializeToString()).Extensions[self._rules]
        return ", ".join(_flat(rules, ""))


def _flat(rules: Any, prefix: str) -> Iterator[str]:
    for field, value in rules.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            shown = list(value) if field.is_repeated else value
            shown = str(shown).lower() if isinstance(shown, bool) else shown
            yield f"{prefix}{field.name} = {shown:g}" if isinstance(shown, float) else f"{prefix}{field.name} = {shown}"


class _File:
    """One .proto file as Markdown."""

    def __init__(self, file: descriptor_pb2.FileDescriptorProto, rules: Rules) -> None:
        self._file = file
        self._rules = rules
        self._comments = {
            tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        file = self._file
        if not (file.service or file.message_type or file.enum_type):
            return
        yield f"\n## {file.name}\n"
        for index, service in enumerate(file.service):
            yield from self._service(service, (SERVICE, index))
        for index, message in enumerate(file.message_type):
            yield from self._message(message, (MESSAGE, index), "")
        for index, enum in enumerate(file.enum_type):
            yield from self._enum(enum, (ENUM, index), "")

    def _says(self, path: Path_) -> str:
        return html.escape(self._comments.get(path, ""), quote=False).replace("|", "\\|")

    def _service(self, service: descriptor_pb2.ServiceDescriptorProto, path: Path_) -> Iterator[str]:
        yield f"\n### {service.name}\n\n{self._says(path)}\n"
        yield from _table("method", "takes", "gives", "needs", "what it does")
        for index, method in enumerate(service.method):
            stream = "stream of " if method.server_streaming else ""
            yield _row(
                f"`{method.name}`",
                _linked(method.input_type),
                stream + _linked(method.output_type),
                f"`{self._rules.needs(f'{PACKAGE}.{service.name}/{method.name}')}`",
                self._says((*path, METHOD, index)),
            )

    def _message(self, message: descriptor_pb2.DescriptorProto, path: Path_, outer: str) -> Iterator[str]:
        name = f"{outer}{message.name}"
        yield f"\n### {name}\n\n{self._says(path)}\n"
        maps = {f".{PACKAGE}.{name}.{inner.name}": inner for inner in message.nested_type if inner.options.map_entry}
        if message.field:
            yield from _table("field", "type", "what it says")
        for index, field in enumerate(message.field):
            says = self._says((*path, FIELD, index))
            if field.HasField("oneof_index") and not field.proto3_optional:
                says += f" *One of `{message.oneof_decl[field.oneof_index].name}`.*"
            if rule := self._rules.of(f"{PACKAGE}.{name}", field.name):
                says += f" *Rule:* `{rule}`"
            yield _row(f"`{field.name}`", _type(field, maps), says)
        for index, inner in enumerate(message.nested_type):
            if not inner.options.map_entry:
                yield from self._message(inner, (*path, NESTED_MESSAGE, index), f"{name}.")
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*path, NESTED_ENUM, index), f"{name}.")

    def _enum(self, enum: descriptor_pb2.EnumDescriptorProto, path: Path_, outer: str) -> Iterator[str]:
        yield f"\n### {outer}{enum.name}\n\n{self._says(path)}\n"
        yield from _table("value", "number", "what it means")
        for index, value in enumerate(enum.value):
            yield _row(f"`{value.name}`", str(value.number), self._says((*path, VALUE, index)))


def _type(field: descriptor_pb2.FieldDescriptorProto, maps: dict[str, descriptor_pb2.DescriptorProto]) -> str:
    if entry := maps.get(field.type_name):
        key, value = entry.field
        return f"map of {_single(key)} to {_single(value)}"
    if field.label == field.LABEL_REPEATED:
        return f"list of {_single(field)}"
    return f"{_single(field)}, optional" if field.proto3_optional else _single(field)


def _single(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return _linked(field.type_name)
    return f"`{descriptor_pb2.FieldDescriptorProto.Type.Name(field.type).removeprefix('TYPE_').lower()}`"


def _linked(name: str) -> str:
    short = name.removeprefix(f".{PACKAGE}.")
    return f"`{name.lstrip('.')}`" if short == name else f"[{short}](#{short.replace('.', '').lower()})"


def _table(*titles: str) -> Sequence[str]:
    return ("\n" + _row(*titles), _row(*("---" for _ in titles)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
