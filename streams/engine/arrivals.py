"""What has arrived of a worker's partitions and waits for their lanes, to be cut into slices."""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.kafka.partition_reader import Batch, Place
from schemas.record import KafkaRecord

RECORDS_PER_SLICE: Final = 1000
BYTES_PER_SLICE: Final = 4 * 1024 * 1024
RECORDS_WAITING: Final = 4 * RECORDS_PER_SLICE
BYTES_WAITING: Final = 2 * BYTES_PER_SLICE
"""A partition with this much waiting is not read on: memory stays bounded when the stage is slow."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one partition in the order of their offsets. ``follows`` is the offset behind the slice before it,
    or where the reading began; None when that was the beginning of the log."""

    follows: int | None
    records: list[KafkaRecord]


@dataclass(slots=True)
class Waiting:
    """Records of one partition, and the bytes of their values."""

    records: list[KafkaRecord] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        """No more should come."""
        return len(self.records) >= RECORDS_WAITING or self.size >= BYTES_WAITING

    @property
    def enough(self) -> bool:
        """A lane has a whole slice to take."""
        return len(self.records) >= RECORDS_PER_SLICE or self.size >= BYTES_PER_SLICE

    def add(self, records: list[KafkaRecord]) -> None:
        """What has arrived behind them."""
        self.records += records
        self.size += _size(records)

    def take(self) -> list[KafkaRecord]:
        """The first of them, as many as make a slice."""
        count = _records_of_a_slice(self.records) if self.enough else len(self.records)
        taken, self.records = self.records[:count], self.records[count:]
        self.size -= _size(taken)
        return taken


class Arrivals:
    """Of one reading: ``offsets`` are where each partition is read from, None for the beginning of its log."""

    def __init__(self, offsets: Mapping[Place, int | None]) -> None:
        self.taken = dict(offsets)
        """The offset behind what lanes have taken."""
        self.paused: frozenset[Place] = frozenset()
        """Not to be read on, while others are."""
        self._arrived = dict(offsets)
        self._waiting: dict[Place, Waiting] = {}
        self._reached: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}

    @property
    def waiting(self) -> KeysView[Place]:
        """Partitions with records that wait."""
        return self._waiting.keys()

    def first(self, place: Place) -> KafkaRecord | None:
        """The oldest record that waits."""
        waiting = self._waiting.get(place)
        return waiting.records[0] if waiting else None

    def add(self, batch: Batch) -> None:
        """What a reader delivers."""
        for place, records in batch.records.items():
            self._waiting.setdefault(place, Waiting()).add(records)
            self._arrived[place] = records[-1].offset + 1
        self._reached.update(batch.reached)
        self._ends.update(batch.ends)

    def take(self, place: Place) -> Slice:
        """Cut a slice from what waits; it is empty when nothing does."""
        follows, waiting = self.taken.get(place), self._waiting.get(place)
        if waiting is None:
            return Slice(follows, [])
        records = waiting.take()
        if not waiting.records:
            del self._waiting[place]
        self.taken[place] = records[-1].offset + 1
        return Slice(follows, records)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def make_room(self) -> bool:
        """Whether to read on, with ``paused`` set anew.

        Nothing is read while a partition is full; but while others have nothing, it is left out instead, which costs
        what was fetched of it ahead. It stays so until a lane could take all that is left in one slice.
        """
        full = {place for place, waiting in self._waiting.items() if waiting.full}
        starving = bool(full) and self._arrived.keys() > self._waiting.keys()
        stay = {place for place in self.paused if place in self._waiting and self._waiting[place].enough}
        self.paused = frozenset(stay | full if starving else stay)
        return starving or not full

    def committable(self, place: Place, done: int) -> int:
        """The offset to commit when all records before ``done`` are: behind the last record of a partition there may be
        transaction markers, which are not to count as lag."""
        all_done = done == self._arrived.get(place) and place not in self._waiting
        return max(done, self._reached.get(place, 0)) if all_done else done

    def end(self, place: Place) -> int:
        """The end of a partition's log when it was last read from; 0 before."""
        return self._ends.get(place, 0)


def _size(records: list[KafkaRecord]) -> int:
    return sum(len(record.value or b"") for record in records)


def _records_of_a_slice(records: list[KafkaRecord]) -> int:
    size = 0
    for count, record in enumerate(records[:RECORDS_PER_SLICE]):
        size += len(record.value or b"")
        if size > BYTES_PER_SLICE and count:
            return count
    return min(len(records), RECORDS_PER_SLICE)
