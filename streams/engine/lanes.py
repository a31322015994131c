"""Lanes: a partition's slices one after the other, different partitions side by side.

A slice is acknowledged when its changelog records, its effects and its outputs are: first the changelog, so that no
decision is seen before it is stored, then the outputs, then the ack.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from connectors.kafka.producer import AckedProducer
from schemas.record import Record
from schemas.topics import changelog
from streams.execution import encoded, run_slice
from streams.stage import Context, EffectStage, Output, Performer, Stage
from streams.tables import Tables


@dataclass
class Lane:
    """One partition number of a stage's topics, and its tables."""

    partition: int
    tables: Tables
    slices: asyncio.Queue[tuple[Sequence[Record], Callable[[], None]]] = field(default_factory=asyncio.Queue)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass
class Lanes:
    """All lanes of a worker. ``on_failure`` gets what stops a lane; it must end the process, since a slice is lost to
    the lane then and its partition must not move on."""

    stage: Stage[Any]
    producer: AckedProducer
    context: Callable[[], Context]
    perform: Performer[Any, Any] | None
    on_failure: Callable[[BaseException], None]
    effects_in_flight: int = 64
    _lanes: dict[int, Lane] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._changelogs = {spec.name: changelog(self.stage.name, spec.name).name for spec in self.stage.tables}
        self._window = asyncio.Semaphore(self.effects_in_flight)

    def open(self, partition: int, tables: Tables) -> None:
        """Start a lane on restored tables."""
        lane = Lane(partition, tables)
        lane.idle.set()
        lane.task = asyncio.get_running_loop().create_task(self._run(lane), name=f"lane-{partition}")
        self._lanes[partition] = lane

    def submit(self, partition: int, records: Sequence[Record], ack: Callable[[], None]) -> None:
        """Queue a slice. A slice of a partition that has no lane (any more) is dropped unacknowledged: its next owner
        reads it again."""
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.idle.clear()
            lane.slices.put_nowait((records, ack))

    async def close(self, grace_seconds: float) -> None:
        """Drop what has not begun, give what has begun its grace to finish, then end all lanes and their tables."""
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            while not lane.slices.empty():
                lane.slices.get_nowait()
                lane.slices.task_done()
        waits = [asyncio.ensure_future(lane.slices.join()) for lane in lanes]
        if waits:
            await asyncio.wait(waits, timeout=grace_seconds)
        for task in [*waits, *(lane.task for lane in lanes if lane.task)]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, lane: Lane) -> None:
        while True:
            records, ack = await lane.slices.get()
            try:
                await self._process(lane, records)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self.on_failure(error)
                raise
            ack()
            lane.slices.task_done()

    async def _process(self, lane: Lane, records: Sequence[Record]) -> None:
        plan = run_slice(self.stage, records, lane.tables, self.context())
        await self._store(lane)
        outputs = plan.outputs
        if plan.effects:
            assert isinstance(self.stage, EffectStage)  # noqa: S101  # only such a stage plans effects
            results = await asyncio.gather(*(self._perform(effect) for effect in plan.effects))
            outputs = outputs + encoded(self.stage.settle(results, lane.tables, self.context()))
            await self._store(lane)
        await self._emit(outputs)

    async def _perform(self, effect: Any) -> tuple[Any, Any]:
        if self.perform is None:
            raise TypeError(f"stage {self.stage.name} has effects but no performer")
        async with self._window:
            return effect, await self.perform(effect)

    async def _store(self, lane: Lane) -> None:
        changes = lane.tables.changes()
        for change in changes:
            topic = self._changelogs[change.table.name]
            self.producer.produce(topic, change.key.encode(), change.encoded(), partition=lane.partition)
        if changes:
            await self.producer.flush()
        lane.tables.commit()

    async def _emit(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.producer.produce(output.topic, output.key, cast("bytes | None", output.value), output.headers)
        if outputs:
            await self.producer.flush()
