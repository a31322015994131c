"""``leadline config check|show|diff|schema|example``: the configuration as files, without a cluster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from connectors.config_file import ConfigurationError, LoadedConfiguration, load
from leadline import environment
from leadline.errors import CommandError
from leadline.stack.files import example_file, local_file, write_atomically
from schemas.config.changes import ABSENT, EntityChange, changes
from schemas.config.json_schema import editor_schema
from schemas.config.lint import Severity, lint
from schemas.config.release import IDENTITY

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Kind = Literal["verticals", "buyers", "campaigns"]


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
        for finding in findings:
            trap, line = finding.trap, Text()
            place = loaded.place_of(trap.kind, trap.id, trap.field)
            line.append(f"{place or path}: ")
            line.append(f"{finding.severity} ", "yellow" if finding.severity is Severity.WARNING else "cyan")
            line.append(f"{finding.code}: {_about(trap.kind, trap.id)}{trap.message}")
            line.append(f" ({trap.hint})" if trap.hint else "", "dim")
            console.print(line)
        console.print(_summary(path, loaded, warnings), highlight=False)
    if strict and warnings:
        sys.exit(1)


def show(
    path: Path | None = None,
    kind: Kind | None = None,
    name: str | None = None,
    /,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a configuration as it is understood: variables filled in, settings at their defaults, the release's hash.

    For example `leadline config show config/ campaigns sunpath-west`. What it prints has the values of the variables in
    it, secrets too.

    Parameters
    ----------
    path:
        A YAML file or a folder; LEADLINE_CONFIG by default.
    kind:
        Only verticals, buyers or campaigns.
    name:
        Only the one of this id or name.
    as_json:
        Print JSON for scripts.
    """
    path = _path(path)
    loaded = _load(path)
    configuration = loaded.configuration
    entities = {kind: [v.content for v in configuration.entities.values() if v.kind == kind] for kind in IDENTITY}
    shown: dict[str, Any] = {each: found for each, found in entities.items() if kind in (None, each)}
    if kind is not None and name is not None:
        if (kind, name) not in configuration.entities:
            known = ", ".join(entity[IDENTITY[kind]] for entity in entities[kind])
            raise CommandError(f"{path}: no {kind[:-1]} is called {name}.", f"Known {kind}: {known or 'none'}.")
        version = configuration.entities[kind, name]
        shown = {kind: [version.content]}
    if as_json:
        print(json.dumps({"release": configuration.release, **shown}, indent=2, ensure_ascii=False))
        return
    print(f"# release {configuration.release}")
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120), end="")


def diff(old: Path, new: Path, /, *, as_json: AsJson = False) -> None:
    """Show what differs between two configurations, entity by entity and field by field.

    For example `leadline config diff config.yaml next/config.yaml`. Where and in which order things are written makes
    no difference. Exit code 0 when nothing differs, 1 when something does, 2 when one of them cannot be used.

    Parameters
    ----------
    old:
        A YAML file or a folder.
    new:
        Another one.
    as_json:
        Print JSON for scripts.
    """
    try:
        before, after = _load(old).configuration, _load(new).configuration
    except ConfigurationError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        sys.exit(2)
    found = changes(before, after)
    if as_json:
        releases = {"before": before.release, "after": after.release}
        print(json.dumps({"release": releases, "changes": [_change(change) for change in found]}, indent=2))
    else:
        _print_changes(before.release, after.release, found)
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


def _path(path: Path | None) -> Path:
    return path or environment.settings().config or local_file("config.yaml")


def _load(path: Path) -> LoadedConfiguration:
    settings = environment.settings()
    variables = dict(os.environ)
    # The demonstration's configuration can be looked at before its stack runs.
    variables.setdefault("LEADLINE_SANDBOX_URL", settings.sandbox_url or f"http://127.0.0.1:{settings.sandbox_port}")
    return load(path, variables)


def _about(kind: str, id: str | None) -> str:  # noqa: A002
    return f"{kind[:-1]} {id}: " if id is not None else ""


def _summary(path: Path, loaded: LoadedConfiguration, warnings: int) -> Text:
    configuration = loaded.configuration
    numbers = {kind: len(getattr(configuration, kind)) for kind in IDENTITY}
    counts = ", ".join(f"{number} {kind[:-1] if number == 1 else kind}" for kind, number in numbers.items())
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


def _change(change: EntityChange) -> dict[str, Any]:
    """A side that leaves the field out has no key of its own."""
    fields = [
        {"field": field.field}
        | ({} if field.before is ABSENT else {"before": field.before})
        | ({} if field.after is ABSENT else {"after": field.after})
        for field in change.fields
    ]
    hashes = {"before": change.before, "after": change.after}
    return {"kind": change.kind, "id": change.id, "change": change.change, "hash": hashes, "fields": fields}


def _print_changes(before: str, after: str, found: tuple[EntityChange, ...]) -> None:
    console = Console(soft_wrap=True)
    if not found:
        console.print(f"No difference: both are release {before}.", highlight=False)
        return
    console.print(f"release {before} → {after}", highlight=False)
    styles = {"added": "green", "removed": "red", "changed": "yellow"}
    for change in found:
        console.print(Text(f"{change.change} {change.kind[:-1]} {change.id}", styles[change.change]))
        for field in change.fields:
            console.print(Text(f"  {field.field}: {_moved(field.before, field.after)}"))


def _moved(before: Any, after: Any) -> str:
    if isinstance(before, list) and isinstance(after, list):
        olds, news = [_text(item) for item in before], [_text(item) for item in after]
        moves = [f"+{item}" for item in news if item not in olds] + [f"-{item}" for item in olds if item not in news]
        if moves:
            return " ".join(moves)
    return f"{_text(before)} → {_text(after)}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return repr(value) if value is ABSENT else json.dumps(_without_empty(value), ensure_ascii=False)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_empty(item) for name, item in value.items() if item not in (None, [], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
