"""Running a slice through a stage, the part that both runners share and that no broker is needed for.

Whatever a record does, it ends in outputs or in a dead letter: undecodable bytes at once, and a record that makes the
stage raise once bisecting the slice has found it. The rest of the slice is not touched by either.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog

from schemas import headers
from schemas.codec import UndecodableError, encode
from schemas.headers import DeadLetter
from schemas.identity import lead_id_at
from schemas.reasons import Reason
from schemas.record import Record
from schemas.topics import DEAD_LETTERS, EVENT_BYTES
from streams.stage import Context, EffectStage, Output, Plan, Stage
from streams.tables import Tables

log = structlog.get_logger(__name__)
T = TypeVar("T")

LARGEST_VALUE: Final = EVENT_BYTES - 65_536
"""Room is left for the key, the headers and what Kafka adds."""


class OutputTooLargeError(Exception):
    """No topic takes the output. Its record is dead: written again and again, it would stop its partition for ever."""


@dataclass(eq=False, slots=True)
class Item:
    """A record in hand, and what the stage takes it for. ``pending`` counts its effects that are not settled, ``dead``
    is the reason of its dead letter."""

    record: Record
    arrival: Any = None
    order: Any = None
    pending: int = 0
    dead: Reason | None = None


@dataclass(eq=False, slots=True)
class Intent:
    """An effect to be performed, and the record it is for."""

    item: Item
    effect: Any


@dataclass(slots=True)
class Run:
    """What a slice came to: encoded outputs, the effects it asks for, and the records that are dead."""

    outputs: list[Output] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    dead: list[Item] = field(default_factory=list)

    def bury(self, stage: Stage[Any], item: Item, reason: Reason, detail: str, context: Context) -> None:
        """Send a record to ``dead-letters``, once, however many of its effects fail."""
        if item.dead is not None:
            return
        self.outputs.append(_letter(stage, item, reason, detail, context))
        item.dead = reason
        self.dead.append(item)


def decode(stage: Stage[Any], records: Sequence[Record], run: Run, context: Context) -> list[Item]:
    """The records that the stage can read; the others are dead in ``run``."""
    items: list[Item] = []
    ordered = stage.order if isinstance(stage, EffectStage) else None
    for record in records:
        item = Item(record)
        try:
            item.arrival = arrival = stage.decode(record)
            if ordered is not None:
                item.order = ordered(arrival)
            items.append(item)
        except UndecodableError as error:
            run.bury(stage, item, error.reason, error.detail, context)
        except Exception as error:  # bytes that nobody thought of must not stop the partition
            _poison(stage, item, error, run, context)
    return items


def process(stage: Stage[Any], items: Sequence[Item], tables: Tables, run: Run, context: Context) -> None:
    """Let the stage decide about records. Changes are left in the overlay of ``tables``.

    Outputs are encoded: one that cannot be is its record's failure too.
    """
    work: Callable[[Sequence[Item]], Plan[Any]]
    if isinstance(stage, EffectStage):
        work = lambda part: stage.plan([item.arrival for item in part], tables, context)  # noqa: E731
    else:
        work = lambda part: Plan(stage.process([item.arrival for item in part], tables, context))  # noqa: E731
    plan, done, poison = _isolate(items, work, tables)
    for item, error in poison:
        _poison(stage, item, error, run, context)
    run.outputs += plan.outputs
    causes = {id(item.arrival): item for item in done} if plan.effects else {}
    run.intents += [Intent(causes[id(cause)], effect) for cause, effect in plan.effects]


def settle(
    stage: EffectStage[Any, Any, Any],
    results: Sequence[tuple[Intent, Any]],
    tables: Tables,
    run: Run,
    context: Context,
) -> None:
    """Let the stage decide about results. One that makes it raise leaves its intent as a crash would, and its record is
    dead."""

    def work(part: Sequence[tuple[Intent, Any]]) -> Plan[Any]:
        return stage.settle([(intent.effect, result) for intent, result in part], tables, context)

    plan, done, poison = _isolate(results, work, tables)
    for (intent, _), error in poison:
        _poison(stage, intent.item, error, run, context)
    run.outputs += plan.outputs
    causes = {id(intent.effect): intent.item for intent, _ in done} if plan.effects else {}
    run.intents += [Intent(causes[id(cause)], effect) for cause, effect in plan.effects]


def tick(stage: Stage[Any], tables: Tables, run: Run, context: Context) -> bool:
    """Let the stage do what only time brings; whether it could. Where it could not, the tables are as they were, so
    that what is due stays due: no record is at fault, and those that come are none the worse for it."""
    savepoint = tables.savepoint()
    try:
        run.outputs += encoded(stage.tick(tables, context))
    except Exception as error:  # ending the worker for it would end it again at every start, and stop the partition
        tables.rollback(savepoint)
        frame = traceback.extract_tb(error.__traceback__)[-1]  # the message may quote a lead
        where = f"{frame.filename}:{frame.lineno}"
        log.error("tick failed", stage=stage.name, error=type(error).__name__, where=where)
        return False
    return True


def run_slice(stage: Stage[Any], records: Sequence[Record], tables: Tables, context: Context) -> Run:
    """Decode and process a slice."""
    run = Run()
    process(stage, decode(stage, records, run, context), tables, run, context)
    return run


def _isolate(
    items: Sequence[T], work: Callable[[Sequence[T]], Plan[Any]], tables: Tables
) -> tuple[Plan[Any], Sequence[T], list[tuple[T, Exception]]]:
    """What comes of the items that do not fail, those items, and those that do."""
    failed: list[tuple[T, Exception]] = []
    savepoint = tables.savepoint()
    while items:
        try:
            plan = work(items)
            return Plan(encoded(plan.outputs), plan.effects), items, failed
        except Exception as error:
            tables.rollback(savepoint)
            # Where no record fails alone, none can be told from the others.
            poison = _poisonous(items, work, tables) or [(item, error) for item in items]
            tables.rollback(savepoint)
        failed += poison
        dead = {id(item) for item, _ in poison}
        # The rest goes through in one piece: a stage may bring together what a slice has of one lead.
        items = [item for item in items if id(item) not in dead]
    return Plan(), items, failed


def _poisonous(
    items: Sequence[T], work: Callable[[Sequence[T]], Plan[Any]], tables: Tables
) -> list[tuple[T, Exception]]:
    savepoint = tables.savepoint()
    try:
        encoded(work(items).outputs)
        return []
    except Exception as error:
        tables.rollback(savepoint)
        if len(items) == 1:
            return [(items[0], error)]
    middle = len(items) // 2
    return _poisonous(items[:middle], work, tables) + _poisonous(items[middle:], work, tables)


def _poison(stage: Stage[Any], item: Item, error: Exception, run: Run, context: Context) -> None:
    kind = type(error).__name__  # the message may quote the lead; the type does not
    record = item.record
    log.error("poison record", stage=stage.name, topic=record.topic, offset=record.offset, error=kind)
    run.bury(stage, item, Reason.STAGE_FAILED, kind, context)


def _letter(stage: Stage[Any], item: Item, reason: Reason, detail: str, context: Context) -> Output:
    record, arrival = item.record, item.arrival
    if arrival is None:
        lead_id = headers.lead_id_of(record.headers) or lead_id_at(record.topic, record.partition, record.offset)
        received_at = headers.received_at_of(record.headers, record.timestamp)
        run = headers.run_of(record.headers)
    else:
        lead_id, received_at, run = arrival.lead_id, arrival.received_at, arrival.run
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        stage=stage.name,
        reason=reason,
        detail=detail,
        version=context.version,
        lead_id=lead_id,
        run=run,
        received_at_ms=round(received_at.timestamp() * 1000),
    )
    trace = headers.traceparent_of(record.headers)
    carried = () if trace is None else ((headers.TRACEPARENT, trace.encode()),)
    return Output(DEAD_LETTERS.name, record.key, record.value, letter.headers() + carried)


def encoded(outputs: Sequence[Output]) -> list[Output]:
    """The outputs as they go on the wire.

    Raises:
        OutputTooLargeError: no topic takes one of them.
    """
    on_the_wire = []
    for output in outputs:
        value = output.value
        if not (value is None or isinstance(value, bytes)):
            value = encode(value)
            output = Output(output.topic, output.key, value, output.headers)
        if value is not None and len(value) > LARGEST_VALUE:
            raise OutputTooLargeError(f"{output.topic}: {len(value)} bytes")
        on_the_wire.append(output)
    return on_the_wire
