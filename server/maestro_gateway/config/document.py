"""A YAML text -> its values, and where each one stands."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from maestro_gateway.config.problems import ConfigError, Path, Place, Problem, dotted

PLAIN = "write plain YAML: mappings, lists, text, numbers, true and false"


@dataclass(slots=True)
class Document:
    """What was written, and where: `places` knows each key and each item by its path."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Where the setting stands, or else what it would stand in."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, Place("defaults"))


class _Composer(yaml.SafeLoader):
    """Safe YAML without aliases: a short file stays short, and every value has one place."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read here, write the value again", mark)
        return super().compose_node(parent, index)


class _Reader:
    def __init__(self, source: str, loader: yaml.SafeLoader) -> None:
        self._source = source
        self._loader = loader
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.places[*path, index] = self._place(item.start_mark)
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._report(node, path, "cannot be read", PLAIN)
            return None

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._report(name, path, "a name must be text", PLAIN)
                continue
            here: Path = (*path, name.value)
            if here in self.places:
                first = self.places[here].line
                self._report(name, here, f"is written twice; the first is on line {first}", "keep one of them")
                continue
            self.places[here] = self._place(name.start_mark)
            yield name.value, value

    def _place(self, mark: Any) -> Place:
        return Place(self._source, mark.line + 1, mark.column + 1)

    def _report(self, node: yaml.Node, path: Path, message: str, fix: str) -> None:
        self.problems.append(Problem(self._place(node.start_mark), dotted(path), message, fix))


def read_document(text: str, source: str) -> tuple[Document, list[Problem]]:
    """What `text` says, and what is wrong with how it says it. A text that is no YAML at all is a ConfigError."""
    try:
        loader = _Composer(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        raise ConfigError([Problem(place, "", f"cannot be read: {error.problem or error.context}", PLAIN)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problem = Problem(Place(source, line, column), "", "holds a character that YAML does not allow", "take it out")
        raise ConfigError([problem]) from None
    except RecursionError:
        raise ConfigError([Problem(Place(source, 1, 1), "", "is nested too deeply", PLAIN)]) from None
    if root is None:
        return Document(places={(): Place(source, 1, 1)}), []
    reader = _Reader(source, loader)
    values = reader.read(root, ())
    places = {(): Place(source, root.start_mark.line + 1, root.start_mark.column + 1), **reader.places}
    if values is None and not reader.problems:
        return Document(places=places), []
    if not isinstance(values, dict):
        problem = Problem(places[()], "", "is not a mapping of settings", "write it like: listen: {address: …}")
        return Document(places=places), [*reader.problems, problem]
    return Document(values, places), reader.problems
