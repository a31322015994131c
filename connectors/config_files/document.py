"""YAML with the place of everything in it. ``${NAME}`` in a value stands for an environment variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from connectors.config_files.fault import Fault, Place
from schemas.config.placeholders import VARIABLE, Location

MAP: Final = "tag:yaml.org,2002:map"
SEQUENCE: Final = "tag:yaml.org,2002:seq"


@dataclass
class Document:
    """The configuration as plain data, and where each part of it came from.

    ``places`` are of values, ``keys`` of the keys before them, ``plain`` has the text of unquoted scalars, ``raw`` that
    of values with variables in them and what they stand for, ``titles`` the name of each entity in its file's terms, by
    (kind, index); ``unset`` are the values whose variables are not set; ``incomplete`` says that a part could not
    be read.
    """

    environment: Mapping[str, str]
    data: dict[Any, Any] = field(default_factory=dict)
    places: dict[Location, Place] = field(default_factory=dict)
    keys: dict[Location, Place] = field(default_factory=dict)
    plain: dict[Location, str] = field(default_factory=dict)
    raw: dict[Location, tuple[str, str]] = field(default_factory=dict)
    titles: dict[Location, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unset: set[Location] = field(default_factory=set)
    incomplete: bool = False

    def leave_out(self, fault: Fault) -> None:
        """A fault for which a whole part is left out: what seems to be missing may be there."""
        self.faults.append(fault)
        self.incomplete = True

    def place_of(self, path: Location) -> Place | None:
        """Where a value is, or the nearest part around it that was written."""
        for length in range(len(path), -1, -1):
            if (place := self.keys.get(path[:length]) or self.places.get(path[:length])) is not None:
                return place
        return None

    def name_of(self, path: Location) -> str:
        """A path in the file's terms: ``campaigns[3] "sunpath-west".states[0]``."""
        title = self.titles.get(path[:2])
        if title is None:
            return _steps(path)
        rest = _steps(path[2:])
        return f"{title}.{rest}" if rest else title

    def without_secrets(self, message: str, path: Location) -> str:
        """A message about a value, with variables in place of what they stand for."""
        for at, (raw, filled) in self.raw.items():
            if at[: len(path)] == path and filled:
                message = message.replace(repr(filled), repr(raw)).replace(filled, raw)
        return message

    def add(self, file: Path, node: yaml.Node, path: Location, loader: yaml.SafeLoader) -> Any:
        """The data of a node; its places and faults are recorded."""
        return _Reading(self, file, loader, set()).value(node, path)


@dataclass
class _Reading:
    document: Document
    file: Path
    loader: yaml.SafeLoader
    around: set[int]

    def value(self, node: yaml.Node, path: Location) -> Any:
        self.document.places[path] = place(self.file, node)
        if id(node) in self.around:
            self.fault(node, path, "an anchor that contains itself")
            return None
        self.around.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == MAP:
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == SEQUENCE:
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self.scalar(node, path)
        finally:
            self.around.remove(id(node))

    def mapping(self, node: yaml.MappingNode, path: Location) -> dict[Any, Any]:
        self.loader.flatten_mapping(node)
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct(key_node, path)
            try:
                hash(key)
            except TypeError:
                self.fault(key_node, path, "a key must be text")
                continue
            self.document.keys[(*path, key)] = place(self.file, key_node)
            data[key] = self.value(value_node, (*path, key))
        return data

    def scalar(self, node: yaml.Node, path: Location) -> Any:
        data = self.construct(node, path)
        if not isinstance(node, yaml.ScalarNode):
            return data
        if node.style is None:
            self.document.plain[path] = node.value
        if not isinstance(data, str) or not (names := VARIABLE.findall(data)):
            return data
        # Filled in after parsing: a value can neither change the structure nor show in the parser's errors.
        environment = self.document.environment
        if missing := sorted({name for name in names if name not in environment}):
            self.document.unset.add(path)
            self.fault(node, path, f"set {', '.join(missing)} in the environment")
        filled = VARIABLE.sub(lambda match: environment.get(match[1], match[0]), data)
        self.document.raw[path] = (data, filled)
        return filled

    def construct(self, node: yaml.Node, path: Location) -> Any:
        try:
            return self.loader.construct_object(node, deep=True)
        except yaml.MarkedYAMLError as error:
            self.fault(node, path, f"not YAML: {error.problem or error.context}")
        except ValueError as error:  # a date such as 2026-13-45
            self.fault(node, path, f"not YAML: {error}")
        return None

    def fault(self, node: yaml.Node, path: Location, message: str) -> None:
        self.document.faults.append(Fault(place(self.file, node), self.document.name_of(path), message))


def compose(file: Path, text: str) -> tuple[yaml.Node | None, yaml.SafeLoader, list[Fault]]:
    """The nodes of a file (None when it is empty or no YAML), the loader that makes data of them, and the faults."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        return None, yaml.SafeLoader(""), [Fault(at, "", f"not YAML: {reason}")]
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        at = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, yaml.SafeLoader(""), [Fault(at, "", f"not YAML: {error.reason}")]
    except RecursionError:
        return None, yaml.SafeLoader(""), [Fault(Place(file), "", "not YAML: nested too deep")]
    return node, loader, list(_repeated_keys(file, node)) if node is not None else []


def _repeated_keys(file: Path, root: yaml.Node) -> Iterator[Fault]:
    # Before merges (`<<`) are resolved: a merged key may be set again, a written one may not.
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, yaml.Node] = {}
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                earlier = first.setdefault(key.value, key)
                if earlier is not key:
                    line = earlier.start_mark.line + 1
                    yield Fault(place(file, key), key.value, f"written twice, first in line {line}", "keep one")


def place(file: Path, node: yaml.Node) -> Place:
    """Where a node starts."""
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _steps(path: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
