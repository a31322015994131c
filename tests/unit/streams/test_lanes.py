"""Lanes of a worker: a slice that does not join what the lane has is a failure, never a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from kit.builders import context

from schemas.record import KafkaRecord, Record
from schemas.topics import Key, TopicSpec
from streams.engine.arrivals import Slice
from streams.engine.lanes import GapError, Lanes
from streams.engine.metrics import WorkerMetrics
from streams.lane import Lane, Step
from streams.position import Position
from streams.stage import Context, Guarantee, Output, Stage
from streams.tables import Tables

TOPIC = "letters"


class Read(Stage[Any]):
    """Takes records and writes nothing."""

    name = "read"
    reads = (TopicSpec(TOPIC, Key.ANY, "to read"),)
    writes = ()
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Record:
        return record

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        return []


class Written:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.records = 0

    async def write(self, step: Step) -> int | None:
        self.records += step.records
        return None

    def close(self) -> None:
        pass


class Given:
    """A slice that waits."""

    def __init__(self, follows: int | None, *offsets: int) -> None:
        self._slice = Slice(follows, [KafkaRecord(TOPIC, 0, offset, 0, None, b"") for offset in offsets])
        self.taken = self.dropped = False

    def take(self) -> Slice:
        self.taken = True
        return self._slice

    def drop(self) -> None:
        self.dropped = True


class Opened:
    """Lanes with one lane."""

    def __init__(self, at: int | None = None) -> None:
        self.failures: list[BaseException] = []
        self.advanced: list[int] = []
        self.written = Written()
        stage = Read()
        self.lanes = Lanes(
            stage,
            context,
            None,
            self.failures.append,
            lambda topic, partition, following: self.advanced.append(following),
            WorkerMetrics(stage),
        )
        positions = {} if at is None else {TOPIC: Position(at)}
        self.lanes.open(0, Lane(stage, Tables(), positions), self.written)

    async def give(self, *slices: Given) -> None:
        for given in slices:
            self.lanes.submit(0, given)
            while not (given.taken or given.dropped):
                await asyncio.sleep(0)
        await self.lanes.rest(0.1 if self.failures else 30)


async def test_slices_that_follow_each_other_are_all_taken() -> None:
    opened = Opened(at=3)
    await opened.give(Given(3, 3, 4), Given(5), Given(5, 7, 8), Given(9, 9))
    assert not opened.failures
    assert opened.written.records == 5
    assert opened.advanced[-1] == 10


async def test_a_lane_that_knows_no_position_takes_the_first_slice_from_wherever_it_is() -> None:
    opened = Opened()
    await opened.give(Given(None, 41), Given(42, 42))
    assert not opened.failures
    assert opened.written.records == 2


async def test_a_slice_that_leaves_something_out_ends_the_worker() -> None:
    opened = Opened(at=3)
    await opened.give(Given(3, 3, 4))
    opened.lanes.resume(0)
    with pytest.raises(GapError):
        await opened.give(Given(6, 6))
    (failure,) = opened.failures
    assert isinstance(failure, GapError)
    assert str(failure) == "letters 0: 5 comes next, not 6"
    assert opened.written.records == 2


async def test_a_slice_that_comes_while_lanes_rest_is_dropped_and_goes_on_where_the_lane_is() -> None:
    opened = Opened(at=0)
    await opened.give(Given(0, 0))
    dropped = Given(1, 1, 2)
    opened.lanes.submit(0, dropped)
    assert dropped.dropped
    assert not dropped.taken
    opened.lanes.resume(0)
    await opened.give(Given(1, 1, 2))
    assert not opened.failures
    assert opened.written.records == 3
