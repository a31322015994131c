"""Restoring a lane from its changelog on Kafka: in bulk, by librdkafka, before the flow starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from connectors.kafka.log_reader import read_range
from connectors.kafka.topic_admin import TopicIds
from schemas.topics import changelog
from streams.changelog import Restoration, Restored
from streams.stage import Stage

log = structlog.get_logger(__name__)

OnRestored = Callable[[int, int], None]
"""Called as ``(records done, records in all)``."""


def restore(
    bootstrap: str, stage: Stage[Any], partition: int, topic_ids: TopicIds, progress: OnRestored = lambda *_: None
) -> Restored:
    """The tables and positions of one partition as its changelog tells them, derived tables included.

    Raises:
        KafkaException: the broker does not answer.
    """
    started = time.monotonic()
    restoration = Restoration(stage, topic_ids)
    for batch in read_range(bootstrap, changelog(stage.name).name, partition, progress=progress):
        for message in batch:
            restoration.take(message.key(), message.value(), message.timestamp()[1])
    found = restoration.finish()
    found.seconds = round(time.monotonic() - started, 3)
    log.info(
        "restored",
        stage=stage.name,
        partition=partition,
        records=found.records,
        seconds=found.seconds,
        positions={topic: position.next for topic, position in found.positions.items()},
        unknown=found.unknown,
    )
    return found
