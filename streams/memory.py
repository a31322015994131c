"""The in-memory runner: the same stages on an in-memory log, for tests and what-if.

Records are encoded, keyed and partitioned as on Kafka, slices are run by the same code, and effects are performed by a
plain function, so a whole pipeline is one deterministic computation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from aiokafka.partitioner import murmur2

from schemas.headers import Headers
from schemas.record import KafkaRecord
from schemas.topics import BY_NAME
from streams.lane import Lane
from streams.stage import Context, Stage
from streams.tables import Tables

MAX_ROUNDS: Final = 100_000


@dataclass
class MemoryLog:
    """Topics as lists, partitioned by Kafka's murmur2; records without a key take turns."""

    partitions: int = 4
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    topics: defaultdict[str, dict[int, list[KafkaRecord]]] = field(default_factory=lambda: defaultdict(dict))
    _turn: int = 0

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> KafkaRecord:
        """Write a record."""
        partition = self._partition(topic, key)
        log = self.topics[topic].setdefault(partition, [])
        timestamp = round(self.clock().timestamp() * 1000)
        record = KafkaRecord(topic, partition, len(log), timestamp, key, value, headers)
        log.append(record)
        return record

    def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[KafkaRecord]:
        """Up to ``limit`` records from an offset."""
        return self.topics[topic].get(partition, [])[offset : offset + limit]

    def records(self, topic: str) -> list[KafkaRecord]:
        """Every record of a topic."""
        return [record for partition in sorted(self.topics[topic]) for record in self.topics[topic][partition]]

    def _partition(self, topic: str, key: bytes | None) -> int:
        spec = BY_NAME.get(topic)
        if spec is not None and spec.single:
            return 0
        if key is None:
            self._turn += 1
            return self._turn % self.partitions
        return int(murmur2(key) & 0x7FFFFFFF) % self.partitions


@dataclass
class MemoryRunner:
    """Runs stages on a log until nothing is left to do."""

    stages: Sequence[Stage[Any]]
    log: MemoryLog
    context: Callable[[], Context]
    perform: Callable[[Any], Any]
    slice_records: int = 100
    _lanes: dict[tuple[str, int], Lane] = field(default_factory=dict)
    _read: defaultdict[tuple[str, str, int], int] = field(default_factory=lambda: defaultdict(int))

    def run(self) -> None:
        """Process until every stage has read its inputs to the end.

        Raises:
            RuntimeError: the stages feed each other without end.
        """
        for _ in range(MAX_ROUNDS):
            rounds = [self._step(stage, p) for stage in self.stages for p in range(self.log.partitions)]
            if not any(rounds):
                return
        raise RuntimeError(f"the pipeline did not come to rest in {MAX_ROUNDS} rounds")

    def _step(self, stage: Stage[Any], partition: int) -> bool:
        lane = self._lanes.get((stage.name, partition))
        if lane is None:
            lane = self._lanes[stage.name, partition] = Lane(stage, Tables())
        for spec in stage.reads:
            place = (stage.name, spec.name, partition)
            if records := self.log.read(spec.name, partition, self._read[place], self.slice_records):
                lane.put(records)
                self._read[place] += len(records)
        step = lane.step(self.context(), self.slice_records)
        if step is None:
            return False
        lane.commit(step)
        for output in step.outputs:
            self.log.append(output.topic, output.key, cast("bytes | None", output.value), output.headers)
        for intent in step.intents:
            lane.give(intent, self.perform(intent.effect))
        return True
