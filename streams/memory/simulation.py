"""Simulation: a pipeline on the in-memory log under a virtual clock, with everything that happens drawn from one seed.

Workers, effects under way and whatever else acts are iterators; the next one to go on is drawn, and so is what becomes
of it at each point. Nothing else is a source of chance, so a seed is a history: it can be had again, action by action.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from streams.execution import Intent
from streams.memory.faults import Fault, Faults, Point
from streams.memory.log import FencedError, MemoryLog
from streams.memory.worker import MemoryWorker
from streams.stage import Context, EffectStage, Stage

MOST_ACTIONS: Final = 100_000
LONGEST_ACTION_MS: Final = 40
THAW: Final = 0.03
TIME_PASSES: Final = 0.01
ARRIVES: Final = 0.5
"""The share of requests that a dead worker has under way and that arrive all the same."""


class UnperformedError(Exception):
    """An effect's performer failed, or nothing was heard of it."""


@dataclass(eq=False)
class Actor:
    """What may go on: a worker, an effect of one, or something outside the pipeline."""

    name: str
    steps: Iterator[Point | None]
    worker: MemoryWorker | None = None
    effect: Any = None
    performed: bool = False
    give: Callable[[Any], None] = lambda result: None


@dataclass
class Clock:
    """A clock that only the simulation moves."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Simulation:
    """Stages on a log under a clock of its own. ``perform`` carries an effect out, and may raise."""

    stages: Sequence[Stage[Any]]
    log: MemoryLog
    clock: Clock
    context: Callable[[], Context]
    perform: Callable[[Any], Any]
    chance: Random
    faults: Faults
    worker: type[MemoryWorker] = MemoryWorker
    trace: list[tuple[str, Point | None, Fault | None]] = field(default_factory=list)
    """Every action in order: who, where it came to, and what happened there."""
    fenced: Counter[str] = field(default_factory=Counter)
    """Owners who learned that they are none any more, by stage."""

    def __post_init__(self) -> None:
        self._awake: list[Actor] = []
        self._frozen: dict[MemoryWorker, list[Actor]] = {}
        self._timers: list[tuple[datetime, Actor]] = []
        self._workers: dict[MemoryWorker, Actor] = {}
        self._readers: dict[tuple[str, int], list[MemoryWorker]] = {}
        self._current: dict[tuple[str, int], MemoryWorker] = {}
        self._names: Counter[str] = Counter()
        self._ticking = [stage for stage in self.stages if stage.tick_seconds is not None]
        self.log.visible = self._visible
        for stage in self.stages:
            for partition in range(self.log.partitions):
                self._start(stage, partition)

    @property
    def owners(self) -> Iterable[MemoryWorker]:
        """The owner of each partition of each stage."""
        return self._current.values()

    def add(self, name: str, steps: Iterator[Point | None]) -> None:
        """Let something from outside act, such as what sends leads."""
        self._awake.append(Actor(name, steps))

    def run(self) -> None:
        """Go on until nothing is left to do; then let every stage tick that does, and go on once more.

        Raises:
            RuntimeError: it does not come to rest.
        """
        ticked = False
        for _ in range(MOST_ACTIONS):
            actor = self._next()
            if actor is not None:
                self._go_on(actor)
            elif ticked or not self._ticking:
                return
            else:
                ticked = True
                self.clock.pass_by(max(stage.tick_seconds or 0 for stage in self._ticking))
                self._wake_ticking()
        raise RuntimeError(f"not at rest after {MOST_ACTIONS} actions")

    def _next(self) -> Actor | None:
        while True:
            if self._frozen and (not self._awake or self.chance.random() < THAW):
                self._awake += self._frozen.pop(self.chance.choice(list(self._frozen)))
            if self._timers and (not self._awake or self.chance.random() < TIME_PASSES):
                self._time_out()
            if self._ticking and self._awake and self.chance.random() < TIME_PASSES:
                self._wake_ticking()
            if self._awake:
                return self._awake[int(self.chance.random() * len(self._awake))]
            if not self._timers and not self._frozen:
                return None

    def _go_on(self, actor: Actor) -> None:
        self.clock.pass_by(self.chance.randint(0, LONGEST_ACTION_MS) / 1000)
        point = fault = None
        try:
            point = next(actor.steps)
        except StopIteration:
            self._awake.remove(actor)
        except FencedError:
            self._learn(actor)
        else:
            if point is not None:
                fault = self.faults.draw(point)
            elif actor.worker is not None:
                self._awake.remove(actor)  # until there is something to read, or a result
        self.trace.append((actor.name, point, fault))
        if fault is not None:
            self._happen(fault, actor)

    def _happen(self, fault: Fault, actor: Actor) -> None:
        worker = actor.worker
        assert worker is not None  # noqa: S101  # nothing else comes to a point
        match fault:
            case Fault.CRASH:
                self._end(worker)
                self._succeed(worker)
            case Fault.FREEZE:
                worker.stood_still = True
                self._frozen[worker] = [a for a in self._awake if a.worker is worker]
                self._awake = [a for a in self._awake if a.worker is not worker]
                self._succeed(worker)
            case Fault.ABORT:
                worker.abort_next = True
            case Fault.LOST | Fault.LATE:
                self._awake.remove(actor)
                stage = worker.stage
                assert isinstance(stage, EffectStage)  # noqa: S101  # it is an effect's fault
                limit = timedelta(seconds=stage.limit_seconds(actor.effect))
                self._timers.append((self.clock.now + limit, actor))
                if fault is Fault.LATE:
                    self._arrive(actor)
            case Fault.FAILED:
                self._awake.remove(actor)
                self._unknown(actor)

    # Workers

    def _start(self, stage: Stage[Any], partition: int) -> None:
        place = f"{stage.name}/{partition}"
        self._names[place] += 1
        worker = self.worker(
            f"{place}#{self._names[place]}", stage, partition, self.log, self.context, self._effects, self.chance
        )
        actor = Actor(worker.name, worker.live(), worker)
        self._workers[worker] = actor
        self._current[stage.name, partition] = worker
        for spec in stage.reads:
            self._readers.setdefault((spec.name, partition), []).append(worker)
        self._awake.append(actor)

    def _succeed(self, worker: MemoryWorker) -> None:
        if self._current[worker.stage.name, worker.partition] is worker:
            self._start(worker.stage, worker.partition)

    def _learn(self, actor: Actor) -> None:
        worker = actor.worker
        assert worker is not None  # noqa: S101  # only a worker writes
        self.fenced[worker.stage.name] += 1
        self._end(worker)
        self._succeed(worker)

    def _end(self, worker: MemoryWorker) -> None:
        del self._workers[worker]
        for spec in worker.stage.reads:
            self._readers[spec.name, worker.partition].remove(worker)
        under_way = [a for a in self._awake if a.worker is worker and a.effect is not None and not a.performed]
        self._awake = [a for a in self._awake if a.worker is not worker]
        self._timers = [(due, a) for due, a in self._timers if a.worker is not worker]
        for actor in under_way:
            if self.chance.random() < ARRIVES:
                self._arrive(actor)

    def _visible(self, topic: str, partition: int) -> None:
        for worker in self._readers.get((topic, partition), ()):
            self._wake(worker)

    def _wake(self, worker: MemoryWorker) -> None:
        actor, acting = self._workers[worker], self._frozen.get(worker, self._awake)
        if actor not in acting:
            acting.append(actor)

    def _wake_ticking(self) -> None:
        for worker in self._current.values():
            if worker.stage in self._ticking:
                self._wake(worker)

    # Effects

    def _effects(self, worker: MemoryWorker, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self._names[worker.name] += 1
            actor = Actor(f"{worker.name}!{self._names[worker.name]}", iter(()), worker, intent.effect)
            actor.give = self._giver(worker, intent)
            actor.steps = self._effect(actor)
            self._awake.append(actor)

    def _effect(self, actor: Actor) -> Iterator[Point | None]:
        yield Point.BEFORE_EFFECT
        actor.performed = True
        try:
            result = self.perform(actor.effect)
        except UnperformedError:
            self._unknown(actor)
            return
        yield Point.AFTER_EFFECT
        actor.give(result)

    def _giver(self, worker: MemoryWorker, intent: Intent) -> Callable[[Any], None]:
        def give(result: Any) -> None:
            assert worker.lane is not None  # noqa: S101  # it asked for the effect
            worker.lane.give(intent, result)
            self._wake(worker)

        return give

    def _unknown(self, actor: Actor) -> None:
        assert actor.worker is not None  # noqa: S101  # it is an effect
        stage = actor.worker.stage
        assert isinstance(stage, EffectStage)  # noqa: S101  # only such a stage has effects
        actor.give(stage.unknown(actor.effect))

    def _arrive(self, actor: Actor) -> None:
        """Perform an effect at some time, whoever still waits for it."""

        def arrive() -> Iterator[Point | None]:
            with suppress(UnperformedError):
                self.perform(actor.effect)
            yield from ()

        self.add(f"{actor.name} under way", arrive())

    def _time_out(self) -> None:
        due, actor = min(self._timers, key=lambda timer: timer[0])
        self._timers.remove((due, actor))
        self.clock.now = max(self.clock.now, due)
        self._unknown(actor)
