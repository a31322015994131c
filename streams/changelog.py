"""The changelog of a lane: what a step writes there, and what a lane is restored from. No broker is needed for either.

A record is a table's entry under ``table:key``, or the position in an input topic under ``:topic@topic-id``: a topic
that was made anew has another id, and no position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.lane import Step
from streams.position import Position
from streams.stage import Stage
from streams.store import MemoryStore, RestorableStore
from streams.tables import Tables

Entry = tuple[bytes, bytes | None]
"""Key and value of a changelog record; a value of None is a tombstone."""


def entries_of(step: Step) -> Iterator[Entry]:
    """The changes of a step, leases included: all that a deterministic stage writes."""
    for change in step.changes:
        yield change.table.dump_key(change.key), change.encoded()


def records_of(step: Step, topic_ids: Mapping[str, str]) -> Iterator[Entry]:
    """The changes and the positions of a step: what an exactly-once stage writes."""
    yield from entries_of(step)
    for topic, position in step.positions.items():
        yield position_key(topic, topic_ids), position.dump()


def position_key(topic: str, topic_ids: Mapping[str, str]) -> bytes:
    """The key that a topic's position has."""
    return f":{topic}@{topic_ids[topic]}".encode()


@dataclass
class Restored:
    """What a lane starts from."""

    tables: Tables
    positions: dict[str, Position] = field(default_factory=dict)
    records: int = 0
    unknown: int = 0
    """Records of tables that the stage no longer has, and positions in topics that were made anew."""
    seconds: float = 0.0
    following: int | None = None
    """The changelog offset before which the store has every record; None when the store does not keep it."""


class Restoration:
    """Takes the records of one partition of a stage's changelog, in order, then gives its tables and positions."""

    def __init__(self, stage: Stage[Any], topic_ids: Mapping[str, str], store: RestorableStore | None = None) -> None:
        self._stage = stage
        self._store = store = MemoryStore() if store is None else store
        self._restorers = {spec.name.encode(): store.restorer(spec) for spec in stage.stored_tables}
        self._topics = {position_key(spec.name, topic_ids): spec.name for spec in stage.reads}
        self._positions = {key: data for key, data in store.stored_positions().items() if key in self._topics}
        self._records = self._unknown = 0

    def take(self, address: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Take over one record."""
        self.take_all([(address, value, timestamp_ms)])

    def take_all(self, records: Sequence[tuple[bytes | None, bytes | None, int]], following: int | None = None) -> None:
        """Take over records, each with its timestamp. ``following`` is the offset behind them."""
        positions: dict[bytes, bytes] = {}
        restorers = self._restorers
        for address, value, timestamp_ms in records:
            table, _, key = (address or b"").partition(b":")
            restore = restorers.get(table)
            if restore is not None:
                restore(key, value, timestamp_ms)
            elif address in self._topics and value is not None:
                positions[address] = value
            else:
                self._unknown += 1
        self._records += len(records)
        self._positions |= positions
        if following is not None:
            self._store.restored(following, positions)

    def finish(self) -> Restored:
        """All records are taken: fill the derived tables too."""
        tables = Tables(self._store)
        self._stage.rebuild(tables)
        tables.commit()
        positions = {self._topics[key]: Position.load(data) for key, data in self._positions.items()}
        return Restored(tables, positions, self._records, self._unknown)
