"""Lanes on Kafka: a partition's steps one after the other, different partitions side by side, effects between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from streams.engine.arrivals import Slice
from streams.engine.metrics import WorkerMetrics
from streams.engine.writer import Writer
from streams.execution import Intent
from streams.lane import RECORDS_PER_STEP, Lane
from streams.stage import Context, EffectStage, Performer, Stage

log = structlog.get_logger(__name__)

STEP_SECONDS: Final = 0.1
"""What one step should take of the event loop at most: the next one takes fewer records if it was more."""
FEWEST_RECORDS: Final = 20
TICK_SECONDS: Final = 1.0
"""How often, at least, a lane that has nothing to do looks for entries that are due and for its stage's tick."""


class GapError(Exception):
    """A slice does not follow the one before it: records between them would be lost to the lane."""


class SliceToTake(Protocol):
    """A slice that waits for its lane. It is cut when the lane takes it, so that it holds all that has arrived."""

    def take(self) -> Slice:
        """The slice; it may be empty."""
        ...

    def drop(self) -> None:
        """Leave it: its records are read again."""
        ...


@dataclass
class Running:
    """A lane, its writer and its task."""

    partition: int
    lane: Lane
    writer: Writer
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    write: asyncio.Task[int | None] | None = None
    effects: set[asyncio.Task[None]] = field(default_factory=set)
    slices: list[SliceToTake] = field(default_factory=list)
    following: dict[str, int | None] = field(default_factory=dict)
    """By topic, the offset behind what the lane was given."""
    most: int = RECORDS_PER_STEP
    flowing: bool = False
    rested: asyncio.Event = field(default_factory=asyncio.Event)
    """The lane has written all that it began, and no effect is under way."""


@dataclass
class Lanes:
    """All lanes of a worker. ``on_failure`` gets what stops a lane; it must end the process, since a step is lost to
    the lane then and its partition must not move on. ``on_advance`` gets a topic, a partition and the offset before
    which all is done."""

    stage: Stage[Any]
    context: Callable[[], Context]
    perform: Performer[Any, Any] | None
    on_failure: Callable[[BaseException], None]
    on_advance: Callable[[str, int, int], None]
    metrics: WorkerMetrics
    steps_in_flight: int | None = None
    """Lanes that decide and write at once. More transactions than the broker takes quickly make each of them slower,
    and a lane that waits for its turn meanwhile gets a larger step."""
    effects_in_flight: int = 64
    _lanes: dict[int, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._window = asyncio.Semaphore(self.effects_in_flight)
        self._turns = asyncio.Semaphore(self.steps_in_flight) if self.steps_in_flight else contextlib.nullcontext()

    @property
    def open_lanes(self) -> dict[int, Lane]:
        """By partition."""
        return {partition: running.lane for partition, running in self._lanes.items()}

    def open(self, partition: int, lane: Lane, writer: Writer) -> None:
        """Start a lane."""
        self._start(Running(partition, lane, writer))

    def submit(self, partition: int, waiting: SliceToTake) -> None:
        """Give a lane a slice. A slice of a partition that has no lane (any more) is dropped: its next owner reads it
        again."""
        running = self._lanes.get(partition)
        if running is None or not running.flowing:
            waiting.drop()
            return
        running.slices.append(waiting)
        running.rested.clear()
        running.wake.set()

    def next(self, topic: str, partition: int) -> int | None:
        """The offset from which a partition is to be read; None when its lane does not know."""
        running = self._lanes.get(partition)
        return None if running is None else running.lane.next(topic)

    def tick(self) -> None:
        """Wake every lane, for what only time brings."""
        for running in self._lanes.values():
            running.wake.set()

    async def rest(self, grace_seconds: float) -> None:
        """Drop what has not begun, give what has begun its grace to finish, and stop. The partitions whose lanes have
        come to rest may go on with :meth:`resume`; the others are closed."""
        for running in self._lanes.values():
            running.flowing = False
            running.lane.discard_waiting()
            for waiting in running.slices:
                waiting.drop()
            running.slices.clear()
            running.wake.set()
        waits = [asyncio.ensure_future(running.rested.wait()) for running in self._lanes.values()]
        if waits:
            await asyncio.wait(waits, timeout=grace_seconds)
        await _end(waits)
        for partition, running in list(self._lanes.items()):
            rested = running.rested.is_set()
            await _end([running.task] if running.task else [])
            running.task = None
            if not rested:
                await self.close(partition)

    def resume(self, partition: int) -> None:
        """Let a lane go on that has come to rest."""
        self._start(self._lanes[partition])

    async def close(self, partition: int) -> None:
        """End a lane at once: what it has not written is its next owner's."""
        running = self._lanes.pop(partition)
        await _end([*running.effects, *([running.task] if running.task else [])])
        await asyncio.get_running_loop().run_in_executor(None, running.lane.tables.store.close)
        if running.write is None or running.write.done():
            running.writer.close()
        else:  # its thread is in Kafka's hands; the producer goes when that comes back
            running.write.add_done_callback(_after_the_end)

    def _start(self, running: Running) -> None:
        running.flowing = True
        topics = [spec.name for spec in self.stage.reads]
        running.following = {t: offset for t in topics if (offset := running.lane.next(t)) is not None}
        running.rested.set()
        running.wake.set()
        running.task = asyncio.get_running_loop().create_task(self._run(running), name=f"lane-{running.partition}")
        self._lanes[running.partition] = running

    async def _run(self, running: Running) -> None:
        try:
            while True:
                await running.wake.wait()
                running.wake.clear()
                while True:
                    async with self._turns:
                        if not await self._step(running):
                            break
                if running.lane.idle:
                    running.rested.set()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.on_failure(error)
            raise

    async def _step(self, running: Running) -> bool:
        started = time.perf_counter()
        self._take(running)
        step = running.lane.step(self.context(), running.most)
        if step is None:
            return False
        running.rested.clear()
        deciding = time.perf_counter() - started
        if step.records:
            running.most = max(FEWEST_RECORDS, min(RECORDS_PER_STEP, int(STEP_SECONDS * step.records / deciding)))
        # A write is not given up half-way: cancelled, nobody would know what became of it.
        running.write = asyncio.get_running_loop().create_task(running.writer.write(step))
        following = await asyncio.shield(running.write)
        running.lane.commit(step, following)
        for topic in step.positions:
            if (following := running.lane.next(topic)) is not None:
                self.on_advance(topic, running.partition, following)
        for intent in step.intents:
            task = asyncio.get_running_loop().create_task(self._perform(running, intent))
            running.effects.add(task)
            task.add_done_callback(running.effects.discard)
        seconds = time.perf_counter() - started
        self.metrics.stepped(step, seconds, seconds - deciding)
        return True

    def _take(self, running: Running) -> None:
        if running.lane.waiting:
            return
        slices, running.slices = running.slices, []
        for waiting in slices:
            found = waiting.take()
            if not found.records:
                continue
            topic = found.records[0].topic
            behind = running.following.get(topic, found.follows)
            if behind != found.follows:
                raise GapError(f"{topic} {running.partition}: {behind} comes next, not {found.follows}")
            running.following[topic] = found.records[-1].offset + 1
            running.lane.put(found.records)

    async def _perform(self, running: Running, intent: Intent) -> None:
        stage = self.stage
        assert isinstance(stage, EffectStage)  # noqa: S101  # only such a stage has effects
        if self.perform is None:
            self.on_failure(TypeError(f"stage {stage.name} has effects but no performer"))
            return
        async with self._window:
            self.metrics.effect_begins()
            known = False
            try:
                async with asyncio.timeout(stage.limit_seconds(intent.effect)):
                    result = await self.perform(intent.effect)
                known = True
            except Exception as error:  # what the performer did before it failed, nobody knows
                log.warning("effect without a result", stage=stage.name, error=type(error).__name__)
                result = stage.unknown(intent.effect)
            finally:
                self.metrics.effect_ends(known=known)
        running.lane.give(intent, result)
        running.wake.set()


def _after_the_end(write: asyncio.Task[int | None]) -> None:
    if not write.cancelled() and (error := write.exception()) is not None:
        log.info("a write of a lane that is closed failed", error=type(error).__name__)


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
