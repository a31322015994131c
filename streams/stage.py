"""What a stage is: a pure function over a slice, an ordered run of records of one partition.

A stage opens no socket, reads no clock and imports no engine; the same object runs under Faust on Kafka and on the
in-memory log. A stage with side effects is split in three: ``plan`` decides and states intents, a performer outside
carries each effect out, ``settle`` turns results into outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from schemas import headers
from schemas.codec import decode
from schemas.config.history import UnknownReleaseError
from schemas.config.release import Configuration
from schemas.events import Event
from schemas.headers import Headers
from schemas.identity import Step, event_id
from schemas.messages import Message
from schemas.record import Record
from schemas.topics import TopicSpec
from schemas.values import in_milliseconds
from streams.leases import LEASES
from streams.tables import Tables, TableSpec


class Arrival(Protocol):
    """A decoded record: whatever a stage takes knows its lead, its run and when the raw lead came."""

    @property
    def lead_id(self) -> UUID: ...
    @property
    def run(self) -> int: ...
    @property
    def received_at(self) -> datetime: ...


def _unknown(release: str) -> Configuration:
    raise UnknownReleaseError(release)


@dataclass(frozen=True, slots=True)
class Context:
    """All that a stage may know besides its input and its tables. ``configuration`` is the release in force, and
    ``configuration_of`` gives any that was; it raises UnknownReleaseError for one that never was."""

    now: datetime
    configuration: Configuration
    secret: bytes
    version: str
    configuration_of: Callable[[str], Configuration] = _unknown
    full: Mapping[str, str] = field(default_factory=dict)
    """Campaigns that are at a cap as far as the ``capacity`` topic tells, each with the reason: a hint."""

    def under(self, release: str) -> Context:
        """The same with another release.

        Raises:
            UnknownReleaseError: there is none of that name.
            ValueError: this version cannot read it.
        """
        if release == self.configuration.release:
            return self
        return replace(self, configuration=self.configuration_of(release))


class Output(NamedTuple):
    """A record to be written; an event is encoded by the engine, bytes go as they are."""

    topic: str
    key: bytes | None
    value: Message | bytes | None
    headers: Headers = ()


def emit(event: Event, key: str) -> Output:
    """The output of an event to its own topic, within its trace."""
    trace: Headers = () if event.traceparent is None else ((headers.TRACEPARENT, event.traceparent.encode()),)
    return Output(event.TOPIC.name, key.encode(), event, trace)


def envelope(cause: Event, step: Step, context: Context, *, attempt: int = 0) -> dict[str, Any]:
    """The envelope of an event that follows from another: values as validation leaves them, in the fields' order."""
    return {
        "event_id": event_id(cause.lead_id, step, cause.run, attempt),
        "lead_id": cause.lead_id,
        "run": cause.run,
        "attempt": attempt,
        "received_at": cause.received_at,
        "occurred_at": in_milliseconds(context.now),
        "release": context.configuration.release,
        "vertical": cause.vertical,
        "source": cause.source,
        "traceparent": cause.traceparent,
    }


class Guarantee(StrEnum):
    """What a stage promises about each record."""

    DETERMINISTIC = "deterministic"
    """At least once: the same input in the same order gives the same outputs under the same event ids, so a repeat is
    seen by nobody. A record that comes again is decided by the release that decided it before (``streams/leases.py``).
    """
    EXACTLY_ONCE = "exactly once"
    """Changelog records, outputs and position are one transaction: for a stage whose decisions follow from a clock, a
    buyer's answer or the configuration, so that it would decide otherwise the second time."""


A = TypeVar("A", bound=Arrival)
F = TypeVar("F")
R = TypeVar("R")


class Stage(ABC, Generic[A]):
    """A pure stage. ``reads`` are co-partitioned: one partition number is one lane with its own tables."""

    name: str
    reads: tuple[TopicSpec, ...]
    writes: tuple[TopicSpec, ...]
    tables: tuple[TableSpec[Any, Any], ...] = ()
    guarantee: Guarantee = Guarantee.DETERMINISTIC
    tick_seconds: float | None = None
    """How often :meth:`tick` is asked, records or not; only of an exactly-once stage."""

    @property
    def stored_tables(self) -> tuple[TableSpec[Any, Any], ...]:
        """The tables that the changelog has: the stage's own, and what its guarantee rests on."""
        stored = tuple(spec for spec in self.tables if not spec.derived)
        return (*stored, LEASES) if self.guarantee is Guarantee.DETERMINISTIC else stored

    @abstractmethod
    def decode(self, record: Record) -> A:
        """The record as what the stage takes.

        Raises:
            UndecodableError: it is none; the engine sends the record to ``dead-letters``.
        """

    def process(self, arrivals: Sequence[A], tables: Tables, context: Context) -> list[Output]:
        """Outputs in order; changes go through ``tables``. An exception dead-letters the record that raises it."""
        raise NotImplementedError

    def release_of(self, arrival: A) -> str | None:
        """The release that an arrival names as the one to decide it by, for a deterministic stage; None for one that
        names none. A repeat of it, which another stage wrote, then comes out the same though releases changed between.
        """
        return None

    def tick(self, tables: Tables, context: Context) -> list[Output]:
        """What only time brings: outputs, and changes through ``tables``, that are written as of any other step. An
        exception leaves everything as it is until the next tick."""
        return []

    def warm_up(self) -> None:  # most stages have nothing to load
        """Load what the first record would otherwise wait for."""

    def prepare(self, configuration: Configuration) -> None:  # most stages have nothing to derive
        """Derive from a configuration what its first record would otherwise wait for. Called before it is in force, in
        another thread."""

    def rebuild(self, tables: Tables) -> None:
        """After a restore, fill the tables that are derived from others."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[F]):
    """What is decided: outputs that are certain already, and effects to perform, each with its cause (the arrival, or
    the effect whose result asks for it)."""

    outputs: list[Output] = field(default_factory=list)
    effects: list[tuple[object, F]] = field(default_factory=list)


class EffectStage(Stage[A], Generic[A, F, R]):
    """A stage with side effects. Intents are in the tables, and durable, before an effect starts.

    An intent without a result is what a crash leaves: the stage finds it in its tables when the record comes again, and
    must take its outcome for unknown.
    """

    @abstractmethod
    def plan(self, arrivals: Sequence[A], tables: Tables, context: Context) -> Plan[F]:
        """Decide; record an intent for every effect."""

    @abstractmethod
    def settle(self, results: Sequence[tuple[F, R]], tables: Tables, context: Context) -> Plan[F]:
        """Turn what happened into outputs and table changes, and perhaps further effects."""

    @abstractmethod
    def unknown(self, effect: F) -> R:
        """The result of an effect of which nothing was heard: it took too long, or its performer failed."""

    def limit_seconds(self, effect: F) -> float:
        """How long an effect may take before its outcome counts as unknown."""
        return 60.0

    def order(self, arrival: A) -> Hashable | None:
        """Arrivals of equal order are decided one after the other, each once the effects of the one before it are
        settled; None for one that need not wait."""
        return None


Performer = Callable[[F], Awaitable[R]]
"""Carries one effect out. A failure is a result; an exception counts as an unknown outcome."""


E = TypeVar("E", bound=Event)


def decode_event(record: Record, model: type[E]) -> E:
    """The event in a record; a replay's header raises its run, and leaves out its release: it is decided anew.

    Raises:
        UndecodableError: the value is not an event of the record's topic.
        TypeError: the topic holds another model; the stage reads a topic it does not know.
    """
    event = decode(record.topic, record.value)
    if not isinstance(event, model):
        raise TypeError(f"{record.topic} does not hold {model.__name__}")
    run = headers.run_of(record.headers)
    return event.model_copy(update={"run": run, "release": ""}) if run > event.run else event
