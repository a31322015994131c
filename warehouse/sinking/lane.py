"""A lane in memory: what was read and is not inserted, the batch that is, and how far everything is done."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.record import KafkaRecord
from warehouse.sinking.plans import Part, Pending, Plan

ROW_BYTES: Final = 200
"""What a record is counted as beside its value."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A planned batch and its records, in (topic, offset) order. ``fresh``: nobody can have inserted it before."""

    lane: Lane
    pending: Pending
    records: tuple[KafkaRecord, ...]
    fresh: bool
    bytes: int = 0
    oldest: int | None = None
    """The earliest timestamp of its topics' first records."""
    abandoned: threading.Event = field(default_factory=threading.Event)


class Lane:
    """One partition number of all sunk topics."""

    def __init__(
        self,
        number: int,
        positions: Mapping[str, int],
        pending: list[Pending],
        committed: Mapping[str, int] | None = None,
    ) -> None:
        """``committed`` where that is below the positions: what is between is done with."""
        self.number = number
        self.rows = 0
        self.bytes = 0
        self.in_flight: Batch | None = None
        self.flushed_at = float("-inf")
        self.positions = dict(positions)
        """Below which everything is read."""
        self._committed = dict(positions if committed is None else committed)
        self._done = dict(positions)
        self._buffers: dict[str, list[KafkaRecord]] = {topic: [] for topic in sorted(positions)}
        self._pending = pending

    @property
    def held(self) -> int:
        """Bytes in memory: what waits, and what is being inserted."""
        return self.bytes + (0 if self.in_flight is None else self.in_flight.bytes)

    @property
    def oldest(self) -> int | None:
        """The earliest timestamp, in milliseconds, of what is in memory; by the first record of each topic."""
        found = [records[0].timestamp for records in self._buffers.values() if records]
        if self.in_flight is not None and self.in_flight.oldest is not None:
            found.append(self.in_flight.oldest)
        return min(found, default=None)

    @property
    def recovering(self) -> bool:
        """Is there a batch whose fate is not known?"""
        return bool(self._pending)

    def add(self, record: KafkaRecord) -> None:
        """Take a record; one that was taken already is left out."""
        topic, offset = record.topic, record.offset
        if offset < self.positions.get(topic, offset + 1):
            return
        self.positions[topic] = offset + 1
        self._buffers[topic].append(record)
        self.rows += 1
        self.bytes += ROW_BYTES + len(record.value or b"")

    def reached_end(self, topic: str, offset: int) -> None:
        """The log ends here for now: what is between the last record and this is none."""
        if offset > self.positions.get(topic, offset):
            self.positions[topic] = offset

    def wants(self, topic: str) -> bool:
        """Has the batch whose fate is not known records of this topic to come?"""
        return any(
            part.topic == topic and self.positions[topic] <= part.last
            for pending in self._pending
            for part in pending.plan.parts
        )

    def recovered(self) -> Batch | None:
        """The next batch whose fate is not known, once all of it is read."""
        if not self._pending or self.in_flight is not None:
            return None
        parts = self._pending[0].plan.parts
        if any(self.positions[part.topic] <= part.last for part in parts):
            return None
        pending = self._pending.pop(0)
        return self._fly(pending, [self._take(part.topic, part.last) for part in parts], fresh=False)

    def due(self, now: float, *, rows: int, size: int, seconds: float) -> bool:
        """Is a batch to be planned? An idle lane's is at once; a busy one gathers while an insert is under way."""
        if self._pending or self.in_flight is not None or not self.rows:
            return False
        return self.rows >= rows or self.bytes >= size or now - self.flushed_at >= seconds

    def plan(self, batch: str, at_ms: int, topic_ids: Mapping[str, str]) -> Plan:
        """The plan of all that waits."""
        return Plan(
            batch,
            at_ms,
            tuple(
                Part(topic, topic_ids[topic], self.number, records[0].offset, records[-1].offset)
                for topic, records in self._buffers.items()
                if records
            ),
        )

    def begin(self, plan: Plan) -> Batch:
        """Kafka has the plan: take its records out."""
        for part in plan.parts:
            self._committed[part.topic] = self._done[part.topic] = part.first
        return self._fly(Pending(plan, whole=True), [self._take(p.topic, p.last) for p in plan.parts], fresh=True)

    def finish(self, now: float) -> None:
        """The batch in flight is in the tables."""
        assert self.in_flight is not None  # noqa: S101  # only its batch calls this
        for part in self.in_flight.pending.plan.parts:
            self._done[part.topic] = part.last + 1
        self.in_flight, self.flushed_at = None, now

    def done(self) -> Mapping[str, int]:
        """The offset of each topic below which everything is in the tables, or no record."""
        busy = self._busy()
        for topic, records in self._buffers.items():
            if not records and topic not in busy:
                self._done[topic] = self.positions[topic]
        return self._done

    def unsettled(self) -> dict[str, int]:
        """The offsets that may be committed: all that is done and not committed, of topics that no batch is under way
        of."""
        busy = self._busy()
        return {t: offset for t, offset in self.done().items() if t not in busy and offset > self._committed[t]}

    def _busy(self) -> set[str]:
        under_way = [*self._pending, *([] if self.in_flight is None else [self.in_flight.pending])]
        return {part.topic for pending in under_way for part in pending.plan.parts}

    def settled(self, offsets: Mapping[str, int]) -> None:
        """Kafka has these commits."""
        self._committed.update(offsets)

    def _take(self, topic: str, last: int) -> list[KafkaRecord]:
        taken = [record for record in self._buffers[topic] if record.offset <= last]
        self._buffers[topic] = self._buffers[topic][len(taken) :]
        self.rows -= len(taken)
        self.bytes -= _bytes(taken)
        return taken

    def _fly(self, pending: Pending, parts: list[list[KafkaRecord]], *, fresh: bool) -> Batch:
        records = tuple(record for part in parts for record in part)
        oldest = min((part[0].timestamp for part in parts if part), default=None)
        self.in_flight = Batch(self, pending, records, fresh, _bytes(records), oldest)
        return self.in_flight


def _bytes(records: Sequence[KafkaRecord]) -> int:
    return sum(ROW_BYTES + len(record.value or b"") for record in records)
