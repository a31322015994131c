"""What a member has read and not inserted: by partition what waits and how far all is done, and the batches under way.

A partition is in one batch at a time, planned by this member or pending since another: until that is in the tables it
is *busy*, and what comes gathers.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Final

from schemas.record import KafkaRecord
from warehouse.sinking.abandoned import Abandoned
from warehouse.sinking.plans import Part, Partition, Pending, Plan

LONG_AGO_MS: Final = 0
"""When a batch is said to be planned of which the tables may have anything: its token proves nothing."""
ROW_BYTES: Final = 200
"""What a record is counted as beside what it holds."""


def size_of(record: KafkaRecord) -> int:
    """Bytes in memory, about."""
    _, _, _, _, key, value, headers = record
    size = ROW_BYTES
    if value:
        size += len(value)
    if key:
        size += len(key)
    if headers:
        size += sum([len(name) + len(content) for name, content in headers])
    return size


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A planned batch and this member's records of it, in (topic, partition, offset) order. ``fresh``: nobody can have
    inserted it before. ``oldest`` is the earliest timestamp of its partitions' first records."""

    pending: Pending
    records: tuple[KafkaRecord, ...]
    fresh: bool
    bytes: int = 0
    oldest: int | None = None
    abandoned: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, eq=False)
class _Buffer:
    """One partition. ``position``: below it all is read; ``done``: below it all is in the tables; ``committed``: what
    Kafka has. ``pending`` is the last offset of a pending batch, ``turn`` the number of the plan it was last in. Below
    ``known`` the tables may have records that are read again."""

    position: int
    done: int
    committed: int
    records: list[KafkaRecord] = field(default_factory=list)
    bytes: int = 0
    busy: bool = False
    known: int = 0
    pending: int = -1
    turn: int = 0

    def take(self, last: int) -> tuple[list[KafkaRecord], int]:
        """Take out what waits up to an offset, and its bytes."""
        records, size = self.records, self.bytes
        if not records or records[-1].offset <= last:
            self.records, self.bytes = [], 0
            return records, size
        end = bisect_right(records, last, key=attrgetter("offset"))
        taken, self.records = records[:end], records[end:]
        size = sum(map(size_of, taken))
        self.bytes -= size
        return taken, size


class Intake:
    """The partitions of one assignment."""

    def __init__(
        self,
        positions: Mapping[Partition, int],
        pending: Iterable[Pending] = (),
        committed: Mapping[Partition, int] | None = None,
        abandoned: Abandoned | None = None,
        known: Mapping[Partition, int] | None = None,
    ) -> None:
        """``pending`` are batches whose fate is not known. ``committed`` where that is below the positions: what is
        between is done with. ``abandoned`` is that of all its batches. ``known`` are offsets below which the tables may
        have what is read, though no commit says so: batches of that are planned as old ones are."""
        self.abandoned = Abandoned(math.inf) if abandoned is None else abandoned
        commits = positions if committed is None else committed
        known = {} if known is None else known
        # In a plan's order.
        self._buffers = {
            at: _Buffer(position, position, commits[at], known=known.get(at, 0))
            for at, position in sorted(positions.items())
        }
        self._pending = list(pending)
        self._awaited = {one.plan.batch: one.awaits for one in self._pending if one.awaits is not None}
        self._in_flight: set[Batch] = set()
        self._planned_at = float("-inf")
        self._turn = 0
        for part in (part for one in self._pending for part in one.parts):
            buffer = self._buffers[part.place]
            buffer.busy, buffer.pending = True, part.last

    @property
    def positions(self) -> dict[Partition, int]:
        """Below which everything is read."""
        return {at: buffer.position for at, buffer in self._buffers.items()}

    @property
    def rows(self) -> int:
        """How many records wait."""
        return sum(len(buffer.records) for buffer in self._buffers.values())

    @property
    def held(self) -> int:
        """Bytes in memory: what waits, and what is being inserted."""
        return sum(buffer.bytes for buffer in self._buffers.values()) + sum(batch.bytes for batch in self._in_flight)

    @property
    def oldest(self) -> int | None:
        """The earliest timestamp, in milliseconds, of what is in memory; by the first record of each partition."""
        found = [buffer.records[0].timestamp for buffer in self._buffers.values() if buffer.records]
        found += [batch.oldest for batch in self._in_flight if batch.oldest is not None]
        return min(found, default=None)

    @property
    def recovering(self) -> int:
        """How many batches there are whose fate is not known, and which are not all read or await another member."""
        return len(self._pending)

    @property
    def in_flight(self) -> Collection[Batch]:
        """The batches that are being inserted."""
        return self._in_flight

    @property
    def waits(self) -> bool:
        """Are there records for the next plan?"""
        return any(True for _ in self._idle())

    def add(self, record: KafkaRecord) -> None:
        """Take a record; one that was taken already, or is of no partition of this assignment, is left out."""
        topic, partition, offset, _, _, _, _ = record
        buffer = self._buffers.get((topic, partition))
        if buffer is None or offset < buffer.position:
            return
        buffer.position = offset + 1
        buffer.records.append(record)
        buffer.bytes += size_of(record)

    def reached_end(self, topic: str, partition: int, offset: int) -> None:
        """The log ends here for now: what is between the last record and this is none."""
        buffer = self._buffers.get((topic, partition))
        if buffer is not None and offset > buffer.position:
            buffer.position = offset

    def full(self, *, rows: int, size: int) -> set[Partition]:
        """The partitions in which so much waits, or so many bytes, but those that a pending batch has more of."""
        return {
            at
            for at, buffer in self._buffers.items()
            if (len(buffer.records) >= rows or buffer.bytes >= size) and buffer.position > buffer.pending
        }

    @property
    def awaited(self) -> Mapping[str, Partition]:
        """The batches that are first another member's, and the partition in which that one has its first part."""
        return self._awaited

    def go_on(self, batch: str) -> None:
        """The other member has settled it."""
        del self._awaited[batch]

    def recovered(self) -> list[Batch]:
        """The batches whose fate is not known, which are all read by now and await nobody."""
        ready = [
            one
            for one in self._pending
            if one.plan.batch not in self._awaited and all(self._of(part).position > part.last for part in one.parts)
        ]
        if ready:
            self._pending = [one for one in self._pending if one not in ready]
        return [self._fly(one, fresh=False) for one in ready]

    def due(self, now: float, *, rows: int, size: int, seconds: float) -> bool:
        """Is a batch to be planned? Of what is not busy, ``seconds`` after the last plan, or at so much."""
        idle = [buffer for _, buffer in self._idle()]
        return bool(idle) and (
            now - self._planned_at >= seconds
            or sum(len(buffer.records) for buffer in idle) >= rows
            or sum(buffer.bytes for buffer in idle) >= size
        )

    def plan(self, batch: str, at_ms: int, topic_ids: Mapping[str, str], *, rows: int, size: int) -> Plan:
        """The plan of what waits: whole partitions until it is so much, first those that were in no plan for longest
        and the small ones of them, so that what is far behind keeps nothing else waiting. Where tables may have some of
        it, it is a plan of long ago."""
        chosen: list[tuple[Partition, _Buffer]] = []
        for at, buffer in sorted(self._idle(), key=lambda found: (found[1].turn, len(found[1].records))):
            if rows <= 0 or size <= 0:
                break
            chosen.append((at, buffer))
            rows, size = rows - len(buffer.records), size - buffer.bytes
        if any(buffer.records[0].offset < buffer.known for _, buffer in chosen):
            at_ms = LONG_AGO_MS
        parts = [
            Part(topic, topic_ids[topic], partition, buffer.records[0].offset, buffer.records[-1].offset)
            for (topic, partition), buffer in chosen
        ]
        return Plan(batch, at_ms, tuple(sorted(parts, key=lambda part: part.place)))

    def begin(self, plan: Plan, now: float) -> Batch:
        """Kafka has the plan: take its records out."""
        self._planned_at = now
        self._turn += 1
        for part in plan.parts:
            buffer = self._of(part)
            buffer.committed = buffer.done = part.first
            buffer.busy, buffer.turn = True, self._turn
        return self._fly(Pending(plan, whole=True), fresh=plan.at_ms != LONG_AGO_MS)

    def finish(self, batch: Batch) -> bool:
        """A batch is in the tables. False: it is of an assignment before, and changes nothing."""
        if batch not in self._in_flight:
            return False
        self._in_flight.remove(batch)
        for part in batch.pending.parts:
            buffer = self._of(part)
            buffer.done, buffer.busy = part.last + 1, False
        return True

    def done(self) -> dict[Partition, int]:
        """The offset of each partition below which everything is in the tables, or no record."""
        for buffer in self._buffers.values():
            if not buffer.records and not buffer.busy:
                buffer.done = buffer.position
        return {at: buffer.done for at, buffer in self._buffers.items()}

    def unsettled(self) -> dict[Partition, int]:
        """The offsets that may be committed: all that is done and not committed, of partitions that are not busy."""
        found = self.done()
        return {
            at: found[at] for at, buffer in self._buffers.items() if not buffer.busy and buffer.done > buffer.committed
        }

    def settled(self, offsets: Mapping[Partition, int]) -> None:
        """Kafka has these commits."""
        for at, offset in offsets.items():
            self._buffers[at].committed = offset

    def _of(self, part: Part) -> _Buffer:
        return self._buffers[part.place]

    def _idle(self) -> Iterable[tuple[Partition, _Buffer]]:
        return ((at, buffer) for at, buffer in self._buffers.items() if buffer.records and not buffer.busy)

    def _fly(self, pending: Pending, *, fresh: bool) -> Batch:
        taken = [self._of(part).take(part.last) for part in pending.parts]
        records = tuple(chain.from_iterable(part for part, _ in taken))
        oldest = min((part[0].timestamp for part, _ in taken if part), default=None)
        batch = Batch(pending, records, fresh, sum(size for _, size in taken), oldest, self.abandoned)
        self._in_flight.add(batch)
        return batch
