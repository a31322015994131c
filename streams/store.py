"""Where committed entries are: in memory here; beyond memory, an engine brings a store of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from streams.position import Position

if TYPE_CHECKING:  # a table knows its store, and the store only what a table is
    from streams.tables import Change, K, TableSpec, V

Restore = Callable[[bytes, bytes | None, int], None]
"""Takes over a table's changelog record: its key without the table's name, its value and its timestamp."""

REMOVED: Final = -1


class Store(Protocol):
    """The committed entries of one partition. Times are milliseconds since the epoch, by the stage's clock."""

    def get(self, spec: TableSpec[V, K], key: K) -> V | None:
        """The value under a key, or None."""
        ...

    def get_many(self, spec: TableSpec[V, K], keys: Sequence[K]) -> list[V | None]:
        """The values under keys, each or None."""
        ...

    def items(self, spec: TableSpec[V, K]) -> Iterator[tuple[K, V]]:
        """Every entry."""
        ...

    def apply(
        self,
        changes: Sequence[Change],
        at_ms: int,
        following: int | None = None,
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        """Make changes, all or none.

        A store that outlives its process keeps with them ``positions``, by topic, and ``following``: the changelog
        offset before which it then has every record. None is not known; it must never be too high.
        """
        ...

    def due(self, spec: TableSpec[Any, K], now_ms: int, limit: int) -> list[K]:
        """Keys of entries whose time is over, the longest first; none is told twice unless it is written again."""
        ...

    def size(self, spec: TableSpec[Any, Any]) -> int:
        """How many entries there are."""
        ...

    def oldest_ms(self, spec: TableSpec[Any, Any]) -> int | None:
        """No entry of a table with an expiry was written before this; None when there are none, or no expiry."""
        ...

    def close(self) -> None:
        """Let go of what the store holds. Nothing else may be asked of it then."""
        ...


class RestorableStore(Store, Protocol):
    """A store that a changelog can be read into."""

    def restorer(self, spec: TableSpec[Any, Any]) -> Restore:
        """What takes the records of a table."""
        ...

    def restored(self, following: int, positions: Mapping[bytes, bytes]) -> None:
        """All records before an offset are taken over; ``positions`` are those among them, as the changelog has
        them."""
        ...

    def stored_positions(self) -> Mapping[bytes, bytes]:
        """The positions that the store had when it was opened."""
        ...


class TimeIndex:
    """When the entries of a table are due, at a cost that does not grow with the table.

    A key is in the heap once, however often it is written: when its turn comes and it was written since, it goes back
    to its new time.
    """

    def __init__(self, expiry_ms: int) -> None:
        self._expiry_ms = expiry_ms
        self._written: dict[Any, int] = {}
        self._heap: list[tuple[int, int, Any]] = []
        self._order = count()  # keys of equal times need not be comparable

    def wrote(self, key: Any, at_ms: int) -> None:
        """An entry was written."""
        if key not in self._written:
            heapq.heappush(self._heap, (at_ms + self._expiry_ms, next(self._order), key))
        self._written[key] = at_ms

    def removed(self, key: Any) -> None:
        """An entry is gone; its place in the heap goes when its turn comes."""
        if key in self._written:
            self._written[key] = REMOVED

    def due(self, now_ms: int, limit: int) -> list[Any]:
        """Keys whose time is over."""
        found: list[Any] = []
        while self._heap and self._heap[0][0] <= now_ms and len(found) < limit:
            moment, _, key = heapq.heappop(self._heap)
            written = self._written.pop(key)
            if written == REMOVED:
                continue
            if written + self._expiry_ms > moment:
                self.wrote(key, written)
            else:
                found.append(key)
        return found

    def oldest_ms(self) -> int | None:
        """A time before which nothing was written."""
        while self._heap and self._written[self._heap[0][2]] == REMOVED:
            del self._written[heapq.heappop(self._heap)[2]]
        return self._heap[0][0] - self._expiry_ms if self._heap else None


class Encoded(bytes):
    """A value as its changelog has it, decoded when it is first asked for."""

    __slots__ = ()  # and so nothing that the cycle collector would look through, a million times over


class MemoryStore:
    """A dictionary for each table."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[Any, Any]] = {}
        self._indexes: dict[str, TimeIndex] = {}

    def get(self, spec: TableSpec[V, K], key: K) -> V | None:
        """See :class:`Store`."""
        table = self._tables.get(spec.name)
        if table is None:
            return None
        value: V | Encoded | None = table.get(key)
        if type(value) is Encoded:
            table[key] = value = spec.load(value)
        return value  # type: ignore[return-value]

    def get_many(self, spec: TableSpec[V, K], keys: Sequence[K]) -> list[V | None]:
        """See :class:`Store`."""
        table = self._tables.get(spec.name)
        if table is None:
            return [None] * len(keys)
        found: list[Any] = list(map(table.get, keys))
        if Encoded in set(map(type, found)):
            return [self.get(spec, key) for key in keys]
        return found

    def items(self, spec: TableSpec[V, K]) -> Iterator[tuple[K, V]]:
        """See :class:`Store`. The table must not be changed meanwhile."""
        for key, value in self._tables.get(spec.name, {}).items():
            yield key, spec.load(value) if type(value) is Encoded else value

    def apply(
        self,
        changes: Sequence[Change],
        at_ms: int,
        following: int | None = None,
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        """See :class:`Store`."""
        for change in changes:
            self._write(change.table, change.key, change.value, at_ms)

    def restorer(self, spec: TableSpec[Any, Any]) -> Restore:
        """See :class:`RestorableStore`."""
        table, load_key = self._tables.setdefault(spec.name, {}), spec.load_key
        index = None if spec.expiry_ms is None else self._indexes.setdefault(spec.name, TimeIndex(spec.expiry_ms))

        def restore(key: bytes, data: bytes | None, at_ms: int) -> None:
            name = load_key(key)
            if data is None:
                table.pop(name, None)
                if index is not None:
                    index.removed(name)
            else:
                table[name] = Encoded(data)
                if index is not None:
                    index.wrote(name, at_ms)

        return restore

    def restored(self, following: int, positions: Mapping[bytes, bytes]) -> None:
        """See :class:`RestorableStore`."""

    def stored_positions(self) -> Mapping[bytes, bytes]:
        """See :class:`RestorableStore`."""
        return {}

    def _write(self, spec: TableSpec[Any, Any], key: Any, value: Any, at_ms: int) -> None:
        table = self._tables.get(spec.name)
        if table is None:
            table = self._tables[spec.name] = {}
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
        if spec.expiry_ms is not None:
            index = self._indexes.get(spec.name)
            if index is None:
                index = self._indexes[spec.name] = TimeIndex(spec.expiry_ms)
            if value is None:
                index.removed(key)
            else:
                index.wrote(key, at_ms)

    def due(self, spec: TableSpec[Any, K], now_ms: int, limit: int) -> list[K]:
        """See :class:`Store`."""
        index = self._indexes.get(spec.name)
        return [] if index is None else index.due(now_ms, limit)

    def size(self, spec: TableSpec[Any, Any]) -> int:
        """See :class:`Store`."""
        return len(self._tables.get(spec.name, ()))

    def oldest_ms(self, spec: TableSpec[Any, Any]) -> int | None:
        """See :class:`Store`."""
        index = self._indexes.get(spec.name)
        return None if index is None else index.oldest_ms()

    def close(self) -> None:
        """See :class:`Store`."""
