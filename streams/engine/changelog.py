"""Restoring tables from their changelogs: in bulk, by librdkafka, before the flow starts."""

from __future__ import annotations

import time
from typing import Any

import structlog

from connectors.kafka.log_reader import read_range
from schemas.topics import changelog
from streams.stage import Stage
from streams.tables import Tables

log = structlog.get_logger(__name__)


def restore(bootstrap: str, stage: Stage[Any], partition: int) -> Tables:
    """The tables of one partition as their changelogs tell them, derived tables included.

    Raises:
        KafkaException: the broker does not answer.
    """
    started = time.monotonic()
    tables = Tables()
    records = 0
    for spec in stage.tables:
        if spec.derived:
            continue
        table = tables[spec]
        latest: dict[str, bytes | None] = {}
        for batch in read_range(bootstrap, changelog(stage.name, spec.name).name, partition):
            records += len(batch)
            for message in batch:
                latest[(message.key() or b"").decode()] = message.value()
        for key, value in latest.items():
            if value is not None:
                table[key] = spec.load(value)
    tables.commit()
    stage.rebuild(tables)
    tables.commit()
    seconds = round(time.monotonic() - started, 3)
    log.info("tables restored", stage=stage.name, partition=partition, records=records, seconds=seconds)
    return tables
