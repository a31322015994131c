"""The changelog of a lane: what a step writes there, and restoring tables and positions from it.

A record is a table's entry under ``table:key``, or the position in an input topic under ``:topic@topic-id``: a topic
that was made anew has another id, and no position. Restoring is in bulk, by librdkafka, before the flow starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from connectors.kafka.log_reader import read_range
from connectors.kafka.topic_admin import TopicIds
from schemas.topics import changelog
from streams.lane import Step
from streams.position import Position
from streams.stage import Stage
from streams.store import MemoryStore
from streams.tables import Tables

log = structlog.get_logger(__name__)

OnRestored = Callable[[int, int], None]
"""Called as ``(records done, records in all)``."""


@dataclass
class Restored:
    """What a lane starts from."""

    tables: Tables
    positions: dict[str, Position] = field(default_factory=dict)
    records: int = 0
    seconds: float = 0.0


def records_of(step: Step, topic_ids: TopicIds) -> Iterator[tuple[bytes, bytes | None]]:
    """The changelog records of a step in an exactly-once stage: its changes and its positions."""
    for change in step.changes:
        yield change.table.dump_key(change.key), change.encoded()
    for topic, position in step.positions.items():
        yield position_key(topic, topic_ids), position.dump()


def position_key(topic: str, topic_ids: TopicIds) -> bytes:
    """The key that a topic's position has."""
    return f":{topic}@{topic_ids[topic]}".encode()


def restore(
    bootstrap: str, stage: Stage[Any], partition: int, topic_ids: TopicIds, progress: OnRestored = lambda *_: None
) -> Restored:
    """The tables and positions of one partition as its changelog tells them, derived tables included.

    Raises:
        KafkaException: the broker does not answer.
    """
    started = time.monotonic()
    store = MemoryStore()
    found = Restored(Tables(store))
    specs = {spec.name.encode(): spec for spec in stage.tables if not spec.derived}
    positions = {position_key(spec.name, topic_ids): spec.name for spec in stage.reads}
    unknown = 0
    for batch in read_range(bootstrap, changelog(stage.name).name, partition, progress=progress):
        found.records += len(batch)
        for message in batch:
            address, value = message.key() or b"", message.value()
            table, _, key = address.partition(b":")
            spec = specs.get(table)
            if spec is not None:
                store.restore(spec, spec.load_key(key), value, message.timestamp()[1])
            elif address in positions and value is not None:
                found.positions[positions[address]] = Position.load(value)
            else:
                unknown += 1
    stage.rebuild(found.tables)
    found.tables.commit()
    found.seconds = round(time.monotonic() - started, 3)
    log.info(
        "restored",
        stage=stage.name,
        partition=partition,
        records=found.records,
        seconds=found.seconds,
        positions={topic: position.next for topic, position in found.positions.items()},
        unknown=unknown,
    )
    return found
