"""Running a slice through a stage, the part that both runners share and that no broker is needed for.

Whatever a record does, it ends in outputs or in a dead letter: undecodable bytes at once, and a record that makes the
stage raise once bisecting the slice has found it. The rest of the slice is not touched by either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog

from schemas import headers
from schemas.codec import UndecodableError, encode
from schemas.headers import DeadLetter
from schemas.identity import lead_id_at
from schemas.reasons import Reason
from schemas.record import Record
from schemas.topics import DEAD_LETTERS
from streams.stage import Arrival, Context, EffectStage, Output, Plan, Stage
from streams.tables import Tables

log = structlog.get_logger(__name__)
T = TypeVar("T")
Item = tuple[Record, Any]


def run_slice(stage: Stage[Any], records: Sequence[Record], tables: Tables, context: Context) -> Plan[Any]:
    """Decode and process a slice. Changes are left in the overlay of ``tables``.

    Pure stages give a plan without effects. Outputs are encoded: one that cannot be is its record's failure too.
    """
    outputs: list[Output] = []
    items: list[Item] = []
    for record in records:
        try:
            items.append((record, stage.decode(record)))
        except UndecodableError as error:
            outputs.append(_dead(stage, record, None, error.reason, error.detail, context))
        except Exception as error:  # bytes that nobody thought of must not stop the partition
            outputs.append(_poison(stage, record, None, error, context))
    work: Callable[[Sequence[Any]], Plan[Any]]
    if isinstance(stage, EffectStage):
        work = lambda arrivals: stage.plan(arrivals, tables, context)  # noqa: E731
    else:
        work = lambda arrivals: Plan(stage.process(arrivals, tables, context))  # noqa: E731
    plan = _isolate(stage, items, work, tables, context)
    return Plan(outputs + plan.outputs, plan.effects)


def _isolate(
    stage: Stage[Any],
    items: Sequence[Item],
    work: Callable[[Sequence[Any]], Plan[Any]],
    tables: Tables,
    context: Context,
) -> Plan[Any]:
    letters: list[Output] = []
    savepoint = tables.savepoint()
    while items:
        try:
            plan = work([arrival for _, arrival in items])
            return Plan(letters + encoded(plan.outputs), plan.effects)
        except Exception as error:
            tables.rollback(savepoint)
            # Where no record fails alone, none can be told from the others.
            poison = _poisonous(items, work, tables) or [(item, error) for item in items]
            tables.rollback(savepoint)
        letters += [_poison(stage, record, arrival, error, context) for (record, arrival), error in poison]
        dead = {id(item) for item, _ in poison}
        # The rest goes through in one piece: a stage may bring together what a slice has of one lead.
        items = [item for item in items if id(item) not in dead]
    return Plan(letters)


def _poisonous(
    items: Sequence[Item], work: Callable[[Sequence[Any]], Plan[Any]], tables: Tables
) -> list[tuple[Item, Exception]]:
    savepoint = tables.savepoint()
    try:
        encoded(work([arrival for _, arrival in items]).outputs)
        return []
    except Exception as error:
        tables.rollback(savepoint)
        if len(items) == 1:
            return [(items[0], error)]
    middle = len(items) // 2
    return _poisonous(items[:middle], work, tables) + _poisonous(items[middle:], work, tables)


def _poison(stage: Stage[Any], record: Record, arrival: Arrival | None, error: Exception, context: Context) -> Output:
    kind = type(error).__name__  # the message may quote the lead; the type does not
    log.error("poison record", stage=stage.name, topic=record.topic, offset=record.offset, error=kind)
    return _dead(stage, record, arrival, Reason.STAGE_FAILED, kind, context)


def _dead(
    stage: Stage[Any], record: Record, arrival: Arrival | None, reason: Reason, detail: str, context: Context
) -> Output:
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
    return Output(DEAD_LETTERS.name, record.key, record.value, letter.headers())


def encoded(outputs: Sequence[Output]) -> list[Output]:
    """The outputs as they go on the wire."""
    return [
        output
        if output.value is None or isinstance(output.value, bytes)
        else Output(output.topic, output.key, encode(output.value), output.headers)
        for output in outputs
    ]
