"""The sink into the embedded engine: how fast it catches up, and how soon an event can be queried.

Both by the command as it is run, Kafka's consumption included, with a warehouse of the benchmark's own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from clickhouse_connect.driver.client import Client

from bench.broker import write
from bench.contender import Process, running, throughput
from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import REPOSITORY, Session
from connectors.kafka import clients
from leadline.stack.ports import HOST, PortLeases
from schemas.codec import encode
from schemas.events import Event, LeadDelivered, LeadDuplicate
from schemas.identity import event_id
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate
from warehouse.sinking.targets import SUNK_TOPICS

RECORDS: Final = 400_000
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


@benchmark("sink", unit="events/s", summary="events from Kafka into the embedded engine")
def sink(session: Session) -> Samples:
    """A backlog of two topics, taken in; counted in the table."""
    records, found = session.records or RECORDS, []
    for number in range(1, session.rounds + 1):
        _topics(session)
        for model in (LeadDuplicate, LeadDelivered):
            values = ((None, encode(_event(model, uuid4()))) for _ in range(records // 2))
            write(session.broker.bootstrap, model.TOPIC.name, values)
        with ExitStack() as stack:
            warehouse = stack.enter_context(_warehouse(session, f"sink-{number}"))
            progress = stack.enter_context(session.progress("sink", records))
            process = stack.enter_context(_sink(session, warehouse, f"sink-{number}"))
            rate = throughput(lambda: _count(warehouse), records // 2 * 2, [process], progress)  # noqa: B023
        found.append(rate)
        session.report(number, "leadline", rate, "events/s")
    return {"leadline": found}


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
            value = encode(_event(LeadDuplicate, uuid4()))
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


def _event(model: type[Event], lead_id: UUID) -> Event:
    now = datetime.now(UTC)
    details: dict[type[Event], dict[str, object]] = {
        LeadDuplicate: {"duplicate_of": UUID(int=1), "rule": "duplicate.person", "first_seen_at": now},
        LeadDelivered: {
            "buyer": "sunpath",
            "campaign": "west",
            "price": Decimal("12.5"),
            "reference": "R-1",
            "company": "sun",
            "payout": Decimal("7.25"),
            "exclusive": True,
            "route": "west-first",
            "tier": "first",
            "decision": 0,
            "declines": [],
        },
    }
    return model.model_validate(
        {
            "event_id": event_id(lead_id, model.STEP),
            "lead_id": lead_id,
            "received_at": now - timedelta(seconds=1),
            "occurred_at": now,
            "release": "0123456789abcdef",
            "vertical": "solar",
            "source": "quoteharbor",
            "person": "p" * 32,
            **details[model],
        }
    )
