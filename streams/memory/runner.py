"""The in-memory runner without faults: for tests and what-if.

Records are encoded, keyed and partitioned as on Kafka, slices are run by the same code, and effects are performed by a
plain function, so a whole pipeline is one deterministic computation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from streams.lane import Lane
from streams.memory.log import MemoryLog
from streams.stage import Context, Stage
from streams.tables import Tables

MAX_ROUNDS: Final = 100_000


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
        """Process until every stage has read its inputs to the end, tick once, and process what comes of that.

        Raises:
            RuntimeError: the stages feed each other without end.
        """
        self._rest()
        if self.tick():
            self._rest()

    def tick(self) -> bool:
        """Let every stage that ticks do so at the time it is now, and whether anything came of it; :meth:`run` goes on
        from there."""
        ticking = [stage for stage in self.stages if stage.tick_seconds is not None]
        places = [(stage, partition) for stage in ticking for partition in range(self.log.partitions)]
        for stage, partition in places:
            self._lane(stage, partition).expect_tick()
        steps = [self._step(stage, partition) for stage, partition in places]
        return any(steps)

    def _rest(self) -> None:
        for _ in range(MAX_ROUNDS):
            rounds = [self._step(stage, p) for stage in self.stages for p in range(self.log.partitions)]
            if not any(rounds):
                return
        raise RuntimeError(f"the pipeline did not come to rest in {MAX_ROUNDS} rounds")

    def _lane(self, stage: Stage[Any], partition: int) -> Lane:
        lane = self._lanes.get((stage.name, partition))
        if lane is None:
            lane = self._lanes[stage.name, partition] = Lane(stage, Tables())
        return lane

    def _step(self, stage: Stage[Any], partition: int) -> bool:
        lane = self._lane(stage, partition)
        for spec in stage.reads:
            place = (stage.name, spec.name, partition)
            if records := self.log.read(spec.name, partition, self._read[place], self.slice_records):
                lane.put(records)
                self._read[place] = records[-1].offset + 1
        step = lane.step(self.context(), self.slice_records)
        if step is None:
            return False
        lane.commit(step)
        for output in step.outputs:
            self.log.append(output.topic, output.key, cast("bytes | None", output.value), output.headers)
        for intent in step.intents:
            lane.give(intent, self.perform(intent.effect))
        return True
