"""How long a lane's state takes to come back: a whole changelog into memory, and a RocksDB table after a clean stop.

One partition of a table with an expiry, a record for each key. A worker's partitions are restored side by side, so each
of them has less than one core on a small machine. What is measured runs in a process of its own, as in a worker.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from bench.leadline_engine import CountingCopy
from bench.registry import Samples, benchmark
from bench.session import Session
from connectors.kafka import clients
from connectors.kafka.producer import AckedProducer
from connectors.kafka.topic_admin import topic_ids
from schemas.topics import changelog
from streams.engine.changelog import restore
from streams.engine.worker import COLLECTION_THRESHOLDS
from streams.stage import Stage
from streams.tables import Change, TableSpec

RECORDS: Final = 1_000_000
TAIL: Final = 1_000
NAME: Final = "bench-restore"
TABLE: Final = TableSpec("counts", int, expiry=timedelta(days=1))
MEMORY: Final = "in-memory"


@benchmark("restore", unit="records/s", summary="changelog records restored into memory")
def restore_rate(session: Session) -> Samples:
    """The whole changelog of a table in memory."""
    found = []
    for number, (records, seconds) in enumerate(_rounds(session, None), 1):
        found.append(records / seconds)
        session.report(number, "leadline", found[-1], "records/s")
    return {"leadline": found}


@benchmark(
    "restart",
    unit="s",
    summary="a table of a million keys is there after a clean stop: RocksDB and the tail, beside all of it into memory",
    at_most=5.0,
)
def restart(session: Session) -> Samples:
    """Seconds."""
    samples: Samples = {"leadline": [], MEMORY: []}
    state = session.home / "state"
    for number, (stored, memory) in enumerate(zip(_rounds(session, state), _rounds(session, None), strict=True), 1):
        for contender, (_, seconds) in (("leadline", stored), (MEMORY, memory)):
            samples[contender].append(seconds)
            session.report(number, contender, seconds, "s")
    return samples


def _rounds(session: Session, state: Path | None) -> Iterator[tuple[int, float]]:
    """Records and seconds of each round. With a folder for state it is filled first, and every round finds a tail that
    was written since."""
    keys = session.records or RECORDS
    topics = _filled(session, keys)
    if state is not None:
        _timed(session, topics, state)
    for _ in range(session.rounds):
        if state is not None:
            _write(session, topics, range(TAIL))
        yield _timed(session, topics, state)


def _filled(session: Session, keys: int) -> tuple[str, str]:
    topics = f"{NAME}-source", changelog(NAME).name
    if topics[0] not in session.broker.topics():
        session.console.print(f"filling a changelog with {keys:,} records", style="dim")
        session.broker.create(*topics)
        _write(session, topics, range(keys))
    return topics


def _write(session: Session, topics: tuple[str, str], keys: range) -> None:
    producer, at_ms = AckedProducer(session.broker.bootstrap), round(time.time() * 1000)
    for number in keys:
        change = Change(TABLE, f"key-{number:08d}", number)
        producer.produce(topics[1], TABLE.dump_key(change.key), change.encoded(), (), 0, at_ms)
    producer.flush()
    producer.close()


def _timed(session: Session, topics: tuple[str, str], state: Path | None) -> tuple[int, float]:
    ids = topic_ids(clients.admin(session.broker.bootstrap), topics)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_restore, session.broker.bootstrap, ids, state).result()


def _restore(bootstrap: str, ids: dict[str, str], state: Path | None) -> tuple[int, float]:
    stage: Stage[Any] = CountingCopy(NAME, f"{NAME}-source", "")
    stage.tables = (TABLE,)
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    started = time.perf_counter()
    found = restore(bootstrap, stage, 0, ids, state=state)
    seconds = time.perf_counter() - started
    found.tables.store.close()
    return found.records, seconds
