"""Tables that nobody restores: written at once, with a note of what was there before, and never expiring.

A step of a simulation has one record, so nearly every step goes through, and what it wrote need not wait anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, TypeVar

from streams.tables import Table, Tables, TableSpec

V = TypeVar("V")
K = TypeVar("K", bound=Hashable)

ABSENT: Final = object()

_Note = tuple[dict[Any, Any], Any, Any]
"""Rows, a key, and what was under it."""


class KeptTable(Table[V, K]):
    """One table of :class:`KeptTables`."""

    __slots__ = ("_notes", "_rows", "get")
    _rows: dict[K, V]
    _notes: list[_Note]
    get: Callable[[K], V | None]  # type: ignore[assignment]  # the dictionary's own, without a call in between

    def __init__(self, spec: TableSpec[V, K], rows: dict[K, V], notes: list[_Note]) -> None:
        object.__setattr__(self, "spec", spec)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_notes", notes)
        object.__setattr__(self, "get", rows.get)

    def get_many(self, keys: Sequence[K]) -> list[V | None]:
        return [*map(self._rows.get, keys)]

    def __setitem__(self, key: K, value: V) -> None:
        rows = self._rows
        self._notes.append((rows, key, rows.get(key, ABSENT)))
        rows[key] = value

    def __delitem__(self, key: K) -> None:
        rows = self._rows
        self._notes.append((rows, key, rows.pop(key, ABSENT)))

    def items(self) -> Iterator[tuple[K, V]]:
        return iter([*self._rows.items()])


class KeptTables(dict[TableSpec[Any, Any], KeptTable[Any, Any]], Tables):
    """The tables of one lane of a simulation: a dictionary, which makes a table when it is first asked for."""

    def __init__(self) -> None:
        Tables.__init__(self)
        self._notes: list[_Note] = []

    def __missing__(self, spec: TableSpec[Any, Any]) -> KeptTable[Any, Any]:
        table: KeptTable[Any, Any] = KeptTable(spec, {}, self._notes)
        self[spec] = table
        return table

    def keep(self) -> None:
        """Let stand what was written."""
        self._notes.clear()

    def undo(self) -> None:
        """Forget what was written since the last :meth:`keep`."""
        while self._notes:
            rows, key, before = self._notes.pop()
            if before is ABSENT:
                rows.pop(key, None)
            else:
                rows[key] = before
