"""`leadline explain` on a real Kafka and a real ClickHouse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from kit.builders import campaign, configuration, context, unique
from kit.full_stack import wait_until
from kit.written_tables import WrittenTables

from connectors.kafka import clients, release_log, topic_admin
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from connectors.kafka.producer import AckedProducer
from schemas.codec import encode
from schemas.config.placeholders import WrittenRelease
from schemas.config.route import Route
from schemas.events import Delivery, Event, LeadRouted, LeadUnique
from schemas.identity import Step, attempt_of, event_id
from schemas.record import KafkaRecord
from streams.routing.stage import Routing
from streams.tables import Tables
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.migrate import migrate

ROUTE = Route.model_validate(
    {"id": "auction", "vertical": "solar", "groups": [{"name": "market", "method": "highest_price"}], "floor": "10"}
)
CONFIGURATION = configuration(
    campaign("high", price=30),
    campaign("low", price=20),
    campaign("cheap", price=8),
    *(campaign(f"far{n}", price=40, states=frozenset({"NY"})) for n in range(8)),
    routes=[ROUTE],
)


@pytest.fixture(autouse=True, scope="module")
def topics(kafka_bootstrap: str) -> None:
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, all_topics(), 4), 4, 1)
    wait_until(lambda: not topic_admin.diff(admin, all_topics(), 4), "the topics", 20)


@dataclass
class Desk:
    """The log and the warehouse, and the command that reads them."""

    kafka: str
    clickhouse: str
    database: str
    folder: Path

    def keep(self, *events: Event) -> list[KafkaRecord]:
        """Put events into the log, and their rows into the warehouse as the sink does."""
        producer, key = AckedProducer(self.kafka), uuid4().bytes
        for event in events:
            producer.produce(event.TOPIC.name, key, encode(event))
        producer.flush()
        reader = clients.reader(self.kafka)
        found = [
            record
            for topic in {event.TOPIC.name for event in events}
            for partition in partitions_of(reader, topic)
            for batch in read_range(self.kafka, topic, partition)
            for record in map(as_record, batch)
            if record.key == key
        ]
        reader.close()
        WrittenTables(connect(self.clickhouse), self.database).put(found)
        return found

    def explain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "LEADLINE_HOME": str(self.folder / "home"),
            "LEADLINE_KAFKA_BOOTSTRAP": self.kafka,
            "LEADLINE_CLICKHOUSE_URL": self.clickhouse,
            "LEADLINE_CLICKHOUSE_DATABASE": self.database,
            "COLUMNS": "160",
        }
        return subprocess.run(
            [sys.executable, "-m", "leadline", "explain", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment,
            timeout=60,
            check=False,
        )


@pytest.fixture
def desk(kafka_bootstrap: str, clickhouse_url: str, database: str, tmp_path: Path) -> Desk:
    migrate(connect(clickhouse_url), database)
    return Desk(kafka_bootstrap, clickhouse_url, database, tmp_path)


def decided(lead: LeadUnique) -> LeadRouted:
    """What routing makes of a lead."""
    known = context(CONFIGURATION, lead.received_at)
    routed, *_ = (output.value for output in Routing().process([lead], Tables(), known))
    assert isinstance(routed, LeadRouted)
    return routed


def attempt_at(routed: LeadRouted, cursor: int) -> Delivery:
    leg, attempt = routed.slip.candidates[cursor], attempt_of(routed.attempt, cursor)
    common = routed.model_dump(include=set(Event.model_fields)) | {
        "event_id": event_id(routed.lead_id, Step.ATTEMPT, routed.run, attempt),
        "attempt": attempt,
    }
    return Delivery(
        **common, person=routed.person, campaign=leg.campaign, buyer=leg.buyer, outcome="accepted", reason=None,
        price=Decimal(30), reference="r-1", http_status=200, posts=1, latency_ms=12.0,
        company=leg.company, exclusive=leg.exclusive, route=routed.slip.route, tier=routed.slip.tiers[leg.tier].name,
        decision=routed.attempt, over=True,
    )  # fmt: skip


def lead_now() -> LeadUnique:
    now = datetime.now(UTC)
    return unique(uuid4(), received_at=now.replace(microsecond=now.microsecond // 1000 * 1000))


def test_a_decision_is_made_again_from_the_log_and_explained(desk: Desk) -> None:
    written = WrittenRelease.of(CONFIGURATION)
    release_log.apply(desk.kafka, written, at=datetime.now(UTC), author="ann", message="")
    wait_until(lambda: written.release in release_log.read_history(desk.kafka).releases, "the release", 30)
    lead = lead_now()
    routed = decided(lead)
    assert routed.release == written.release
    desk.keep(lead, routed, attempt_at(routed, 0))

    done = desk.explain(str(lead.lead_id), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["agrees"], told["route"], told["release"]) == (True, "auction", written.release)
    by_name: dict[str, Any] = {one["campaign"]: one for one in told["campaigns"]}
    assert list(by_name)[:2] == ["high", "low"]
    (place,) = by_name["high"]["places"]
    assert (place["place"], place["price"], place["became"]) == (1, "30.0000", "accepted")
    assert by_name["low"]["would"]["price"] == "30.0001"
    assert by_name["cheap"]["failing"] == {
        "reason": "price.floor",
        "expected": "at least 10.00 (floor)",
        "actual": "8.00 exclusive",
    }
    assert by_name["cheap"]["would"]["price"] == "10.0000"
    assert by_name["far0"]["would"]["places"][0]["place"] == 1

    page = desk.explain(str(lead.lead_id)).stdout
    for text in (
        "the same to the last value",
        "route auction",
        "filter.state (8)",
        "and 3 more",
        "accepted",
        "30.0001",
    ):
        assert text in page, page
    assert "far7" not in page
    assert "far7" in desk.explain(str(lead.lead_id), "--all").stdout
    one = desk.explain(str(lead.lead_id), "--campaign", "cheap").stdout
    assert "at 10.00: place 3" in one
    assert "far0" not in one
    for arguments, said in (
        (["--campaign", "chaep"], "Did you mean cheap?"),
        (["--run", "7"], "--run 0 --decision 0"),
        (["--decision", "3"], "--run 0 --decision 0"),
    ):
        wrong = desk.explain(str(lead.lead_id), *arguments)
        assert (wrong.returncode, said in wrong.stderr) == (1, True), wrong.stderr


def test_what_cannot_be_explained_says_what_to_type_next(desk: Desk) -> None:
    unknown = desk.explain(str(uuid4()))
    assert unknown.returncode == 1
    assert "`leadline journey" in unknown.stderr
    waiting = lead_now()
    desk.keep(waiting)
    assert "`leadline status`" in desk.explain(str(waiting.lead_id)).stderr
    lead = lead_now()
    desk.keep(lead, decided(lead).model_copy(update={"release": "f" * 16}))
    assert "`leadline config history`" in desk.explain(str(lead.lead_id)).stderr


def test_a_decision_that_retention_deleted_is_said_to_be(desk: Desk, kafka_bootstrap: str) -> None:
    lead = lead_now()
    admin: AdminClient = clients.admin(kafka_bootstrap)
    records = desk.keep(lead, decided(lead))
    (place,) = ((r.partition, r.offset) for r in records if r.topic == LeadRouted.TOPIC.name)
    gone = TopicPartition(LeadRouted.TOPIC.name, place[0], place[1] + 1)
    for future in admin.delete_records([gone]).values():
        future.result(30)
    done = desk.explain(str(lead.lead_id))
    assert done.returncode == 1
    assert "retention has deleted it" in done.stderr
    assert f"`leadline journey {lead.lead_id}`" in done.stderr
