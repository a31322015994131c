"""The direct runner makes the very events of the in-memory runner, which encodes, writes and reads each of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.builders import NOW, SECRET

from connectors.config_file import load_configuration
from connectors.outbound.contract import Answer
from connectors.sandbox.traffic import SOURCES, Mix, generate
from schemas import topics
from schemas.codec import UndecodableError, decode
from schemas.config.release import Configuration
from schemas.events import Delivery, Event, LeadDelivered, LeadUnique, LeadValidated, Outcome
from schemas.headers import DeadLetter
from schemas.messages import Capacity
from schemas.raw_lead import arrival_of
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from streams.dedup.stage import Dedup
from streams.delivery.stage import DeliveryStage, Post
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.routing.stage import Routing
from streams.simulation.direct import CapacityHint, Dead, DirectRunner
from streams.stage import Context, Stage
from streams.validation.stage import Validation

DEMO = load_configuration(
    Path(__file__).parents[3] / "deploy" / "local" / "config.yaml", {"LEADLINE_SANDBOX_URL": "http://127.0.0.1:9"}
)
VERTICALS = ("solar", "roofing", "auto_insurance")
RICH = DEMO.model_validate(
    {
        **DEMO.model_dump(exclude={"campaigns", "routes", "sources", "buyers"}),
        "sources": [{"id": name, "payout": "3", "revshare": "10", "caps": [{"window": "day", "limit": 40}]}
                    for name in SOURCES],
        "buyers": [{"id": f"buyer-{n}", "name": f"Buyer {n}", "parent": f"company-{n // 2}", "credit": "2500",
                    "duplicate_days": 30} for n in range(8)],
        "campaigns": [
            {
                "id": f"campaign-{n}",
                "buyer": f"buyer-{n % 8}",
                "vertical": VERTICALS[n % 3],
                "price": f"{20 + n}",
                "exclusivity": "hybrid" if n % 4 == 0 else "shared",
                "exclusive_price": f"{30 + n}" if n % 4 == 0 else None,
                "weight": n % 5 + 1,
                "caps": [{"window": "hour", "limit": "3"}, {"window": "day", "limit": "400", "counts": "spend"}],
                "schedule": {"open": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]}
                if n % 2 else None,
                "time_zone": "America/Denver",
                "delivery": {"url": "http://127.0.0.1:9/leads"},
            }
            for n in range(24)
        ],
        "routes": [
            {
                "id": vertical,
                "vertical": vertical,
                "groups": [{"name": "all", "method": method}],
                "max_sales": 3,
                "unsold": {"hold": {"recheck_minutes": 30, "maximum_age_hours": 20}},
            }
            for vertical, method in zip(VERTICALS, ("weighted", "round_robin", "percentage"), strict=True)
        ],
    }
)  # fmt: skip
MIX = Mix(sellable=120, duplicates=30, invalid=12, out_of_area=10, capped=26, declined=5, malformed=10)


def stages() -> list[Stage[Any]]:
    return [Validation(partitions=1), Dedup(), Routing(), DeliveryStage()]


def answer(post: Post) -> Answer:
    """Half of them take a lead, some have it, and one never says."""
    drawn = post.key.int % 8
    if drawn < 4:
        return Answer(Outcome.ACCEPTED, reference=str(post.key))
    if drawn == 7:
        return Answer(Outcome.UNKNOWN, Reason.OUTCOME_UNKNOWN)
    return Answer(Outcome.DUPLICATE) if drawn == 6 else Answer(Outcome.REJECTED, Reason.BUYER_REJECTED)


class OnTheLog:
    """The in-memory runner, lead by lead, with routing told of caps as soon as the topic has them."""

    def __init__(self, configuration: Configuration) -> None:
        self.now = NOW
        self.hint, self.heard = CapacityHint(), 0
        self.configuration = configuration
        self.log = MemoryLog(partitions=1, clock=lambda: self.now)
        self.runner = MemoryRunner(stages(), self.log, self.context, answer, slice_records=1)

    def context(self) -> Context:
        records = self.log.read(topics.CAPACITY.name, 0, self.heard)
        for record in records:
            capacity = decode(record.topic, record.value)
            assert isinstance(capacity, Capacity)
            self.hint.tell(capacity)
            self.heard = record.offset + 1
        return Context(self.now, self.configuration, SECRET, "simulated", full=self.hint.at(self.now))

    def put(self, value: bytes, now: datetime) -> KafkaRecord:
        """Tick, as a lane does before its next records once it is time to, and take a lead."""
        self.now = now
        self.runner.run()
        record = self.log.append(topics.LEADS.name, None, value)
        self.runner._rest()
        return record

    def events(self) -> list[Event]:
        names = [spec.name for spec in topics.CATALOGUE if spec not in (topics.LEADS, topics.DEAD_LETTERS)]
        found = [decode(name, record.value) for name in names for record in self.log.records(name)]
        return [event for event in found if isinstance(event, Event)]

    def dead(self) -> list[DeadLetter]:
        return [DeadLetter.from_headers(record.headers) for record in self.log.records(topics.DEAD_LETTERS.name)]


class Direct:
    """The direct runner beside it."""

    def __init__(self, configuration: Configuration) -> None:
        self.found: list[Event | Dead] = []
        self.runner = DirectRunner(stages(), configuration, SECRET, self.found.append, answer)

    def put(self, record: KafkaRecord, now: datetime) -> None:
        self.runner.tick(now)
        try:
            arrival = arrival_of(record)
        except UndecodableError:
            return
        self.runner.put(topics.LEADS.name, arrival, now)

    def events(self) -> list[Event]:
        return [event for event in self.found if isinstance(event, Event)]


@pytest.mark.parametrize(("configuration", "seed"), [(DEMO, 0), (RICH, 1), (RICH, 2)])
def test_the_direct_runner_makes_the_events_of_the_in_memory_runner(configuration: Configuration, seed: int) -> None:
    traffic = generate(seed, MIX)
    log, direct, now = OnTheLog(configuration), Direct(configuration), NOW
    for value in traffic.records:
        now += timedelta(minutes=9, milliseconds=7)  # a day and a half: windows of caps end
        direct.put(log.put(value, now), now)
    expected = {event.event_id: event for event in log.events()}
    found = {event.event_id: event for event in direct.events()}
    assert len(expected) == len(log.events()) > 700
    assert len(found) == len(direct.events())
    assert found.keys() == expected.keys()
    assert all(found[event_id] == event for event_id, event in expected.items())
    assert all(found[event_id].model_dump_json() == expected[event_id].model_dump_json() for event_id in expected)
    assert {letter.reason for letter in log.dead()} <= {
        "value.not_json", "value.not_utf8", "value.not_object", "value.empty", "value.too_deep", "schema.mismatch",
        "schema.unknown",
    }  # fmt: skip


def test_a_lead_that_makes_a_stage_fail_is_dead_and_stops_no_other() -> None:
    class Failing(Dedup):
        def process(self, arrivals: Any, tables: Any, context: Context) -> Any:
            outputs = super().process(arrivals, tables, context)
            if arrivals[0].lead.zip.endswith("1"):
                raise RuntimeError("a bug")
            return outputs

    found: list[Event | Dead] = []
    runner = DirectRunner([Validation(partitions=1), Failing()], DEMO, SECRET, found.append)
    traffic = generate(1, Mix(sellable=60, duplicates=0, invalid=0, out_of_area=0, capped=0, declined=0, malformed=0))
    for number, value in enumerate(traffic.records):
        record = KafkaRecord(topics.LEADS.name, 0, number, 1_772_600_000_000, None, value)
        runner.put(topics.LEADS.name, arrival_of(record), NOW)
    dead = [event for event in found if isinstance(event, Dead)]
    unique = [event for event in found if isinstance(event, Event) and event.TOPIC is topics.UNIQUE]
    assert dead
    assert {(d.stage, d.reason, d.detail) for d in dead} == {("dedup", Reason.STAGE_FAILED, "RuntimeError")}
    assert len(dead) + len(unique) == 60


@pytest.mark.parametrize(("configuration", "seed"), [(DEMO, 3), (RICH, 4)])
def test_events_of_trusted_values_are_what_validation_would_have_made(configuration: Configuration, seed: int) -> None:
    log, direct, now = OnTheLog(configuration), Direct(configuration), NOW
    for value in generate(seed, MIX).records:
        now += timedelta(minutes=9, microseconds=7_321)
        direct.put(log.log.append(topics.LEADS.name, None, value), now)
    assert {type(event) for event in direct.events()} >= {LeadValidated, LeadUnique, Delivery, LeadDelivered}
    for event in direct.events():
        assert repr(event) == repr(type(event).model_validate(event.model_dump()))  # types and digits as well
        assert [*event.__dict__] == [*type(event).model_fields]
