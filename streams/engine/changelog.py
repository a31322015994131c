"""Restoring a lane from its changelog on Kafka: in bulk, by librdkafka, before the flow starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from connectors.kafka.log_reader import log_bounds, read_range
from connectors.kafka.topic_admin import TopicIds
from schemas.topics import DAY_MS, changelog
from streams.changelog import Restoration, Restored
from streams.engine.persistent_store import PersistentStore
from streams.engine.state_folder import LogState, open_store
from streams.stage import Guarantee, Stage

log = structlog.get_logger(__name__)

PROGRESS_SECONDS: Final = 5.0

OnRestored = Callable[[int, int], None]
"""Called as ``(records done, records in all)``."""


def restore(
    bootstrap: str,
    stage: Stage[Any],
    partition: int,
    topic_ids: TopicIds,
    progress: OnRestored = lambda *_: None,
    state: Path | None = None,
) -> Restored:
    """The tables and positions of one partition as its changelog tells them, derived tables included.

    With a folder for ``state`` the tables are there, and only what the changelog has beyond them is read; then
    ``topic_ids`` has the changelog's too.

    Raises:
        KafkaException: the broker does not answer.
        DatabaseError: the folder cannot be written.
    """
    started = time.monotonic()
    topic, store, end = changelog(stage.name).name, None, None
    if state is not None:
        bounds = _bounds(bootstrap, stage, partition, topic_ids)
        store, end = open_store(state, stage, partition, bounds, topic_ids), bounds.high
    restoration = Restoration(stage, topic_ids, store)
    first = None if store is None else store.following
    following = first or 0
    progress = _logged(stage, partition, progress)
    for batch in read_range(bootstrap, topic, partition, first, end, progress=progress):
        following = (batch[-1].offset() or 0) + 1
        restoration.take_all([(m.key(), m.value(), m.timestamp()[1]) for m in batch], following)
    if store is not None:
        _finish(store, stage, following, bounds)
    found = restoration.finish()
    found.following = None if store is None else store.following
    found.seconds = round(time.monotonic() - started, 3)
    log.info(
        "restored",
        stage=stage.name,
        partition=partition,
        records=found.records,
        from_offset=first or 0,
        seconds=found.seconds,
        positions={topic: position.next for topic, position in found.positions.items()},
        unknown=found.unknown,
    )
    return found


def _bounds(bootstrap: str, stage: Stage[Any], partition: int, topic_ids: TopicIds) -> LogState:
    spec = changelog(stage.name)
    low, high = log_bounds(bootstrap, spec.name, partition)
    return LogState(topic_ids[spec.name], low, high, int(spec.config.get("delete.retention.ms", DAY_MS)))


def _finish(store: PersistentStore, stage: Stage[Any], following: int, bounds: LogState) -> None:
    if stage.guarantee is Guarantee.DETERMINISTIC:
        # Without transactions all before the end is there to be read, though compaction may have taken the last of it.
        following = bounds.high
    store.finish_restore(max(following, bounds.low))


def _logged(stage: Stage[Any], partition: int, progress: OnRestored) -> OnRestored:
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        progress(done, total)
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            percent = round(100 * done / total)
            log.info("restoring", stage=stage.name, partition=partition, done=done, records=total, percent=percent)

    return tell
