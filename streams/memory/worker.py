"""One owner of one partition of a stage, doing on the in-memory log what ``streams/engine`` does on Kafka, in the same
order. Its life is an iterator that stops at every :class:`Point`, so that a simulation can end it at any of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from schemas.topics import changelog
from streams.changelog import Entry, Restoration, Restored, entries_of, records_of
from streams.execution import Intent
from streams.lane import Lane, Step
from streams.memory.faults import Point
from streams.memory.log import FencedError, MemoryLog
from streams.stage import Context, Guarantee, Output, Stage
from streams.tables import milliseconds

SLICES = (1, 2, 5, 1000)


@dataclass(eq=False)
class MemoryWorker:
    """See the module. ``perform`` starts the effects of a step."""

    name: str
    stage: Stage[Any]
    partition: int
    log: MemoryLog
    context: Callable[[], Context]
    perform: Callable[[MemoryWorker, Sequence[Intent]], None]
    chance: Random
    lane: Lane | None = None
    abort_next: bool = False
    """The transaction in hand fails once."""
    stood_still: bool = False
    """The worker was frozen for longer than its session."""
    _read: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._changelog = changelog(self.stage.name).name
        self._topic_ids = {spec.name: spec.name for spec in self.stage.reads}  # no topic is made anew here
        self._exactly_once = self.stage.guarantee is Guarantee.EXACTLY_ONCE

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.stage.name

    @property
    def transactional_id(self) -> str:
        """The id that one partition's owners share, one after the other."""
        return f"{self.group}-{self.partition}"

    def live(self) -> Iterator[Point | None]:
        """Fence, restore, then step for ever; None when there is nothing to do for now.

        Raises:
            FencedError: another owner has taken over.
        """
        self._generation = self.log.join(self.group, self.partition)
        if self._exactly_once:
            self._epoch = self.log.fence(self.transactional_id)
        yield Point.FENCED
        restoration = Restoration(self.stage, self._topic_ids)
        for record in self.log.read(self._changelog, self.partition):
            restoration.take(record.key, record.value, record.timestamp)
            yield Point.RESTORING
        self.lane = lane = self.open_lane(restoration.finish())
        yield Point.RESTORED
        self._advance(lane, self._read)  # the group may be behind the changelog
        while True:
            self.check_awake()
            step = self._next_step(lane)
            if step is None:
                yield None
                continue
            yield Point.DECIDED
            self.check_awake()
            yield from self.write_transaction(step) if self._exactly_once else self.write_acknowledged(step)
            lane.commit(step)
            self._advance(lane, step.positions)
            yield Point.ADVANCED
            if step.intents:
                self.perform(self, step.intents)

    def open_lane(self, restored: Restored) -> Lane:
        """The lane, and where it reads on: the changelog knows, else the group."""
        ends = {spec.name: self.log.end(spec.name, self.partition) for spec in self.stage.reads}
        lane = Lane(self.stage, restored.tables, restored.positions, topic_ids=self._topic_ids, ends=ends)
        for spec in self.stage.reads:
            following = lane.next(spec.name)
            committed = self.log.position(self.group, spec.name, self.partition)
            self._read[spec.name] = committed if following is None else following
        return lane

    def write_transaction(self, step: Step) -> Iterator[Point]:
        """Changes, positions and outputs, all or none."""
        if not (step.outputs or step.changes or step.positions):
            return
        identity, at_ms = (self.transactional_id, self._epoch), milliseconds(step.at)
        while True:
            for key, value in self.transaction_records(step):
                self.log.write(*identity, self._changelog, key, value, (), self.partition, at_ms)
                yield Point.IN_TRANSACTION
            for output in step.outputs:
                self.log.write(*identity, output.topic, output.key, _bytes(output), output.headers)
                yield Point.IN_TRANSACTION
            yield Point.BEFORE_COMMIT
            if not self.abort_next:
                break
            self.abort_next = False
            self.log.abort(*identity)
        self.log.commit(*identity)
        yield Point.COMMITTED

    def transaction_records(self, step: Step) -> Iterator[Entry]:
        """What the transaction has for the changelog."""
        return records_of(step, self._topic_ids)

    def write_acknowledged(self, step: Step) -> Iterator[Point]:
        """Changes and outputs, in any order but that of a partition, all before the position advances."""
        at_ms = milliseconds(step.at)
        waiting: dict[tuple[str, int], deque[Callable[[], object]]] = {}
        for entry in entries_of(step):
            waiting.setdefault((self._changelog, self.partition), deque()).append(
                partial(self._write_change, *entry, at_ms)
            )
        for output in step.outputs:
            place = (output.topic, self.log.partition_of(output.topic, output.key))
            write = partial(self.log.append, output.topic, output.key, _bytes(output), output.headers, place[1])
            waiting.setdefault(place, deque()).append(write)
        while waiting:
            place = self.chance.choice(list(waiting))
            waiting[place].popleft()()
            if not waiting[place]:
                del waiting[place]
            yield Point.IN_WRITES
        if step.outputs or step.changes:
            yield Point.WRITES_ACKED

    def _write_change(self, key: bytes, value: bytes | None, at_ms: int) -> None:
        self.check_awake()
        self.log.append(self._changelog, key, value, (), self.partition, at_ms)

    def check_awake(self) -> None:
        """Nothing fences a deterministic stage: a worker that stood still finds that out by its own clock before it
        writes, and its producer drops a record that waited for so long. Its outputs may land late, being repeats.

        Raises:
            FencedError: it stood still, and may have a successor.
        """
        if self.stood_still and not self._exactly_once:
            raise FencedError(self.name)

    def _next_step(self, lane: Lane) -> Step | None:
        size = self.chance.choice(SLICES)
        if not lane.waiting:
            for spec in self.stage.reads:
                if records := self.log.read(spec.name, self.partition, self._read[spec.name], size):
                    self._read[spec.name] = records[-1].offset + 1
                    lane.put(records)
        return lane.step(self.context(), size)

    def _advance(self, lane: Lane, topics: Iterable[str]) -> None:
        for topic in topics:
            if (following := lane.next(topic)) is not None:
                self.log.advance(self.group, topic, self.partition, following, self._generation)


def _bytes(output: Output) -> bytes | None:
    return cast("bytes | None", output.value)  # a step's outputs are encoded
