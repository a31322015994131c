"""What differs between two configurations, entity by entity and field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.config.placeholders import WrittenRelease
from schemas.config.release import IDENTITY, Configuration, EntityVersion


class _Absent:
    """Of a field that one side leaves out."""

    def __repr__(self) -> str:
        return "(left out)"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class FieldChange:
    """A field by its path, such as ``delivery.url``; :data:`ABSENT` on the side that leaves it out."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class EntityChange:
    """An entity of a kind such as ``campaigns``, with its content hashes (None where it is not) and what changed."""

    kind: str
    id: str
    change: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None
    fields: tuple[FieldChange, ...]


def changes(
    old: Configuration | WrittenRelease | None, new: Configuration | WrittenRelease
) -> tuple[EntityChange, ...]:
    """Every entity that differs, by kind and then by id; none where both are the same release. To None, which has
    nothing, everything is added."""
    olds: Mapping[tuple[str, str], EntityVersion] = {} if old is None else old.entities
    found = []
    for key in sorted(olds.keys() | new.entities.keys(), key=lambda key: (list(IDENTITY).index(key[0]), key[1])):
        before, after = olds.get(key), new.entities.get(key)
        if before is not None and after is not None:
            if before.hash != after.hash:
                fields = tuple(_fields("", before.content, after.content))
                found.append(EntityChange(*key, "changed", before.hash, after.hash, fields))
        elif before is not None:
            found.append(EntityChange(*key, "removed", before.hash, None, ()))
        elif after is not None:
            found.append(EntityChange(*key, "added", None, after.hash, ()))
    return tuple(found)


def _fields(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            yield from _fields(f"{path}.{name}" if path else name, before.get(name, ABSENT), after.get(name, ABSENT))
    elif before != after:
        # A part is known by its name where all have one, so that one put in between does not change those after it.
        olds, news = _by_name(before), _by_name(after)
        if olds is None or news is None:
            yield FieldChange(path, before, after)
            return
        named = [
            change
            for name in olds | news
            for change in _fields(f"{path}[{name}]", olds.get(name, ABSENT), news.get(name, ABSENT))
        ]
        yield from named or [FieldChange(path, list(olds), list(news))]  # the order alone


def _by_name(value: Any) -> dict[str, Any] | None:
    if value is ABSENT:
        return {}
    if not isinstance(value, list) or not all(isinstance(item, dict) and "name" in item for item in value):
        return None
    return {item["name"]: item for item in value}
