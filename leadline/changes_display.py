"""Changes of the configuration on the terminal and as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from schemas.config.changes import ABSENT, EntityChange


def as_json(change: EntityChange) -> dict[str, Any]:
    """A change for scripts. A side that leaves a field out has no key of its own."""
    fields = [
        {"field": field.field}
        | ({} if field.before is ABSENT else {"before": field.before})
        | ({} if field.after is ABSENT else {"after": field.after})
        for field in change.fields
    ]
    hashes = {"before": change.before, "after": change.after}
    return {"kind": change.kind, "id": change.id, "change": change.change, "hash": hashes, "fields": fields}


def print_changes(console: Console, before: str | None, after: str, found: tuple[EntityChange, ...]) -> None:
    """What differs, a line each; ``before`` is None where nothing was."""
    if not found:
        console.print(f"No difference: both are release {before}.", highlight=False)
        return
    console.print(f"release {before or '(none)'} → {after}", highlight=False)
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
