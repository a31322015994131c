"""A database and a sink group of one test, sinks as processes or in threads, and counts at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka import clients
from connectors.kafka.lag import lag_of
from connectors.kafka.log_bounds import bounds_of
from connectors.kafka.producer import AckedProducer
from kit.events import event
from kit.full_stack import wait_until
from schemas.codec import encode
from schemas.events import Event, LeadUnrouted
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.sink import Sink, SinkConfig
from warehouse.sinking.tables import SUNK_TOPICS

SINK = """
import signal, sys
from warehouse.client import connect
from warehouse.sink import Sink, SinkConfig
bootstrap, url, database, group = sys.argv[1:]
config = SinkConfig(
    bootstrap=bootstrap, database=database, group=group, batch_rows=500, batch_seconds=0.05, session_timeout_seconds=2.0
)
sink = Sink(config, connect(url), on_ready=lambda: print("ready", flush=True))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sink.stop())
sink.run()
"""


@dataclass
class World:
    """A database of one test, a sink group of its own, and what the test has produced."""

    bootstrap: str
    url: str
    database: str
    group: str
    log: Path
    sent: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.client: Client = connect(self.url)
        self.producer = AckedProducer(self.bootstrap)
        self.log.touch()

    def begin_at_end(self) -> None:
        """Let the group begin where the logs end now: what other tests wrote is not this one's."""
        ends = ends_of(self.bootstrap, SUNK_TOPICS)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group})
        consumer.commit(offsets=ends, asynchronous=False)
        consumer.close()

    def send(self, events: Sequence[Event], *pairs: tuple[str, bytes]) -> None:
        for one in events:
            self.producer.produce(one.TOPIC.name, str(one.lead_id).encode(), encode(one), pairs)
            self.sent.add(one.event_id)
        self.producer.flush()

    @contextmanager
    def sink(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A sink process with partitions; killed at the end if it still runs."""
        command = command or (sys.executable, "-c", SINK, self.bootstrap, self.url, self.database, self.group)
        environment = {
            **os.environ,
            "LEADLINE_KAFKA_BOOTSTRAP": self.bootstrap,
            "LEADLINE_CLICKHOUSE_URL": self.url,
            "LEADLINE_CLICKHOUSE_DATABASE": self.database,
            "LEADLINE_READY_FILE": str(self.log.with_suffix(".ready")),
        }
        with self.log.open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
            try:
                yield process
            finally:
                process.kill()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(sql.format(t=f"{self.database}.lead_events")).result_rows]

    def stored(self) -> int:
        """How many of the sent events are there."""
        found = {row[0] for row in self.query("SELECT DISTINCT event_id FROM {t}")}
        return len(found & self.sent)

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until all that was sent is there."""
        try:
            wait_until(lambda: self.stored() == len(self.sent), f"{len(self.sent)} events in the warehouse", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.stored()} are there\n{self.log.read_text()[-3000:]}") from None

    def settle(self) -> None:
        """Wait until all that was sent is there, and committed as done."""
        self.wait()
        admin = clients.admin(self.bootstrap)
        wait_until(lambda: lag_of(admin, self.group, SUNK_TOPICS) == 0, "all is settled", 30)

    def assert_once(self) -> None:
        """Each record gave one row, in the table and in the view that :func:`watched` made."""
        self.assert_exact()
        place = "_topic, _partition, _offset"
        ((rows, seen),) = self.query(f"SELECT count(), uniqExact({place}) FROM {self.database}.seen")
        assert rows == seen
        # Not the other way round: a row of an event that its log has twice is merged away.
        lacking = f"SELECT {place} FROM {{t}} WHERE ({place}) NOT IN (SELECT {place} FROM {self.database}.seen)"
        assert self.query(lacking) == []

    def assert_exact(self) -> None:
        """Every event has one final row, and its identity is in no other."""
        counted = self.query("SELECT event_id, count() FROM {t} FINAL GROUP BY event_id")
        ours = {event_id: count for event_id, count in counted if event_id in self.sent}
        assert ours == dict.fromkeys(self.sent, 1)

    def config(self, **changes: Any) -> SinkConfig:
        """Of a quick sink in the world's group."""
        settings = {"batch_rows": 500, "batch_seconds": 0.05, "session_timeout_seconds": 2.0, **changes}
        return SinkConfig(bootstrap=self.bootstrap, database=self.database, group=self.group, **settings)


def ends_of(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    """Where the log of each partition ends."""
    admin = clients.admin(bootstrap)
    known = admin.list_topics(timeout=20).topics
    places = [TopicPartition(topic, partition) for topic in topics for partition in known[topic].partitions]
    return [TopicPartition(*at, found.high) for at, found in bounds_of(admin, places).items()]


def members(world: World) -> int:
    """How many members Kafka counts in the group."""
    return len(_described(world))


def sharing(world: World) -> int:
    """How many of them have partitions."""
    return sum(bool(member.assignment.topic_partitions) for member in _described(world))


def _described(world: World) -> list[Any]:
    admin = clients.admin(world.bootstrap)
    return list(admin.describe_consumer_groups([world.group])[world.group].result(20).members)


@contextmanager
def running(sink: Sink) -> Iterator[threading.Thread]:
    """A sink in a thread; stopped at the end, and what ended it is raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            sink.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        sink.stop()
        thread.join(30)
        assert not thread.is_alive(), "the sink does not stop"
    if failed:
        raise failed[0]


def unrouted(count: int, **changes: Any) -> list[Event]:
    """As many events, each of a lead of its own."""
    return [event(LeadUnrouted, **changes) for _ in range(count)]


@contextmanager
def embedded(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An embedded warehouse of this test's own."""
    command = [sys.executable, "-m", "warehouse.embedded", "--path", str(folder / "db"), "--port", str(port)]
    with (folder / "warehouse.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: _answers(port) or process.poll() is not None, "the warehouse", 60)
            assert process.poll() is None, (folder / "warehouse.log").read_text()[-2000:]
            yield process
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        connect(f"http://127.0.0.1:{port}").close()
    except WarehouseError:
        return False
    return True


def watched(world: World) -> str:
    """A materialized view of the table: unlike the table's own rows, its rows never collapse."""
    world.client.command(
        f"CREATE MATERIALIZED VIEW {world.database}.seen ENGINE = MergeTree ORDER BY tuple()"
        " SETTINGS non_replicated_deduplication_window = 10000"
        f" AS SELECT _topic, _partition, _offset FROM {world.database}.lead_events"
    )
    return (
        f"SELECT count(), uniqExact(_topic, _partition, _offset) FROM {world.database}.seen"
        " WHERE _topic = 'leads.unrouted' AND _partition = 0"
    )
