"""``leadline config check|show|diff|schema|example``: the configuration as files, and beside what is in force."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from connectors.config_file import ConfigurationError, LoadedConfiguration
from leadline import changes_display, environment, releases
from leadline.errors import CommandError
from leadline.stack.files import example_file, write_atomically
from schemas.config.changes import changes
from schemas.config.json_schema import editor_schema
from schemas.config.lint import lint
from schemas.config.placeholders import WrittenRelease
from schemas.config.release import IDENTITY, Configuration
from schemas.config.trap import Finding, Severity

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
HASH = re.compile(r"[0-9a-f]{4,16}")
REQUIRED = {kind for kind, field in Configuration.model_fields.items() if field.is_required()}
"""Kinds that are written even when there are none of them."""


def check(
    path: Path | None = None, /, *, strict: Annotated[bool, Parameter(negative="")] = False, as_json: AsJson = False
) -> None:
    """Find every fault in a configuration, each with its file, line and field, and warn of traps.

    For example `leadline config check deploy/config/minimal.yaml`, or `leadline config check --strict config/` before
    a merge. Exit code 0 when it can be used, 1 when not.

    Parameters
    ----------
    path:
        A YAML file, or a folder with verticals.yaml, buyers.yaml, campaigns.yaml, or with a folder for each kind and a
        file for each entity. LEADLINE_CONFIG by default.
    strict:
        Exit code 1 on warnings too.
    as_json:
        Print JSON for scripts.
    """
    path = _path(path)
    try:
        loaded = _load(path)
    except ConfigurationError as error:
        if as_json:
            faults = [fault.as_dict() for fault in error.faults] or [{"message": str(error)}]
            print(json.dumps({"path": str(path), "release": None, "errors": faults, "findings": []}, indent=2))
        else:
            Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        sys.exit(1)
    findings = lint(loaded.configuration)
    warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    if as_json:
        _print_findings_json(path, loaded)
    else:
        console = Console(soft_wrap=True)
        print_findings(console, path, loaded, findings)
        console.print(_summary(path, loaded, warnings), highlight=False)
    if strict and warnings:
        sys.exit(1)


def print_findings(console: Console, path: Path, loaded: LoadedConfiguration, findings: Iterable[Finding]) -> None:
    """What the linter has to say, each with its place."""
    for finding in findings:
        trap, line = finding.trap, Text()
        place = loaded.place_of(trap.kind, trap.id, trap.field)
        line.append(f"{place or path}: ")
        line.append(f"{finding.severity} ", "yellow" if finding.severity is Severity.WARNING else "cyan")
        line.append(f"{finding.code}: {_about(trap.kind, trap.id)}{trap.message}")
        line.append(f" ({trap.hint})" if trap.hint else "", "dim")
        console.print(line)


def show(
    path: Path | None = None,
    kind: str | None = None,
    name: str | None = None,
    /,
    *,
    release: str | None = None,
    in_force: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a configuration as it is understood: settings at their defaults, the release's hash.

    For example `leadline config show config/ campaigns sunpath-west`, or `leadline config show --in-force campaigns`.
    Of a file it shows what the variables stand for, secrets too; of a release, where each worker fills them in itself,
    ${NAME} as it is written.

    Parameters
    ----------
    path:
        A YAML file or a folder; LEADLINE_CONFIG by default. Left out with --release and --in-force.
    kind:
        Only verticals, buyers, campaigns or another kind.
    name:
        Only the one of this id or name.
    release:
        A release that is or was in force, by its hash or the first digits of it.
    in_force:
        The release in force.
    as_json:
        Print JSON for scripts.
    """
    if release is not None or in_force:
        if name is not None:
            raise CommandError(f"{path} is a file, and a release was asked for.", "Leave one of them out.")
        history = releases.history_of(environment.kafka_of(environment.settings()))
        shown = releases.named(history, release) if release is not None else releases.in_force(history)
        versions, hash_, where = shown.entities, shown.release, f"release {shown.release}"
        kind, name = None if path is None else str(path), kind
    else:
        path = _path(path)
        configuration = _load(path).configuration
        versions, hash_, where = configuration.entities, configuration.release, str(path)
    entities: dict[str, list[Any]] = {each: [] for each in IDENTITY}
    for version in versions.values():
        entities[version.kind].append(version.content)
    if kind is not None and kind not in IDENTITY:
        raise CommandError(f"No kind of entity is called {kind}.", f"Known: {', '.join(IDENTITY)}.")
    selected = {each: found for each, found in entities.items() if (found or each in REQUIRED) and kind in (None, each)}
    if kind is not None and name is not None:
        if (kind, name) not in versions:
            known = ", ".join(entity[IDENTITY[kind]] for entity in entities[kind])
            raise CommandError(f"{where}: no {kind[:-1]} is called {name}.", f"Known {kind}: {known or 'none'}.")
        selected = {kind: [versions[kind, name].content]}
    if as_json:
        print(json.dumps({"release": hash_, **selected}, indent=2, ensure_ascii=False))
        return
    print(f"# release {hash_}")
    print(yaml.safe_dump(selected, sort_keys=False, allow_unicode=True, width=120), end="")


def diff(old: str | None = None, new: str | None = None, /, *, as_json: AsJson = False) -> None:
    """Show what differs between two configurations, entity by entity and field by field.

    For example `leadline config diff config.yaml next.yaml`, or `leadline config diff next.yaml` for what it would
    change of the release in force. Where and in which order things are written makes no difference. Exit code 0 when
    nothing differs, 1 when something does, 2 when one of them cannot be used.

    Parameters
    ----------
    old:
        A YAML file, a folder, or the hash of a release; the release in force when there is only one.
    new:
        Another one; LEADLINE_CONFIG by default.
    as_json:
        Print JSON for scripts.
    """
    if new is None:
        old, new = None, old
    try:
        before, after = _side(old, default_in_force=True), _side(new)
    except ConfigurationError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        sys.exit(2)
    except CommandError as error:
        Console(stderr=True).print(f"{error.message}\n{error.hint}", style="red", highlight=False, markup=False)
        sys.exit(2)
    found = changes(before, after)
    if as_json:
        hashes = {"before": before.release, "after": after.release}
        print(json.dumps({"release": hashes, "changes": [changes_display.as_json(c) for c in found]}, indent=2))
    else:
        changes_display.print_changes(Console(soft_wrap=True), before.release, after.release, found)
    if found:
        sys.exit(1)


def schema(*, output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None) -> None:
    """Print the JSON Schema of a configuration file, with which an editor completes and checks while you type.

    For example `leadline config schema --output schema.json`, and as the first line of the YAML file beside it:
    `# yaml-language-server: $schema=schema.json`.

    Parameters
    ----------
    output:
        The file to write; standard output by default.
    """
    text = json.dumps(editor_schema(), indent=2) + "\n"
    if output is None:
        print(text, end="")
        return
    try:
        write_atomically(output, text)
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror}.", "Choose another --output.") from None
    Console(soft_wrap=True).print(f"Written: {output}", highlight=False, markup=False)


def example(name: Literal["minimal", "reference"] = "minimal", /) -> None:
    """Print a configuration to start from: the smallest one that works, or every setting with a comment.

    For example `leadline config example > config.yaml`, then `leadline config check config.yaml`.

    Parameters
    ----------
    name:
        minimal or reference.
    """
    print(example_file(f"{name}.yaml").read_text(encoding="utf-8"), end="")


def _side(name: str | None, *, default_in_force: bool = False) -> WrittenRelease:
    if name is not None and (Path(name).exists() or not HASH.fullmatch(name)):
        return _load(Path(name)).written
    if name is None and not default_in_force:
        return _load(_path(None)).written
    history = releases.history_of(environment.kafka_of(environment.settings()))
    return releases.in_force(history) if name is None else releases.named(history, name)


def _path(path: Path | None) -> Path:
    return path or releases.path_of(environment.settings())


def _load(path: Path) -> LoadedConfiguration:
    return releases.load_file(environment.settings(), path)


def _about(kind: str, id: str | None) -> str:  # noqa: A002
    return f"{kind[:-1]} {id}: " if id is not None else ""


def _summary(path: Path, loaded: LoadedConfiguration, warnings: int) -> Text:
    configuration = loaded.configuration
    numbers = {kind.replace("_", " "): len(getattr(configuration, kind)) for kind in IDENTITY}
    told = {kind: number for kind, number in numbers.items() if number or kind in REQUIRED}
    counts = ", ".join(f"{number} {kind[:-1] if number == 1 else kind}" for kind, number in told.items())
    text = Text(f"{path}: {counts}; release {configuration.release}; ")
    if warnings:
        return text.append(f"{warnings} warning{'s' if warnings > 1 else ''}", "yellow")
    return text.append("no warnings", "green")


def _print_findings_json(path: Path, loaded: LoadedConfiguration) -> None:
    findings = []
    for finding in lint(loaded.configuration):
        trap = finding.trap
        place = loaded.place_of(trap.kind, trap.id, trap.field)
        where = {"file": str(place.file), "line": place.line, "column": place.column} if place is not None else {}
        about = {"kind": trap.kind, "id": trap.id, "field": trap.field, "message": trap.message, "hint": trap.hint}
        findings.append({"code": finding.code, "severity": finding.severity.value} | where | about)
    document = {"path": str(path), "release": loaded.configuration.release, "errors": [], "findings": findings}
    print(json.dumps(document, indent=2))
