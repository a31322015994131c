"""Ticks: what only time brings goes out as any other step does, once, and a tick that fails holds nothing up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from kit.builders import NOW, context

from schemas.record import KafkaRecord, Record
from schemas.topics import Key, TopicSpec
from streams.engine.lanes import Lanes
from streams.engine.metrics import WorkerMetrics
from streams.lane import Lane, Step
from streams.memory.faults import Faults
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.memory.simulation import Clock, Simulation
from streams.stage import Context, Guarantee, Output, Stage
from streams.tables import Tables, TableSpec

IN, OUT = "letters", "released"
HELD = TableSpec("held", str)
HOLD = timedelta(seconds=30)


class Hold(Stage[Any]):
    """Holds each record for half a minute."""

    name = "hold"
    reads = (TopicSpec(IN, Key.ANY, "to hold"),)
    writes = (TopicSpec(OUT, Key.ANY, "held for long enough"),)
    tables = (HELD,)
    guarantee = Guarantee.EXACTLY_ONCE
    tick_seconds = 10.0

    def __init__(self) -> None:
        self.ticks = 0
        self.failing = False

    def decode(self, record: Record) -> Record:
        return record

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        for record in arrivals:
            key = f"{record.partition}-{record.offset}"
            tables[HELD][key] = f"{key} {(context.now + HOLD).isoformat()}"
        return []

    def tick(self, tables: Tables, context: Context) -> list[Output]:
        self.ticks += 1
        held = [value.split(" ") for value in tables[HELD].values()]
        due = [key for key, until in held if until <= context.now.isoformat()]
        for key in due:
            del tables[HELD][key]
        if self.failing:
            raise LookupError
        return [Output(OUT, None, key.encode()) for key in due]


class TicksAndRepeats(Hold):
    """What it makes on a tick would not follow from its input."""

    guarantee = Guarantee.DETERMINISTIC


def record(offset: int) -> KafkaRecord:
    return KafkaRecord(IN, 0, offset, 0, None, b"")


def at(seconds: float) -> Context:
    return context(now=NOW + timedelta(seconds=seconds))


def done(lane: Lane, seconds: float) -> Step | None:
    step = lane.step(at(seconds))
    if step is not None:
        lane.commit(step)
    return step


def values(step: Step | None) -> list[object]:
    assert step is not None
    return [output.value for output in step.outputs]


def test_a_lane_ticks_when_it_is_time_records_or_not() -> None:
    stage = Hold()
    lane = Lane(stage, Tables())
    lane.put([record(0)])
    assert values(done(lane, 0)) == []
    assert done(lane, 9) is None
    assert done(lane, 10) is None  # it ticked, and nothing is due
    assert stage.ticks == 2
    lane.put([record(1)])
    step = done(lane, 31)
    assert (values(step), stage.ticks) == ([b"0-0"], 3)
    assert step is not None
    assert step.records == 1
    assert values(done(lane, 61)) == [b"0-1"]
    assert done(lane, 90) is None


def test_a_clock_that_was_set_back_does_not_stop_the_ticks() -> None:
    stage = Hold()
    lane = Lane(stage, Tables())
    for seconds in (1000, 0, 5, 11):
        done(lane, seconds)
    assert stage.ticks == 3


def test_a_tick_that_fails_changes_nothing_and_comes_again() -> None:
    stage = Hold()
    lane = Lane(stage, Tables())
    lane.put([record(0)])
    done(lane, 0)
    stage.failing = True
    lane.put([record(1)])
    step = done(lane, 40)
    assert step is not None
    assert (step.tick_failed, step.records, step.outputs) == (True, 1, [])
    alone = done(lane, 50)
    assert alone is not None
    assert (alone.tick_failed, alone.records, alone.changes) == (True, 0, [])
    assert done(lane, 51) is None
    stage.failing = False
    step = done(lane, 60)
    assert (values(step), step and step.tick_failed) == ([b"0-0"], False)


def test_only_an_exactly_once_stage_ticks() -> None:
    with pytest.raises(TypeError, match="stage hold ticks, and is not exactly once"):
        Lane(TicksAndRepeats(), Tables())


def test_the_memory_runner_ticks_once_it_is_at_rest_and_whenever_it_is_told_to() -> None:
    clock, log = Clock(NOW), MemoryLog(2, lambda: NOW)
    runner = MemoryRunner([Hold()], log, lambda: context(now=clock.now), perform=lambda effect: None)
    for partition in (0, 1):
        log.append(IN, None, b"", partition=partition)
    runner.run()
    assert log.records(OUT) == []
    clock.pass_by(31)
    runner.run()
    assert sorted(r.value or b"" for r in log.records(OUT)) == [b"0-0", b"1-0"]
    assert not runner.tick()


@pytest.mark.parametrize("seeds", [range(400)])
def test_through_crashes_whatever_is_held_is_released_once(seeds: range) -> None:
    faults: Counter[Any] = Counter()
    for seed in seeds:
        chance = Random(seed)
        clock = Clock(NOW)
        log = MemoryLog(2, clock)
        drawn = Faults(chance, 0.05, 6)
        simulation = Simulation(
            [Hold()], log, clock, lambda clock=clock: context(now=clock.now), lambda effect: None, chance, drawn
        )
        expected = []
        for _ in range(chance.randint(1, 8)):
            sent = log.append(IN, None, b"", partition=chance.randrange(2))
            expected.append(b"%d-%d" % (sent.partition, sent.offset))
            if chance.random() < 0.5:
                simulation.run()
                clock.pass_by(chance.choice((5, 40)))
        for _ in range(5):
            simulation.run()
        released = sorted(r.value or b"" for r in log.records(OUT))
        assert released == sorted(expected), f"seed {seed}"
        faults += drawn.counts
    assert faults.total() > len(seeds)


class Kept:
    """A writer that keeps the steps it is given."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    async def write(self, step: Step) -> int | None:
        self.steps.append(step)
        return None

    def close(self) -> None:
        pass


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_idle_lane_of_the_engine_ticks_and_a_failing_tick_is_counted() -> None:
    stage, clock, written = Hold(), Clock(NOW), Kept()
    metrics, failures = WorkerMetrics(stage), list[BaseException]()
    lanes = Lanes(
        stage, lambda: context(now=clock.now), None, failures.append, lambda topic, partition, following: None, metrics
    )
    lane = Lane(stage, Tables())
    lanes.open(0, lane, written)
    lane.put([record(0)])
    lanes.tick()
    await until(lambda: len(written.steps) == 1)
    stage.failing = True
    clock.pass_by(31)
    lanes.tick()
    await until(lambda: len(written.steps) == 2)
    failed = metrics.registry.get_sample_value("leadline_tick_failures_total", {"stage": "hold"})
    assert (written.steps[1].tick_failed, failed) == (True, 1.0)
    stage.failing = False
    clock.pass_by(31)
    lanes.tick()
    await until(lambda: len(written.steps) == 3)
    assert values(written.steps[2]) == [b"0-0"]
    await lanes.rest(5)
    assert not failures
