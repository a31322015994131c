"""A store beyond memory: one RocksDB database for the tables of one partition.

What is in it (a table's name holds no colon, so the parts are told apart):

- ``e<table>:<key>``: an entry as the changelog has it. Where the table has an expiry, two times are in front: when the
  entry was written, and when its place in the time index is due.
- ``t<table>:<due><key>``: the time index. An entry is in it exactly once, however often it is written: when its turn
  comes and it was written since, it moves.
- ``p<address>``: a position, under the address that it has in the changelog.
- ``m``: the :class:`Mark`.

Every write is one batch with its mark, so whatever a crash leaves is a state that was, and its mark is true of it.
"""

from __future__ import annotations

import heapq
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Final

from connectors.rocksdb.database import Batch, Database
from streams.position import Position
from streams.store import Encoded, MemoryStore, Restore
from streams.tables import Change, K, TableSpec, V

TIMES: Final = struct.Struct(">QQ")
DUE: Final = struct.Struct(">Q")
MARK: Final = b"m"
NEVER: Final = 2**64 - 1
CACHED_ENTRIES: Final = 20_000
PLACES_PER_CHUNK: Final = 100
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a database has come. ``following`` is the changelog offset before which it has every record, and
    ``complete_ms`` the wall time at which that was all there is, 0 for never; ``sizes`` are by table."""

    changelog_id: str
    layout: dict[str, int | None]
    following: int | None = None
    complete_ms: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def dump(self) -> bytes:
        """As the database keeps it."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


def read_mark(database: Database) -> Mark | None:
    """A database's mark; None when it has none, or one of another format."""
    data = database.get(MARK)
    fields = {} if data is None else json.loads(data)
    return Mark(**fields) if fields.get("format") == FORMAT else None


def layout_of(specs: Sequence[TableSpec[Any, Any]]) -> dict[str, int | None]:
    """What a database of these tables looks like: the time index follows from the expiry."""
    return {spec.name: spec.expiry_ms for spec in specs if not spec.derived}


class _Entry:
    """What is known of a key: its value (None: no entry) and when its place in the time index is due."""

    __slots__ = ("due", "value")

    def __init__(self, value: Any, due: int) -> None:
        self.value = value
        self.due = due


_ABSENT: Final = _Entry(None, 0)


class _Table:
    """A table's part of the database."""

    def __init__(self, spec: TableSpec[Any, Any], size: int) -> None:
        self.spec = spec
        self.expiry_ms = spec.expiry_ms
        name = spec.name.encode()
        self.entries = b"e" + name + b":"
        self.entries_end = b"e" + name + b";"
        self.index = b"t" + name + b":"
        self.index_end = b"t" + name + b";"
        self._name_bytes = len(name) + 1
        self.size = size
        self.front = 0
        """Nothing in the time index that is still to be told is due before this. Seeking here passes over what
        RocksDB keeps of removed keys until it compacts."""
        self.told: set[tuple[int, bytes]] = set()
        """What :meth:`PersistentStore.due` has told and nobody has removed or written yet."""

    def dump_key(self, key: Any) -> bytes:
        return self.spec.dump_key(key)[self._name_bytes :]

    def load(self, raw: bytes | None) -> _Entry:
        if raw is None:
            return _ABSENT
        if self.expiry_ms is None:
            return _Entry(Encoded(raw), 0)
        return _Entry(Encoded(raw[TIMES.size :]), TIMES.unpack_from(raw)[1])

    def write(self, batch: Batch, key: bytes, known: _Entry, data: bytes | None, at_ms: int) -> int:
        """Put or remove an entry; returns when its place in the time index is due."""
        present, due = known.value is not None, known.due
        if data is None:
            if present:
                self.size -= 1
                batch.delete(self.entries + key)
                if self.expiry_ms is not None:
                    self._disarm(batch, key, due)
            return 0
        self.size += not present
        if self.expiry_ms is None:
            batch.put(self.entries + key, data)
            return 0
        if not present or (due, key) in self.told:
            if present:
                self._disarm(batch, key, due)
            due = at_ms + self.expiry_ms
            self._arm(batch, key, due)
        batch.put(self.entries + key, TIMES.pack(at_ms, due) + data)
        return due

    def move(self, batch: Batch, key: bytes, raw: bytes, due: int, to: int) -> bytes:
        """Give an entry that was written since another place in the time index; returns the entry with it."""
        self._disarm(batch, key, due)
        self._arm(batch, key, to)
        raw = raw[: DUE.size] + DUE.pack(to) + raw[TIMES.size :]
        batch.put(self.entries + key, raw)
        return raw

    def places(self, database: Database) -> Iterator[tuple[int, bytes, bytes]]:
        """The time index from its front on: when an entry's turn comes, its key, and room for the entry."""
        for place, _ in database.scan(self.index + DUE.pack(self.front), self.index_end, PLACES_PER_CHUNK):
            yield DUE.unpack_from(place, len(self.index))[0], place[len(self.index) + DUE.size :], b""

    def _arm(self, batch: Batch, key: bytes, due: int) -> None:
        batch.put(self.index + DUE.pack(due) + key, b"")
        self.front = min(self.front, due)

    def _disarm(self, batch: Batch, key: bytes, due: int) -> None:
        batch.delete(self.index + DUE.pack(due) + key)
        self.told.discard((due, key))


class PersistentStore:
    """See the module and :class:`streams.store.Store`. It has the database for itself.

    ``position_keys`` are changelog addresses by topic, for a stage that has its positions there. Derived tables are in
    memory.
    """

    def __init__(
        self,
        database: Database,
        specs: Sequence[TableSpec[Any, Any]],
        mark: Mark,
        position_keys: Mapping[str, bytes],
        *,
        cached: int = CACHED_ENTRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._mark = mark
        self._position_keys = position_keys
        self._clock = clock
        self._derived = MemoryStore()
        self._tables = {spec: _Table(spec, mark.sizes.get(spec.name, 0)) for spec in specs if not spec.derived}
        # Two generations: what is asked for comes into the young one, and the old one is dropped when that is half
        # full. A hit costs a look-up, and nothing else.
        self._half = max(1, cached // 2)
        self._young: dict[tuple[_Table, Any], _Entry] = {}
        self._old: dict[tuple[_Table, Any], _Entry] = {}
        self._pending: list[tuple[_Table, bytes, bytes | None, int]] = []
        self._anew = mark.following is None

    @property
    def following(self) -> int | None:
        """The changelog offset before which the store has every record; None when it has none."""
        return self._mark.following

    def get(self, spec: TableSpec[V, K], key: K) -> V | None:
        """See :class:`streams.store.Store`."""
        table = self._tables.get(spec)
        if table is None:
            return self._derived.get(spec, key)
        address = (table, key)
        entry = self._young.get(address)
        if entry is None:
            entry = self._old.get(address)
            if entry is None:
                entry = table.load(self._database.get(table.entries + table.dump_key(key)))
            self._young[address] = entry
        value: V | Encoded | None = entry.value
        if type(value) is Encoded:
            entry.value = value = spec.load(value)
        return value  # type: ignore[return-value]

    def get_many(self, spec: TableSpec[V, K], keys: Sequence[K]) -> list[V | None]:
        """See :class:`streams.store.Store`."""
        return [self.get(spec, key) for key in keys]

    def items(self, spec: TableSpec[V, K]) -> Iterator[tuple[K, V]]:
        """See :class:`streams.store.Store`."""
        table = self._tables.get(spec)
        if table is None:
            yield from self._derived.items(spec)
            return
        for address, raw in self._database.scan(table.entries, table.entries_end):
            yield spec.load_key(address[len(table.entries) :]), spec.load(table.load(raw).value)

    def apply(
        self,
        changes: Sequence[Change],
        at_ms: int,
        following: int | None = None,
        positions: Mapping[str, Position] | None = None,
    ) -> None:
        """See :class:`streams.store.Store`."""
        batch = Batch()
        stored = [change for change in changes if not change.table.derived]
        if len(stored) < len(changes):
            self._derived.apply([change for change in changes if change.table.derived], at_ms)
        self._load_unknown(stored)
        for change in stored:
            table, key = self._tables[change.table], change.key
            known = self._young.get((table, key)) or self._old[table, key]
            due = table.write(batch, table.dump_key(key), known, change.encoded(), at_ms)
            self._young[table, key] = _ABSENT if change.value is None else _Entry(change.value, due)
        for topic, position in (positions or {}).items():
            if (address := self._position_keys.get(topic)) is not None:
                batch.put(b"p" + address, position.dump())
        self._write(batch, following)
        self._forget_some()

    def due(self, spec: TableSpec[Any, K], now_ms: int, limit: int) -> list[K]:
        """See :class:`streams.store.Store`."""
        table = self._tables.get(spec)
        if table is None or table.expiry_ms is None or table.front > now_ms:
            return []
        found: list[K] = []
        batch, places = Batch(), table.places(self._database)
        upcoming, moved = [*islice(places, 1)], list[tuple[int, bytes, bytes]]()
        while len(found) < limit:
            turn = min(upcoming + moved[:1], default=(NEVER, b"", b""))
            if turn[0] > now_ms:
                break
            due, key, raw = turn
            if upcoming and turn is upcoming[0]:
                upcoming = [*islice(places, 1)]
                if (due, key) in table.told:
                    continue
                raw = self._database.get(table.entries + key) or b""
            else:
                heapq.heappop(moved)
            to = TIMES.unpack_from(raw)[0] + table.expiry_ms
            if to > due:
                raw = table.move(batch, key, raw, due, to)
                heapq.heappush(moved, (to, key, raw))
            else:
                table.told.add((due, key))
                found.append(spec.load_key(key))
            self._young[table, spec.load_key(key)] = table.load(raw)
        table.front = min(upcoming + moved[:1], default=(NEVER, b"", b""))[0]
        if len(batch):
            self._database.write(batch)
        return found

    def size(self, spec: TableSpec[Any, Any]) -> int:
        """See :class:`streams.store.Store`. It is counted as entries come and go."""
        table = self._tables.get(spec)
        return self._derived.size(spec) if table is None else table.size

    def oldest_ms(self, spec: TableSpec[Any, Any]) -> int | None:
        """See :class:`streams.store.Store`."""
        table = self._tables.get(spec)
        if table is None or table.expiry_ms is None:
            return None
        first = next(table.places(self._database), None)
        return None if first is None else first[0] - table.expiry_ms

    def restorer(self, spec: TableSpec[Any, Any]) -> Restore:
        """See :class:`streams.store.RestorableStore`."""
        table, append = self._tables[spec], self._pending.append
        return lambda key, data, at_ms: append((table, key, data, at_ms))

    def restored(self, following: int, positions: Mapping[bytes, bytes]) -> None:
        """See :class:`streams.store.RestorableStore`."""
        latest = {(table, key): (data, at_ms) for table, key, data, at_ms in self._pending}
        self._pending.clear()
        known = self._database.get_many([table.entries + key for table, key in latest])
        batch = Batch()
        for ((table, key), (data, at_ms)), raw in zip(latest.items(), known, strict=True):
            table.write(batch, key, table.load(raw), data, at_ms)
        for address, position in positions.items():
            batch.put(b"p" + address, position)
        # What is only begun is as old as it was: removals further on in the changelog may go before it is gone on with.
        # Restored from nothing, it is worth its log only as a whole.
        self._write(batch, following, complete_ms=self._mark.complete_ms, logged=not self._anew)

    def finish_restore(self, following: int) -> None:
        """All of the changelog before an offset is taken over: make it last."""
        self._write(Batch(), following, logged=not self._anew)
        if self._anew:
            self._database.flush()
            self._anew = False

    def stored_positions(self) -> Mapping[bytes, bytes]:
        """See :class:`streams.store.RestorableStore`."""
        return {address[1:]: data for address, data in self._database.scan(b"p", b"q")}

    def close(self) -> None:
        """See :class:`streams.store.Store`: flush, and let go of the files."""
        self._database.close()

    def _write(
        self, batch: Batch, following: int | None, *, complete_ms: int | None = None, logged: bool = True
    ) -> None:
        mark = replace(self._mark, sizes={table.spec.name: table.size for table in self._tables.values()})
        if following is not None:
            moment = round(self._clock() * 1000) if complete_ms is None else complete_ms
            mark = replace(mark, following=following, complete_ms=moment)
        if mark != self._mark:
            batch.put(MARK, mark.dump())
            self._mark = mark
        if len(batch):
            self._database.write(batch, logged=logged)

    def _load_unknown(self, changes: Sequence[Change]) -> None:
        young, old = self._young, self._old
        unknown = []
        for change in changes:
            address = (table := self._tables[change.table], change.key)
            if address not in young and address not in old:
                unknown.append((address, table.entries + table.dump_key(change.key)))
        for (address, _), raw in zip(unknown, self._database.get_many([key for _, key in unknown]), strict=True):
            young[address] = address[0].load(raw)

    def _forget_some(self) -> None:
        if len(self._young) > self._half:
            self._old, self._young = self._young, {}
