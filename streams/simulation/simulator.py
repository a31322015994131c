"""A simulation: raw leads through the whole pipeline under a release, by their own clock, and nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from schemas.events import Event, LeadUnique
from schemas.topics import UNIQUE
from streams.delivery.stage import DeliveryStage
from streams.routing.stage import Routing
from streams.simulation.answers import AnswerRecord, Answers
from streams.simulation.direct import Dead, DirectRunner
from streams.simulation.front import Arrived, FrontHalf, arrivals, arrivals_ahead, patient_collector
from streams.simulation.tally import Tally

TICK: Final = timedelta(minutes=1)
"""How often stages that tick do so, by the simulated clock."""
ALONE: Final = 5_000
"""Fewer leads than these are through before a second process has started."""
PROGRESS_EVERY: Final = 500


@dataclass
class Simulated:
    """What a simulation came to."""

    tally: Tally
    answers: Answers
    passed_over: int = 0
    """Rows of a file that are no leads."""
    events: list[Event | Dead] = field(default_factory=list)
    """All of them, where they were asked for."""


def simulate(
    half: FrontHalf,
    record: AnswerRecord,
    *,
    end: datetime,
    seed: int = 0,
    count: int | None = None,
    keep_events: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Simulated:
    """Run leads under the releases of a course, and go on until ``end`` with what only time brings. Leads from before
    the course's start are not counted. ``count`` is about how many leads there are; ``progress`` is told how many are
    done. The same arguments give the same result.

    Raises:
        UnusableReleaseError: a stage cannot work by a release.
        SimulationError: the second process failed.
    """
    course = half.course
    found = Simulated(Tally(), Answers(record, seed, course.start))
    observe = found.tally.observe
    if keep_events:

        def observe(event: Event | Dead) -> None:
            found.events.append(event)
            found.tally.observe(event)

    runner = DirectRunner((Routing(), DeliveryStage()), course.before, half.secret, observe, found.answers)
    with patient_collector(), _arriving(half, count) as arriving:
        found.passed_over = _run(runner, arriving, half, end, found.tally, observe, progress)
        del runner  # the collector, once it is itself again, would look through all its tables first
    return found


@contextmanager
def _arriving(half: FrontHalf, count: int | None) -> Iterator[Iterable[Arrived | None]]:
    if count is not None and count < ALONE:
        yield arrivals(half)
        return
    with arrivals_ahead(half) as arriving:
        yield arriving


def _run(
    runner: DirectRunner,
    arriving: Iterable[Arrived | None],
    half: FrontHalf,
    end: datetime,
    tally: Tally,
    observe: Callable[[Event | Dead], None],
    progress: Callable[[int], None],
) -> int:
    course, switched = half.course, half.course.before is half.course.after
    ticked: datetime | None = None
    done = passed_over = 0
    for arrived in arriving:
        if arrived is None:
            passed_over += 1
            continue
        now = arrived.at
        if ticked is None:
            ticked = now
        while now - ticked >= TICK:
            ticked += TICK
            if not switched and ticked >= course.start:
                runner.switch(course.after)
                switched = True
            runner.tick(ticked)
        if now >= course.start:
            if not switched:
                runner.switch(course.after)
                switched = True
            tally.arrived(arrived.lead_id)
        if isinstance(arrived.came_to, LeadUnique):
            observe(arrived.came_to)
            runner.put(UNIQUE.name, arrived.came_to, now)
        elif arrived.came_to is not None:
            observe(arrived.came_to)
        done += 1
        if done % PROGRESS_EVERY == 0:
            progress(done)
    while ticked is not None and end - ticked >= TICK:
        ticked += TICK
        runner.tick(ticked)
    progress(done)
    return passed_over
