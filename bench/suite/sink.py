"""The sink into the embedded engine: how fast it catches up, and how soon an event can be queried.

Both by the command as it is run, Kafka's consumption included, with a warehouse of the benchmark's own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from bench.broker import write_to_topics
from bench.contender import Process, running, throughput
from bench.errors import BenchmarkError
from bench.lead_records import RECORDS_OF_A_SALE, event, sales
from bench.registry import Samples, benchmark
from bench.session import REPOSITORY, Session
from connectors.kafka import clients
from leadline.stack.ports import HOST, PortLeases
from schemas.codec import encode
from schemas.events import LeadDelivered, LeadDuplicate
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate
from warehouse.sinking.tables import SUNK_TOPICS

RECORDS: Final = 1_400_000
RATE: Final = 1_000
SECONDS: Final = 15
WARM_UP_SECONDS: Final = 3
START_SECONDS: Final = 60.0
TURN_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Warehouse:
    """An embedded server: its address, and a client."""

    url: str
    client: Client


@benchmark("sink", unit="events/s", summary="events from Kafka into one table of the embedded engine")
def sink(session: Session) -> Samples:
    """A backlog of duplicates and sales, counted in ``lead_events``."""
    records = session.records or RECORDS
    return _taken_in(session, "sink", records // 2 * 2, lambda: _duplicates_and_sales(records // 2))


@benchmark("sink-leads", unit="events/s", summary="every event of leads sold from Kafka into all tables")
def sink_leads(session: Session) -> Samples:
    """A backlog of leads sold, of seven events and fifteen rows in four tables each, counted in ``lead_events``."""
    leads = (session.records or RECORDS) // RECORDS_OF_A_SALE
    return _taken_in(session, "sink-leads", leads * RECORDS_OF_A_SALE, lambda: sales(leads))


def _taken_in(session: Session, name: str, count: int, made: Callable[[], Iterator[tuple[str, bytes]]]) -> Samples:
    found = []
    for number in range(1, session.rounds + 1):
        _topics(session)
        write_to_topics(session.broker.bootstrap, ((topic, None, value) for topic, value in made()))
        with ExitStack() as stack:
            warehouse = stack.enter_context(_warehouse(session, f"{name}-{number}"))
            progress = stack.enter_context(session.progress(name, count))
            process = stack.enter_context(_sink(session, warehouse, f"{name}-{number}"))
            found.append(throughput(lambda: _count(warehouse), count, [process], progress))  # noqa: B023
        session.report(number, "leadline", found[-1], "events/s")
    return {"leadline": found}


def _duplicates_and_sales(of_each: int) -> Iterator[tuple[str, bytes]]:
    for _ in range(of_each):
        for model in (LeadDuplicate, LeadDelivered):
            yield model.TOPIC.name, encode(event(model, uuid4()))


@benchmark(
    "sink-freshness",
    unit="s",
    summary=f"from an event's production to its row in a query, 99th percentile at {RATE:,} events/s",
    at_most=1.0,
)
def freshness(session: Session) -> Samples:
    """One topic, a poll of the table after the other."""
    found = []
    for number in range(1, session.rounds + 1):
        _topics(session)
        with ExitStack() as stack:
            warehouse = stack.enter_context(_warehouse(session, f"freshness-{number}"))
            stack.enter_context(_sink(session, warehouse, f"freshness-{number}"))
            _wait_for(session.home / f"freshness-{number}.ready")
            delays = sorted(_delays(session, warehouse))
        found.append(delays[len(delays) * 99 // 100])
        session.report(number, "leadline", found[-1], "s")
    return {"leadline": found}


def _delays(session: Session, warehouse: Warehouse) -> list[float]:
    """Of every event after the warm-up: how long until a query that began after it was sent had found it."""
    producer, partitions = clients.producer(session.broker.bootstrap, **{"linger.ms": 0}), session.broker.partitions
    places = [(number % partitions, number // partitions) for number in range(RATE * SECONDS)]
    sent: dict[int, list[float]] = {partition: [] for partition in range(partitions)}
    seen = dict.fromkeys(range(partitions), 0)
    delays: list[float] = []
    produced, started = 0, time.monotonic()
    while (now := time.monotonic() - started) < SECONDS + START_SECONDS and sum(seen.values()) < len(places):
        while produced < min(int(now * RATE), len(places)):
            partition, _ = places[produced]
            value = encode(event(LeadDuplicate, uuid4()))
            producer.produce(LeadDuplicate.TOPIC.name, value=value, partition=partition)
            sent[partition].append(time.monotonic())
            produced += 1
        producer.poll(0)
        rows = warehouse.client.query("SELECT _partition, max(_offset) FROM bench.lead_events GROUP BY 1").result_rows
        at = time.monotonic()
        for partition, offset in rows:
            new = sent[partition][seen[partition] : offset + 1]
            delays.extend(at - moment for moment in new if moment - started > WARM_UP_SECONDS)
            seen[partition] = offset + 1
        time.sleep(TURN_SECONDS)
    if sum(seen.values()) < len(places):
        raise BenchmarkError(f"only {sum(seen.values()):,} of {len(places):,} events are in the table")
    return delays


def _topics(session: Session) -> None:
    session.broker.delete([topic for topic in SUNK_TOPICS if topic in session.broker.topics()])
    session.broker.create(*SUNK_TOPICS)


@contextmanager
def _warehouse(session: Session, run: str) -> Iterator[Warehouse]:
    ports = PortLeases()
    port = ports.lease(8123)
    command = [sys.executable, "-m", "warehouse.embedded", "--path", str(session.home / run), "--port", str(port)]
    log = session.home / "logs" / f"{run}-warehouse.log"
    with running("warehouse", command, log, {"PYTHONPATH": str(REPOSITORY)}):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client = connect(f"http://{HOST}:{port}")
                break
            except WarehouseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(TURN_SECONDS)
        migrate(client, "bench")
        yield Warehouse(f"http://{HOST}:{port}", client)
    ports.close()


@contextmanager
def _sink(session: Session, warehouse: Warehouse, run: str) -> Iterator[Process]:
    ready = session.home / f"{run}.ready"
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        "LEADLINE_HOME": str(session.home / f"{run}-home"),
        "LEADLINE_KAFKA_BOOTSTRAP": session.broker.bootstrap,
        "LEADLINE_CLICKHOUSE_URL": warehouse.url,
        "LEADLINE_CLICKHOUSE_DATABASE": "bench",
        "LEADLINE_READY_FILE": str(ready),
    }
    command = [sys.executable, "-m", "leadline", "sink"]
    with running("sink", command, session.home / "logs" / f"{run}.log", environment) as process:
        yield process


def _wait_for(ready: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the sink is not ready within {START_SECONDS:g} s")
        time.sleep(TURN_SECONDS)


def _count(warehouse: Warehouse) -> int:
    return int(warehouse.client.query("SELECT count() FROM bench.lead_events").result_rows[0][0])
