"""The files of a configuration: one with everything, or a folder with one per kind or one per entity.

config.yaml               {verticals: […], buyers: […], campaigns: […]}
config/verticals.yaml     […], or {verticals: […]}
config/campaigns/a.yaml   one campaign
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from connectors.config_files.document import MAP, SEQUENCE, Document, compose, place
from connectors.config_files.fault import ConfigurationError, Fault, Place
from schemas.config.release import IDENTITY, Configuration

KINDS: Final = tuple(Configuration.model_fields)
SUFFIXES: Final = (".yaml", ".yml")
SETTING: Final = "set LEADLINE_CONFIG to a configuration file or folder"


def read(path: Path, environment: Mapping[str, str]) -> Document:
    """Everything that is written there, and the faults in how it is written.

    Raises:
        ConfigurationError: there is no such file or folder, or no configuration in it.
    """
    document = Document(environment)
    try:
        if path.is_dir():
            _folder(document, path)
        else:
            _whole(document, path)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path}: {error.strerror}; {SETTING}") from None
    return document


def _whole(document: Document, file: Path) -> None:
    if (found := _compose(document, file)) is None:
        return
    root, loader = found
    if not isinstance(root, yaml.MappingNode):
        document.leave_out(
            Fault(place(file, root), "", f"a mapping is expected, not {_what(root)}", f"with {', '.join(KINDS)}")
        )
        return
    loader.flatten_mapping(root)
    document.places[()] = place(file, root)
    for key, value in root.value:
        kind = str(key.value)
        document.keys[(kind,)] = place(file, key)
        if kind in KINDS:
            _entities(document, file, value, kind, loader)
        else:  # told as an unknown setting, with the closest known one
            document.data[kind] = document.add(file, value, (kind,), loader)


def _folder(document: Document, folder: Path) -> None:
    document.places[()] = Place(folder)
    # Names that begin with a dot are the file system's own, as those beside a mounted ConfigMap.
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    found = False
    for entry in entries:
        if entry.is_dir():
            files = [file for file in sorted(entry.iterdir()) if _is_yaml(file)]
        else:
            files = [entry] if _is_yaml(entry) else []
        found = found or bool(files)
        kind = entry.name if entry.is_dir() else entry.stem
        if files and kind not in KINDS:
            form = "{}/" if entry.is_dir() else "{}.yaml"
            message = f"no kind of entity is called {kind!r}"
            document.leave_out(Fault(Place(entry), "", message, _closest_file(kind, form)))
            continue
        for file in files:
            if (composed := _compose(document, file)) is None:
                continue
            root, loader = composed
            if entry.is_dir():
                _entity(document, file, root, kind, loader)
            else:
                _kind(document, file, root, kind, loader)
    if not found:
        raise ConfigurationError(f"{folder}: no YAML file is in this folder; {SETTING}")
    for kind in KINDS:
        document.data.setdefault(kind, [])


def _kind(document: Document, file: Path, root: yaml.Node, kind: str, loader: yaml.SafeLoader) -> None:
    if isinstance(root, yaml.MappingNode):
        names = [str(key.value) for key, _ in root.value]
        if names != [kind]:
            message = f"a list of {kind} is expected, or a mapping with the one key {kind}"
            document.leave_out(Fault(place(file, root), ", ".join(names), message))
            return
        ((_, root),) = root.value
    _entities(document, file, root, kind, loader)


def _entities(document: Document, file: Path, node: yaml.Node, kind: str, loader: yaml.SafeLoader) -> None:
    document.places.setdefault((kind,), place(file, node))
    entities = document.data.setdefault(kind, [])
    if isinstance(node, yaml.SequenceNode) and node.tag == SEQUENCE:
        for position, item in enumerate(node.value):
            index = len(entities)
            document.titles[(kind, index)] = f"{kind}[{position}]{_label(item, kind)}"
            entities.append(document.add(file, item, (kind, index), loader))
    elif node.tag != "tag:yaml.org,2002:null":  # a key with everything below it in comments
        message = f"a list of {kind} is expected, not {_what(node)}"
        document.leave_out(Fault(place(file, node), kind, message, "each begins with a dash"))


def _entity(document: Document, file: Path, root: yaml.Node, kind: str, loader: yaml.SafeLoader) -> None:
    if not isinstance(root, yaml.MappingNode):
        message = f"one {kind[:-1]} is expected, a mapping, not {_what(root)}"
        document.leave_out(Fault(place(file, root), "", message, f"a list goes into {kind}.yaml"))
        return
    entities = document.data.setdefault(kind, [])
    index = len(entities)
    document.titles[(kind, index)] = f"{kind[:-1]}{_label(root, kind)}"
    entities.append(document.add(file, root, (kind, index), loader))


def _compose(document: Document, file: Path) -> tuple[yaml.Node, yaml.SafeLoader] | None:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        document.leave_out(Fault(Place(file), "", f"not UTF-8 at byte {error.start + 1}"))
        return None
    root, loader, faults = compose(file, text)
    document.faults.extend(faults)
    if root is not None:
        return root, loader
    document.incomplete = True
    if not faults:
        document.leave_out(Fault(Place(file), "", "nothing is written here"))
    return None


def _label(node: yaml.Node, kind: str) -> str:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == IDENTITY[kind] and isinstance(value, yaml.ScalarNode):
                return f' "{value.value}"'
    return ""


def _what(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "a single value"
    return {MAP: "a mapping", SEQUENCE: "a list"}.get(node.tag, f"a {node.tag.removeprefix('tag:yaml.org,2002:')}")


def _is_yaml(file: Path) -> bool:
    return file.suffix in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _closest_file(kind: str, form: str) -> str:
    if close := difflib.get_close_matches(kind, KINDS, 1):
        return f"did you mean {form.format(close[0])}?"
    return f"known: {', '.join(form.format(kind) for kind in KINDS)}"
