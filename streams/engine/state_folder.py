"""The folder of a lane's persistent state: taking it over, and telling whether what is in it can be gone on from.

A partition's database is ``<partition>.<number>``. A former owner on this machine that stands still keeps its files
locked; then the next number is begun, and the old folder goes once it can be opened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from connectors.kafka.topic_admin import TopicIds
from connectors.rocksdb.database import Database, DatabaseError, LockedError, destroy
from streams.changelog import position_key
from streams.engine.persistent_store import Mark, PersistentStore, layout_of, read_mark
from streams.stage import Guarantee, Stage

log = structlog.get_logger(__name__)

LOCK_SECONDS: Final = 2.0
"""What a former owner that hands over in order may take to close its files."""
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class LogState:
    """A changelog partition as it is now: its topic's id, its first offset, its end, and for how long Kafka keeps a
    tombstone in it."""

    topic_id: str
    low: int
    high: int
    tombstone_ms: int


def open_store(
    folder: Path, stage: Stage[Any], partition: int, changelog: LogState, topic_ids: TopicIds
) -> PersistentStore:
    """The store of a partition, empty unless the changelog's tail completes what it has.

    Raises:
        DatabaseError: the folder cannot be written.
    """
    path, database = _open(folder, stage, partition)
    layout = layout_of(stage.stored_tables)
    fresh = Mark(changelog.topic_id, layout)
    mark = read_mark(database)
    if mark is not None:
        reason = _unusable(mark, fresh, stage, changelog)
    else:
        reason = None if database.empty else "it does not say how far it has come"
    if reason is not None:
        log.warning("state thrown away, restoring all of it", stage=stage.name, partition=partition, reason=reason)
        database.close()
        destroy(path)
        database, mark = Database(path), None
    exactly_once = stage.guarantee is Guarantee.EXACTLY_ONCE
    keys = {spec.name: position_key(spec.name, topic_ids) for spec in stage.reads} if exactly_once else {}
    return PersistentStore(database, stage.stored_tables, mark or fresh, keys)


def _unusable(mark: Mark, fresh: Mark, stage: Stage[Any], changelog: LogState) -> str | None:
    if mark.changelog_id != fresh.changelog_id:
        return "the changelog is another topic"
    if mark.layout != fresh.layout:
        return "the tables or their expiries have changed"
    if mark.following is None or mark.complete_ms == 0:
        return "it was never complete"
    if mark.following > changelog.high:
        return f"it is at offset {mark.following}, beyond the changelog's end at {changelog.high}"
    if mark.following < changelog.low:
        return f"it is at offset {mark.following}, and the changelog begins at {changelog.low}"
    # Behind the last record of a transaction there is its marker, and nothing that could be missed.
    behind = changelog.high - mark.following > (stage.guarantee is Guarantee.EXACTLY_ONCE)
    age_ms = round(time.time() * 1000) - mark.complete_ms
    if behind and age_ms > changelog.tombstone_ms / 2:
        return f"it is {age_ms / 3_600_000:.1f} h old, and removals may be missing from the changelog by now"
    return None


def _open(folder: Path, stage: Stage[Any], partition: int) -> tuple[Path, Database]:
    numbers = sorted(int(path.name.partition(".")[2]) for path in folder.glob(f"{partition}.*"))
    number = numbers[-1] if numbers else 0
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        path = folder / f"{partition}.{number}"
        try:
            database = Database(path)
            break
        except LockedError as error:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            log.warning("state is locked, restoring beside it", stage=stage.name, detail=str(error))
            number += 1
        except DatabaseError as error:
            log.warning("state cannot be read, restoring all of it", stage=stage.name, detail=str(error))
            destroy(path)
            database = Database(path)
            break
    for old in numbers:
        if old < number:
            _remove(folder / f"{partition}.{old}", stage)
    return path, database


def _remove(path: Path, stage: Stage[Any]) -> None:
    try:
        destroy(path)
        log.info("former state removed", stage=stage.name, folder=path.name)
    except LockedError:
        log.info("former state is still locked", stage=stage.name, folder=path.name)
