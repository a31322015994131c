"""The changelog of a lane: what a step writes there, and what a lane is restored from. No broker is needed for either.

A record is a table's entry under ``table:key``, or the position in an input topic under ``:topic@topic-id``: a topic
that was made anew has another id, and no position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.lane import Step
from streams.position import Position
from streams.stage import Stage
from streams.store import MemoryStore
from streams.tables import Tables

Entry = tuple[bytes, bytes | None]
"""Key and value of a changelog record; a value of None is a tombstone."""


def entries_of(step: Step) -> Iterator[Entry]:
    """The changes of a step: all that a deterministic stage writes."""
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


class Restoration:
    """Takes the records of one partition of a stage's changelog, in order, then gives its tables and positions."""

    def __init__(self, stage: Stage[Any], topic_ids: Mapping[str, str]) -> None:
        self._stage = stage
        self._store = MemoryStore()
        self._restored = Restored(Tables(self._store))
        self._specs = {spec.name.encode(): spec for spec in stage.tables if not spec.derived}
        self._positions = {position_key(spec.name, topic_ids): spec.name for spec in stage.reads}

    def take(self, address: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        """Take over one record."""
        self._restored.records += 1
        address = address or b""
        table, _, key = address.partition(b":")
        if (spec := self._specs.get(table)) is not None:
            self._store.restore(spec, spec.load_key(key), value, timestamp_ms)
        elif address in self._positions and value is not None:
            self._restored.positions[self._positions[address]] = Position.load(value)
        else:
            self._restored.unknown += 1

    def finish(self) -> Restored:
        """All records are taken: fill the derived tables too."""
        self._stage.rebuild(self._restored.tables)
        self._restored.tables.commit()
        return self._restored
