"""An in-memory log with what Kafka's has that stages can tell: partitions by murmur2, transactions, fencing, positions.

A transaction's records take their offsets at once and are seen once it is committed; readers stop at the first open
transaction (the last stable offset). Markers take an offset in every partition written to and aborted records keep
theirs, so what is read has gaps.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka.partitioner import murmur2

from schemas.headers import Headers
from schemas.record import KafkaRecord
from schemas.topics import BY_NAME
from streams.tables import milliseconds


class FencedError(Exception):
    """Another owner has taken over: what this one still has in hand is no longer its own."""


@dataclass
class _Partition:
    slots: list[KafkaRecord | None] = field(default_factory=list)
    """By offset; None where a marker or an aborted record is."""
    open: dict[str, int] = field(default_factory=dict)
    """The first offset of each open transaction."""

    @property
    def stable(self) -> int:
        return min(self.open.values()) if self.open else len(self.slots)


@dataclass
class MemoryLog:
    """Topics, consumer groups' positions, and the transactional ids. Records without a key take turns."""

    partitions: int = 4
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    visible: Callable[[str, int], None] = lambda topic, partition: None
    """Told of a partition in which there may be more to read."""
    _topics: dict[str, dict[int, _Partition]] = field(default_factory=dict)
    _epochs: Counter[str] = field(default_factory=Counter)
    _open: dict[str, dict[tuple[str, int], list[int]]] = field(default_factory=dict)
    _generations: Counter[tuple[str, int]] = field(default_factory=Counter)
    _positions: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _turn: int = 0

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> KafkaRecord:
        """Write a record that is seen at once."""
        record = self._write(topic, key, value, headers, partition, timestamp_ms)
        self.visible(topic, record.partition)
        return record

    def read(self, topic: str, partition: int, offset: int = 0, limit: int = sys.maxsize) -> Sequence[KafkaRecord]:
        """Up to ``limit`` committed records from an offset, none behind an open transaction."""
        log = self._partition(topic, partition)
        found: list[KafkaRecord] = []
        for place in range(offset, log.stable):
            if (record := log.slots[place]) is not None:
                found.append(record)
                if len(found) == limit:
                    break
        return found

    def end(self, topic: str, partition: int) -> int:
        """The offset behind the last record, those of open transactions included."""
        return len(self._partition(topic, partition).slots)

    def records(self, topic: str) -> list[KafkaRecord]:
        """Every committed record of a topic."""
        return [record for partition in sorted(self._topics.get(topic, ())) for record in self.read(topic, partition)]

    def topics(self) -> list[str]:
        """The topics that were written to."""
        return sorted(self._topics)

    def partition_of(self, topic: str, key: bytes | None) -> int:
        """The partition that a key's records go to."""
        spec = BY_NAME.get(topic)
        if spec is not None and spec.single:
            return 0
        if key is None:
            self._turn += 1
            return self._turn % self.partitions
        return int(murmur2(key) & 0x7FFFFFFF) % self.partitions

    # Transactions

    def fence(self, transactional_id: str) -> int:
        """Take over an id: abort what its last owner left open, and end its right to write. Returns the new epoch."""
        self._end(transactional_id, commit=False)
        self._epochs[transactional_id] += 1
        return self._epochs[transactional_id]

    def write(
        self,
        transactional_id: str,
        epoch: int,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> KafkaRecord:
        """Add a record to the id's transaction, which begins with it.

        Raises:
            FencedError: a successor has the id.
        """
        self.check_epoch(transactional_id, epoch)
        record = self._write(topic, key, value, headers, partition, timestamp_ms)
        self._partition(topic, record.partition).open.setdefault(transactional_id, record.offset)
        written = self._open.setdefault(transactional_id, {})
        written.setdefault((topic, record.partition), []).append(record.offset)
        return record

    def commit(self, transactional_id: str, epoch: int) -> None:
        """Make the transaction's records seen.

        Raises:
            FencedError: a successor has the id, and the transaction is aborted.
        """
        self.check_epoch(transactional_id, epoch)
        self._end(transactional_id, commit=True)

    def abort(self, transactional_id: str, epoch: int) -> None:
        """Give the transaction up; another may begin.

        Raises:
            FencedError: a successor has the id.
        """
        self.check_epoch(transactional_id, epoch)
        self._end(transactional_id, commit=False)

    def check_epoch(self, transactional_id: str, epoch: int) -> None:
        """Raises:
        FencedError: a successor has the id.
        """
        if epoch != self._epochs[transactional_id]:
            raise FencedError(transactional_id)

    def _end(self, transactional_id: str, *, commit: bool) -> None:
        for (topic, partition), offsets in self._open.pop(transactional_id, {}).items():
            log = self._partition(topic, partition)
            if not commit:
                for offset in offsets:
                    log.slots[offset] = None
            del log.open[transactional_id]
            log.slots.append(None)
            self.visible(topic, partition)

    # Groups

    def join(self, group: str, partition: int) -> int:
        """Become the owner of a partition in a group. Returns the generation that its commits need."""
        self._generations[group, partition] += 1
        return self._generations[group, partition]

    def advance(self, group: str, topic: str, partition: int, offset: int, generation: int) -> None:
        """Commit a group's position.

        Raises:
            FencedError: the partition has another owner.
        """
        if generation != self._generations[group, partition]:
            raise FencedError(group)
        self._positions[group, topic, partition] = offset

    def position(self, group: str, topic: str, partition: int) -> int:
        """A group's committed position; 0 when there is none."""
        return self._positions.get((group, topic, partition), 0)

    def _partition(self, topic: str, partition: int) -> _Partition:
        partitions = self._topics.setdefault(topic, {})
        found = partitions.get(partition)
        if found is None:
            found = partitions[partition] = _Partition()
        return found

    def _write(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None,
        timestamp_ms: int | None,
    ) -> KafkaRecord:
        if partition is None:
            partition = self.partition_of(topic, key)
        if timestamp_ms is None:
            timestamp_ms = milliseconds(self.clock())
        slots = self._partition(topic, partition).slots
        record = KafkaRecord(topic, partition, len(slots), timestamp_ms, key, value, headers)
        slots.append(record)
        return record
