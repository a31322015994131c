"""Tables: a stage's state, seen as mappings with an overlay for the step at hand.

Writes stay in the overlay until :meth:`Tables.commit`, which the engine calls once the changelog has them;
:meth:`Tables.rollback` forgets them. A key is text, bytes, an integer or a UUID; a value is JSON of its type in the
changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Generic, cast
from uuid import UUID

from pydantic import TypeAdapter
from typing_extensions import TypeVar

from streams.position import Position
from streams.store import MemoryStore, Store

V = TypeVar("V")
K = TypeVar("K", bound=Hashable, default=str)

EXPIRED_AT_ONCE: Final = 1000
"""Entries that one step removes at most, so that no step is long because many are due."""

_FROM_BYTES: Final[dict[type, Callable[[bytes], Any]]] = {
    bytes: bytes,
    str: bytes.decode,
    int: int,
    UUID: lambda data: UUID(data.decode()),
}


@dataclass(frozen=True, eq=False)
class TableSpec(Generic[V, K]):
    """A table's name, the types of its values and keys, and how long an entry lives after its last write.

    ``expiry`` must be longer than anything may still ask for the entry: a stage does not see whether an entry that is
    due has been removed already. A ``derived`` table has no changelog: its stage rebuilds it.

    A spec is a constant and equals itself only: it is part of every key that a slice touches, and hashing its fields
    there would cost more than the look-up.

    Raises:
        TypeError: keys of that type cannot be written.
        ValueError: the name is empty or holds a colon, or the table is derived and has an expiry.
    """

    name: str
    value: type[V]
    key: type[K] = str  # type: ignore[assignment]
    expiry: timedelta | None = None
    derived: bool = False

    def __post_init__(self) -> None:
        if self.key not in _FROM_BYTES:
            raise TypeError(f"a table's keys are str, bytes, int or UUID, not {self.key}")
        if not self.name or ":" in self.name:
            raise ValueError(f"{self.name!r} is no table's name")
        if self.derived and self.expiry is not None:
            raise ValueError(f"{self.name} is derived: its stage removes its entries")

    @cached_property
    def adapter(self) -> TypeAdapter[V]:
        """Reads and writes the values."""
        return TypeAdapter(self.value)

    @cached_property
    def expiry_ms(self) -> int | None:
        """The expiry in milliseconds."""
        return None if self.expiry is None else round(self.expiry.total_seconds() * 1000)

    def dump(self, value: V) -> bytes:
        """A value as the changelog keeps it."""
        return self.adapter.dump_json(value)

    def load(self, data: bytes) -> V:
        """A value from the changelog."""
        return self.adapter.validate_json(data)

    def dump_key(self, key: K) -> bytes:
        """A key as the changelog keeps it, behind the table's name."""
        return b"%b:%b" % (self.name.encode(), key if isinstance(key, bytes) else str(key).encode())

    @cached_property
    def load_key(self) -> Callable[[bytes], K]:
        """Reads a key from the part of the changelog's that is behind the table's name."""
        return cast("Callable[[bytes], K]", _FROM_BYTES[self.key])


@dataclass(frozen=True, slots=True)
class Change:
    """One entry as it shall be; a value of None removes it."""

    table: TableSpec[Any, Any]
    key: Any
    value: Any

    def encoded(self) -> bytes | None:
        """The changelog record's value; None is a tombstone."""
        return None if self.value is None else self.table.dump(self.value)


@dataclass
class Tables:
    """The tables of one partition. Not for use by several tasks at once."""

    store: Store = field(default_factory=MemoryStore)
    _overlay: dict[tuple[TableSpec[Any, Any], Any], Any] = field(default_factory=dict)

    def __getitem__(self, spec: TableSpec[V, K]) -> Table[V, K]:
        return Table(spec, self.store, self._overlay)

    @property
    def dirty(self) -> bool:
        """Whether anything is in the overlay."""
        return bool(self._overlay)

    def changes(self) -> list[Change]:
        """What the overlay changes in tables that have a changelog, in order of first write."""
        return [Change(spec, key, value) for (spec, key), value in self._overlay.items() if not spec.derived]

    def expire(self, specs: Sequence[TableSpec[Any, Any]], now: datetime) -> None:
        """Remove what is due, :data:`EXPIRED_AT_ONCE` entries of a table at most. Its cost is theirs, however large
        the table."""
        now_ms = milliseconds(now)
        for spec in specs:
            if spec.expiry is not None:
                for key in self.store.due(spec, now_ms, EXPIRED_AT_ONCE):
                    self._overlay.setdefault((spec, key), None)

    def commit(
        self,
        now: datetime | None = None,
        following: int | None = None,
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        """Make the overlay's changes the tables' content, as written at ``now``; the rest is as
        :meth:`streams.store.Store.apply` takes it."""
        at_ms = 0 if now is None else milliseconds(now)
        changes = [Change(spec, key, value) for (spec, key), value in self._overlay.items()]
        self.store.apply(changes, at_ms, following, positions)
        self._overlay.clear()

    def savepoint(self) -> dict[tuple[TableSpec[Any, Any], Any], Any]:
        """The overlay as it is now, for :meth:`rollback`."""
        return dict(self._overlay)

    def rollback(self, savepoint: dict[tuple[TableSpec[Any, Any], Any], Any] | None = None) -> None:
        """Forget what was written since the savepoint, or all of the overlay."""
        self._overlay.clear()
        self._overlay.update(savepoint or {})


@dataclass(frozen=True, slots=True)
class Table(Generic[V, K]):
    """One table through the overlay."""

    spec: TableSpec[V, K]
    _store: Store
    _overlay: dict[tuple[TableSpec[Any, Any], Any], Any]

    def get(self, key: K) -> V | None:
        """The value under a key, or None."""
        address = (self.spec, key)
        if address in self._overlay:
            value: V | None = self._overlay[address]
            return value
        return self._store.get(self.spec, key)

    def get_many(self, keys: Sequence[K]) -> list[V | None]:
        """The values under keys, each or None: as many :meth:`get`, at a fraction of the cost."""
        found = self._store.get_many(self.spec, keys)
        if overlay := self._overlay:
            spec = self.spec
            for place, key in enumerate(keys):
                if (spec, key) in overlay:
                    found[place] = overlay[spec, key]
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self._overlay[(self.spec, key)] = value

    def __delitem__(self, key: K) -> None:
        self._overlay[(self.spec, key)] = None

    def items(self) -> Iterator[tuple[K, V]]:
        """Every entry, the overlay's included."""
        for key, value in self._store.items(self.spec):
            if (self.spec, key) not in self._overlay:
                yield key, value
        for (spec, key), value in list(self._overlay.items()):  # the caller may write while it reads
            if spec == self.spec and value is not None:
                yield key, value

    def values(self) -> Iterator[V]:
        """Every value, the overlay's included."""
        return (value for _, value in self.items())


def milliseconds(moment: datetime) -> int:
    """A moment as Kafka counts time: milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)
