"""What a stage is: a pure function over a slice, an ordered run of records of one partition.

A stage opens no socket, reads no clock and imports no engine; the same object runs under Faust on Kafka and on the
in-memory log. A stage with side effects is split in three: ``plan`` decides and states intents, a performer outside
carries each effect out, ``settle`` turns results into outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from schemas import headers
from schemas.codec import decode
from schemas.config import Configuration
from schemas.events import Event, Message
from schemas.headers import Headers
from schemas.identity import Step, event_id
from schemas.record import Record
from schemas.topics import TopicSpec
from streams.tables import Tables, TableSpec


class Arrival(Protocol):
    """A decoded record: whatever a stage takes knows its lead, its run and when the raw lead came."""

    @property
    def lead_id(self) -> UUID: ...
    @property
    def run(self) -> int: ...
    @property
    def received_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Context:
    """All that a stage may know besides its input and its tables."""

    now: datetime
    configuration: Configuration
    secret: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Output:
    """A record to be written; an event is encoded by the engine, bytes go as they are."""

    topic: str
    key: bytes | None
    value: Message | bytes | None
    headers: Headers = ()


def emit(event: Event, key: str) -> Output:
    """The output of an event to its own topic."""
    return Output(event.TOPIC.name, key.encode(), event)


def envelope(cause: Event, step: Step, context: Context, *, attempt: int = 0) -> dict[str, Any]:
    """The envelope of an event that follows from another."""
    return {
        "event_id": event_id(cause.lead_id, step, cause.run, attempt),
        "lead_id": cause.lead_id,
        "run": cause.run,
        "attempt": attempt,
        "received_at": cause.received_at,
        "occurred_at": context.now,
        "release": context.configuration.release,
        "vertical": cause.vertical,
        "source": cause.source,
        "traceparent": cause.traceparent,
    }


A = TypeVar("A", bound=Arrival)
F = TypeVar("F")
R = TypeVar("R")


class Stage(ABC, Generic[A]):
    """A pure stage. ``reads`` are co-partitioned: one partition number is one lane with its own tables."""

    name: str
    reads: tuple[TopicSpec, ...]
    writes: tuple[TopicSpec, ...]
    tables: tuple[TableSpec[Any], ...] = ()

    @abstractmethod
    def decode(self, record: Record) -> A:
        """The record as what the stage takes.

        Raises:
            UndecodableError: it is none; the engine sends the record to ``dead-letters``.
        """

    def process(self, arrivals: Sequence[A], tables: Tables, context: Context) -> list[Output]:
        """Outputs in order; changes go through ``tables``. An exception dead-letters the record that raises it."""
        raise NotImplementedError

    def warm_up(self) -> None:  # most stages have nothing to load
        """Load what the first record would otherwise wait for."""

    def rebuild(self, tables: Tables) -> None:
        """After a restore, fill the tables that are derived from others."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[F]):
    """What a slice comes to before any effect: outputs that are certain already, and the effects to perform."""

    outputs: list[Output] = field(default_factory=list)
    effects: list[F] = field(default_factory=list)


class EffectStage(Stage[A], Generic[A, F, R]):
    """A stage with side effects. Intents are in the tables, and acknowledged, before an effect starts."""

    @abstractmethod
    def plan(self, arrivals: Sequence[A], tables: Tables, context: Context) -> Plan[F]:
        """Decide; record an intent for every effect."""

    @abstractmethod
    def settle(self, results: Sequence[tuple[F, R]], tables: Tables, context: Context) -> list[Output]:
        """Turn what happened into outputs and table changes."""


Performer = Callable[[F], Awaitable[R]]
"""Carries one effect out and always returns a result: a failure is a result, not an exception."""


E = TypeVar("E", bound=Event)


def decode_event(record: Record, model: type[E]) -> E:
    """The event in a record; a replay's header raises its run.

    Raises:
        UndecodableError: the value is not an event of the record's topic.
        TypeError: the topic holds another model; the stage reads a topic it does not know.
    """
    event = decode(record.topic, record.value)
    if not isinstance(event, model):
        raise TypeError(f"{record.topic} does not hold {model.__name__}")
    run = headers.run_of(record.headers)
    return event.model_copy(update={"run": run}) if run > event.run else event
