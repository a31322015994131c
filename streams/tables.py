"""Tables: a stage's state, seen as mappings with an overlay for the slice at hand.

Writes stay in the overlay until :meth:`Tables.commit`, which the engine calls once the changelog has acknowledged them;
:meth:`Tables.rollback` forgets them. Keys are text; values are JSON of their type in the changelog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class TableSpec(Generic[V]):
    """A table's name and the type of its values. A ``derived`` table has no changelog: its stage rebuilds it.

    A spec is a constant and equals itself only: it is part of every key that a slice touches, and hashing its fields
    there would cost more than the look-up.
    """

    name: str
    value: type[V]
    derived: bool = False

    @cached_property
    def adapter(self) -> TypeAdapter[V]:
        """Reads and writes the values."""
        return TypeAdapter(self.value)

    def dump(self, value: V) -> bytes:
        """A value as the changelog keeps it."""
        return self.adapter.dump_json(value)

    def load(self, data: bytes) -> V:
        """A value from the changelog."""
        return self.adapter.validate_json(data)


@dataclass(frozen=True, slots=True)
class Change:
    """One changelog record; a value of None is a tombstone."""

    table: TableSpec[Any]
    key: str
    value: Any

    def encoded(self) -> bytes | None:
        """The record's value."""
        return None if self.value is None else self.table.dump(self.value)


@dataclass
class Tables:
    """The tables of one partition. Not for use by several tasks at once."""

    _committed: dict[str, dict[str, Any]] = field(default_factory=dict)
    _overlay: dict[tuple[TableSpec[Any], str], Any] = field(default_factory=dict)

    def __getitem__(self, spec: TableSpec[V]) -> Table[V]:
        return Table(spec, self._committed.setdefault(spec.name, {}), self._overlay)

    def changes(self) -> list[Change]:
        """What the overlay changes in tables that have a changelog, in order of first write."""
        return [Change(spec, key, value) for (spec, key), value in self._overlay.items() if not spec.derived]

    def commit(self) -> None:
        """Make the overlay's changes the tables' content."""
        for (spec, key), value in self._overlay.items():
            table = self._committed.setdefault(spec.name, {})
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        self._overlay.clear()

    def savepoint(self) -> dict[tuple[TableSpec[Any], str], Any]:
        """The overlay as it is now, for :meth:`rollback`."""
        return dict(self._overlay)

    def rollback(self, savepoint: dict[tuple[TableSpec[Any], str], Any] | None = None) -> None:
        """Forget what was written since the savepoint, or all of the overlay."""
        self._overlay.clear()
        self._overlay.update(savepoint or {})


@dataclass(frozen=True, slots=True)
class Table(Generic[V]):
    """One table through the overlay."""

    spec: TableSpec[V]
    _committed: dict[str, V]
    _overlay: dict[tuple[TableSpec[Any], str], Any]

    def get(self, key: str) -> V | None:
        """The value under a key, or None."""
        address = (self.spec, key)
        if address in self._overlay:
            value: V | None = self._overlay[address]
            return value
        return self._committed.get(key)

    def __setitem__(self, key: str, value: V) -> None:
        self._overlay[(self.spec, key)] = value

    def __delitem__(self, key: str) -> None:
        self._overlay[(self.spec, key)] = None

    def values(self) -> Iterator[V]:
        """Every value, the overlay's included."""
        for key, value in self._committed.items():
            if (self.spec, key) not in self._overlay:
                yield value
        for (spec, _), value in list(self._overlay.items()):  # the caller may write while it reads
            if spec == self.spec and value is not None:
                yield value
