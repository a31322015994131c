"""The front half of a simulation: raw leads through validation and dedup, in a process of its own where there are many.

These two stages hear nothing of what becomes of a lead, so they may run ahead of routing and delivery.
"""

from __future__ import annotations

import gc
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final
from uuid import UUID

from schemas.codec import UndecodableError
from schemas.config.release import Configuration
from schemas.events import Event, Lead, LeadDuplicate, LeadRejected, LeadUnique
from schemas.headers import received_at_of
from schemas.raw_lead import arrival_of, lead_id_of
from schemas.topics import LEADS
from streams.dedup.stage import Dedup
from streams.simulation.direct import Dead, DirectRunner
from streams.simulation.raw_leads import RawLeads
from streams.validation.stage import Validation
from streams.validation.suppression import Lists

CHUNK: Final = 100
"""Leads that go from process to process at once: few enough that a pipe holds them while the other one is busy."""


class SimulationError(Exception):
    """The simulation cannot go on; the message says why."""


@dataclass(frozen=True)
class Course:
    """Which release is in force: ``before`` until ``start``, then ``after``."""

    before: Configuration
    after: Configuration
    start: datetime


@dataclass(frozen=True)
class FrontHalf:
    """What the front half works on. ``open_lists`` makes what opens suppression lists, where it runs."""

    leads: RawLeads
    course: Course
    secret: bytes
    open_lists: Callable[[], Lists] | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A raw lead at the moment it came, and what validation and dedup made of it: a lead for routing, or its end."""

    lead_id: UUID
    at: datetime
    came_to: LeadUnique | LeadRejected | LeadDuplicate | Dead | None


_Plain = Arrived | tuple[datetime, dict[str, Any]] | None
"""What goes from process to process."""


def arrivals(half: FrontHalf) -> Iterator[Arrived | None]:
    """Each raw lead in turn, and None for what is none. The clock is the leads' own, and never goes back.

    Raises:
        UnusableReleaseError: a stage cannot work by a release.
    """
    found: list[LeadUnique | LeadRejected | LeadDuplicate | Dead] = []

    def observe(event: Event | Dead) -> None:
        if isinstance(event, (LeadUnique, LeadRejected, LeadDuplicate, Dead)):
            found.append(event)

    # One lane for all partitions, so that a source has the whole of its caps there.
    stages = (Validation(partitions=1, lists=half.open_lists() if half.open_lists else None), Dedup())
    stages[0].warm_up()
    course, switched = half.course, half.course.before is half.course.after
    runner = DirectRunner(stages, course.before, half.secret, observe)
    now: datetime | None = None
    for record in half.leads:
        if record is None:
            yield None
            continue
        try:
            arrival = arrival_of(record)
        except UndecodableError as error:
            at = received_at_of(record.headers, record.timestamp)
            lead_id = lead_id_of(record)
            now = at if now is None else max(now, at)
            yield Arrived(lead_id, now, Dead(lead_id, 0, stages[0].name, error.reason, error.detail))
            continue
        now = arrival.received_at if now is None else max(now, arrival.received_at)
        if not switched and now >= course.start:
            runner.switch(course.after)
            switched = True
        found.clear()
        runner.put(LEADS.name, replace(arrival, partition=0) if arrival.partition else arrival, now)
        yield Arrived(arrival.lead_id, now, _shorter(found[0]) if found else None)


@contextmanager
def arrivals_ahead(half: FrontHalf) -> Iterator[Iterator[Arrived | None]]:
    """The same, made by another process while this one goes on with those before.

    Raises:
        SimulationError: it failed there.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_make, args=(half, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _received(ours)
    finally:
        ours.close()
        process.terminate()
        process.join()


@contextmanager
def patient_collector() -> Iterator[None]:
    """Let Python look for cycles seldom: tables grow by millions of objects that are in none, and to look through them
    again and again takes a fifth of the time."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 1_000, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _make(half: FrontHalf, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked ends this process
    with suppress(BrokenPipeError), patient_collector():
        try:
            made = arrivals(half)
            while chunk := list(islice(made, CHUNK)):
                connection.send_bytes(pickle.dumps([*map(_plain, chunk)], pickle.HIGHEST_PROTOCOL))
            connection.send_bytes(pickle.dumps([]))
        except BrokenPipeError:
            raise
        except Exception as error:
            connection.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))


def _received(connection: Connection) -> Iterator[Arrived | None]:
    while True:
        try:
            chunk: Sequence[_Plain] | str = pickle.loads(connection.recv_bytes())  # noqa: S301  # our own process
        except EOFError:
            raise SimulationError("the process that validates has died") from None
        if isinstance(chunk, str):
            raise SimulationError(chunk)
        if not chunk:
            return
        yield from map(_arrived, chunk)


def _plain(arrived: Arrived | None) -> _Plain:
    if arrived is None or type(arrived.came_to) is not LeadUnique:
        return arrived
    # Nearly all are such, and models and UUIDs take three times as long to write and to read as what they hold.
    values = arrived.came_to.__dict__
    ids = {"event_id": values["event_id"].int, "lead_id": values["lead_id"].int}
    return arrived.at, {**values, **ids, "lead": values["lead"].__dict__}


def _arrived(plain: _Plain) -> Arrived | None:
    if not isinstance(plain, tuple):
        return plain
    at, values = plain
    values["event_id"], values["lead_id"] = UUID(int=values["event_id"]), UUID(int=values["lead_id"])
    values["lead"] = Lead.trusted(values["lead"])
    return Arrived(values["lead_id"], at, LeadUnique.trusted(values))


def _shorter(
    event: LeadUnique | LeadRejected | LeadDuplicate | Dead,
) -> LeadUnique | LeadRejected | LeadDuplicate | Dead:
    # What was typed is of no use behind dedup.
    return event.model_copy(update={"raw": {}}) if isinstance(event, LeadRejected) else event
