"""Every table of the sink, written as the sink writes it and read through the views: on the real engine."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from clickhouse_connect.driver.client import Client
from kit.builders import campaign, configuration
from kit.events import DETAILS, MARK, MOMENT, event, record_of
from kit.written_tables import WrittenTables

from schemas.codec import encode
from schemas.config.history import ReleaseHistory
from schemas.config.placeholders import WrittenRelease
from schemas.config.release import Configuration
from schemas.decision import Failed
from schemas.events import Consent, Delivery, LeadRouted, LeadUnique, LeadUnrouted, LeadValidated
from schemas.headers import DeadLetter
from schemas.messages import Capacity, CapUse
from schemas.record import KafkaRecord
from warehouse.migrate import migrate
from warehouse.settling import asking, settle
from warehouse.sinking.tables import SUNK_TOPICS, TABLES
from warehouse.tables.body import REFUSED
from warehouse.tables.statement import statement_of
from warehouse.tables.table import PLACE, UNREADABLE, slot_of

Write = Callable[..., None]


@pytest.fixture
def write(client: Client, database: str) -> Write:
    migrate(client, database)
    return WrittenTables(client, database).add


@pytest.fixture
def rows(client: Client, database: str) -> Callable[[str], list[dict[str, Any]]]:
    def rows(sql: str) -> list[dict[str, Any]]:
        return list(client.query(sql.replace("FROM ", f"FROM {database}.")).named_results())

    return rows


def test_each_table_is_what_its_rows_are(client: Client, database: str) -> None:
    migrate(client, database)
    for table in TABLES:
        found = client.query(
            "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String} ORDER BY position",
            parameters={"d": database, "t": table.name},
        ).result_rows
        columns = [name for (name,) in found if name != "ingested_at"]
        assert tuple(columns[-3:]) == PLACE
        slots = [slot_of(source.topic) for source in table.sources] + [UNREADABLE] * (table.unreadable is not None)
        for some in [(slot,) for slot in slots] + [tuple(slots)]:
            (written,) = re.findall(r"INSERT INTO \S+ \((.*)\)", statement_of(table, some).sql(database))
            assert sorted(written.split(", ")) == sorted(columns), (table.name, some)


def test_every_event_is_in_its_tables(write: Write, rows: Any) -> None:
    sent = {model: event(model) for model in DETAILS}
    write([record_of(one) for one in sent.values()])
    (asked,) = rows("SELECT * FROM deliveries")
    assert (asked["lead_id"], asked["outcome"], asked["http_status"]) == (
        sent[Delivery].lead_id, "accepted", 200
    )  # fmt: skip
    assert (asked["price"], asked["is_last"], asked["posts"]) == (Decimal("12.5"), True, 1)
    assert (asked["endpoint"], asked["idempotency_key"]) == ("https://leads.sunpath.example", UUID(int=4))
    assert (asked["request_bytes"], asked["response_type"], asked["response_bytes"]) == (312, "application/json", 41)
    (said,) = rows("SELECT * FROM feedback")
    assert (said["kind"], said["amount"], said["campaign"]) == ("return", Decimal("12.5"), "west")
    decided = rows("SELECT reason, vertical, named, hex(campaigns) AS bits FROM routing_evaluations ORDER BY lead_id")
    assert sorted((row["reason"], row["bits"], tuple(row["named"])) for row in decided) == [
        ("chosen", "", ("west", "east")), ("filter.state", "A0", ()), ("filter.state", "A0", ()),
    ]  # fmt: skip
    assert rows("SELECT count() AS n FROM dead_letters") == [{"n": 0}]


def test_personal_data_is_in_contacts_and_nowhere_else(write: Write, client: Client, database: str) -> None:
    consent = Consent(
        text_hash="0" * 64, url=f"https://example.com/{MARK}", ip="192.0.2.1", at=MOMENT, sellers=[f"{MARK} Inc"]
    )
    validated = event(LeadValidated)
    assert isinstance(validated, LeadValidated)
    validated = validated.model_copy(update={"lead": validated.lead.model_copy(update={"consent": consent})})
    raw = json.dumps({"phone": MARK, "first_name": MARK, "source": f"{MARK} x"}).encode()
    letter = DeadLetter("leads", 0, 5, 1_700_000_000_000, "validation", "value.not_json", "", "1", uuid4(), 0, 1000)
    records = [record_of(event(model)) for model in DETAILS if model is not LeadValidated]
    records += [
        record_of(validated),
        KafkaRecord("leads", 0, 0, 1_700_000_000_000, MARK.encode(), raw),
        KafkaRecord("dead-letters", 0, 0, 1_700_000_000_000, MARK.encode(), raw, letter.headers()),
        KafkaRecord("leads.routed", 0, 1, 1_700_000_000_000, MARK.encode(), raw),
    ]
    write(records)
    names = client.query(
        "SELECT name, engine FROM system.tables WHERE database = {d:String} AND engine NOT LIKE '%MaterializedView'",
        parameters={"d": database},
    ).result_rows
    assert {"contacts", "lead_events", "journey", "evaluations"} <= {name for name, _ in names}
    holding = {
        name
        for name, _ in names
        if MARK.lower().encode() in client.raw_query(f"SELECT * FROM {database}.{name}").lower()
    }
    assert holding == {"contacts"}
    (row,) = client.query(f"SELECT * FROM {database}.contacts").named_results()
    assert (row["first_name"], row["phone"], row["email"]) == (f"{MARK}-first", f"+1{MARK}", f"{MARK}@example.com")
    assert row["fields"] == validated.lead.extra
    assert (row["consent_sellers"], row["consent_at"].replace(tzinfo=UTC)) == ([f"{MARK} Inc"], MOMENT)


def test_who_is_erased_does_not_come_back(write: Write, client: Client, database: str) -> None:
    gone, stays, person = event(LeadValidated), event(LeadValidated), event(LeadValidated)
    person = person.model_copy(update={"person": "p" * 32})
    later = person.model_copy(update={"lead_id": uuid4(), "received_at": MOMENT + timedelta(days=1)})
    client.insert(f"{database}.erased", [[gone.lead_id, MOMENT, uuid4()]], ["lead_id", "erased_at", "certificate"])
    client.insert(
        f"{database}.erased_persons",
        [["p" * 32, MOMENT + timedelta(hours=1), uuid4()]],
        column_names=["person", "until", "certificate"],
    )
    batch = [record_of(one) for one in (gone, stays, person, later)]
    for fresh in (True, False, False):  # as a live batch, and as one that is made again long after
        write(batch, fresh=fresh)
    found = client.query(f"SELECT lead_id FROM {database}.contacts FINAL").result_rows
    assert {lead for (lead,) in found} == {stays.lead_id, later.lead_id}
    assert client.query(f"SELECT uniqExact(lead_id) FROM {database}.lead_events").result_rows == [(4,)]


def test_what_nobody_can_read_is_told_of(write: Write, rows: Any) -> None:
    letter = DeadLetter(
        "offers", 1, 5, 1_700_000_000_000, "delivery", "value.not_event", "x", "1", UUID(int=9), 2, 1000
    )
    bad = tuple((name, b"9" * 40) for name, _ in letter.headers())
    write(
        [
            KafkaRecord("dead-letters", 0, 0, 1_700_000_000_000, None, b"v", letter.headers()),
            KafkaRecord("dead-letters", 0, 0, 1_700_000_000_000, None, b"v", bad),
            *(KafkaRecord(t, 0, 0, 1_700_000_000_000, None, b"garbage") for t in SUNK_TOPICS if t != "dead-letters"),
        ]
    )
    told = rows("SELECT stage, reason, origin_topic, origin_offset FROM dead_letters")
    assert {row["origin_topic"] for row in told if row["stage"] == "sink"} >= set(SUNK_TOPICS) - {
        "leads",
        "dead-letters",
    }
    assert {"stage": "delivery", "reason": "value.not_event", "origin_topic": "offers", "origin_offset": 5} in told


def test_a_topic_that_is_made_again_has_other_records_at_its_offsets(client: Client, database: str) -> None:
    migrate(client, database)
    written, topic = WrittenTables(client, database), LeadUnique.TOPIC.name
    before, after = ([record_of(event(LeadUnique), offset=n) for n in range(5)] for _ in range(2))
    written.learn({topic: "one"})
    written.put(before, topic_id="one")
    written.learn({topic: "two"})
    for _ in range(2):
        written.put(before, topic_id="one", fresh=False)
        written.put(after, topic_id="two", fresh=False)
    assert client.query(f"SELECT count(), uniqExact(event_id) FROM {database}.lead_events").result_rows == [(10, 10)]
    WrittenTables(client, database).learn({topic: "one"} | {topic: "two"})
    noted = f"SELECT topic_id, since = toDateTime64(0, 3) FROM {database}.sunk_topics ORDER BY since"
    assert client.query(noted).result_rows == [("one", True), ("two", False)]


def test_what_any_table_refuses_is_told(write: Write, rows: Any, client: Client, database: str) -> None:
    now = datetime.now(UTC)
    told = used("west", "total:accepted", 3, now, None, now)
    (use,) = told.uses
    other = told.model_copy(update={"uses": [use.model_copy(update={"cap": "odd"})]})
    client.command(f"ALTER TABLE {database}.cap_ledger ADD CONSTRAINT c CHECK cap != 'odd'")
    capacity = [KafkaRecord("capacity", 0, n, 0, b"west", encode(one)) for n, one in enumerate((told, other))]
    write([*capacity, record_of(event(Delivery, posts=-1))])
    assert rows("SELECT _offset FROM cap_ledger") == [{"_offset": 0}]
    letters = rows("SELECT stage, reason, origin_topic, origin_offset FROM dead_letters ORDER BY origin_topic")
    assert [tuple(letter.values()) for letter in letters] == [
        ("sink", REFUSED, "capacity", 1),
        ("sink", REFUSED, "deliveries", 0),
    ]


def used(campaign: str, cap: str, taken: int, since: datetime, until: datetime | None, at: datetime) -> Capacity:
    use = CapUse(cap=cap, since=since.strftime("%Y-%m-%dT%H:%MZ"), until=until, limit=Decimal(10), used=Decimal(taken))
    full = "cap.day" if taken >= 10 else None
    return Capacity(campaign=campaign, buyer="sunpath", uses=[use], full=full, until=until, occurred_at=at)


def test_caps_are_against_the_window_that_is_open(write: Write, rows: Any) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    day = timedelta(days=1)
    told = [
        used("west", "day:accepted", 3, now - day, now + day, now - timedelta(minutes=9)),
        used("west", "day:accepted", 10, now - day, now + day, now - timedelta(minutes=5)),
        used("east", "day:accepted", 7, now - 2 * day, now - day, now - 2 * day),
        used("east", "total:accepted", 4, now - 2 * day, None, now - 2 * day),
    ]
    write([KafkaRecord("capacity", 0, n, 0, one.campaign.encode(), encode(one)) for n, one in enumerate(told)])
    caps = {(row["campaign"], row["cap"]): row for row in rows("SELECT * FROM caps")}
    assert caps["west", "day:accepted"]["used"] == 10
    assert (caps["west", "day:accepted"]["is_full"], caps["west", "day:accepted"]["use"]) == (True, 1.0)
    assert (caps["east", "day:accepted"]["used"], caps["east", "day:accepted"]["left"]) == (0, 10)
    assert (caps["east", "total:accepted"]["used"], caps["east", "total:accepted"]["window_ends"]) == (4, None)
    assert rows("SELECT count() AS n FROM cap_ledger") == [{"n": 4}]


def applied(history: ReleaseHistory, release: Configuration, at: datetime) -> list[KafkaRecord]:
    """What the ``config`` topic is told of a release that is put in force."""
    records = list(history.records_of(WrittenRelease.of(release), at, "ann", f"of {len(release.campaigns)}"))
    for key, record in records:
        history.add(key, record)
    return [KafkaRecord("config", 0, n, 0, key.encode(), encode(record)) for n, (key, record) in enumerate(records)]


def bits(order: Sequence[str], chosen: set[str]) -> bytes:
    """A bit a campaign, the first in the highest bit of the first byte."""
    text = "".join("1" if name in chosen else "0" for name in order)
    size = -(-len(text) // 8)
    return int(text.ljust(size * 8, "0") or "0", 2).to_bytes(size, "big")


def test_every_campaign_of_a_decision_is_named_with_its_reason(
    write: Write, rows: Any, client: Client, database: str
) -> None:
    chance, history, records, expected = random.Random(5), ReleaseHistory(), [], set()
    for count in (1, 9, 40, 200):
        names = chance.sample([f"c{n}" for n in range(200)], count)
        release = configuration(
            *(
                campaign(name, priority=chance.choice((0, 7, 100, 100)), vertical=chance.choice(("solar", "roofing")))
                for name in names
            )
        )
        records += applied(history, release, MOMENT + timedelta(days=count))
        solar = [one.id for one in release.campaigns_of["solar"]]
        roofing = [one.id for one in release.campaigns_of.get("roofing", ())]
        named = history.applied[-1].release
        state = set(chance.sample(solar, len(solar) // 2))
        failed = [
            Failed(reason="filter.state", vertical="solar", campaigns=bits(solar, state)),
            Failed(reason="filter.cel", vertical="solar", campaigns=bits(solar, set(solar) - state)),
            Failed(reason="filter.price", vertical="roofing", campaigns=bits(roofing, set(roofing))),
        ]
        failed = [one for one in failed if any(one.campaigns)]
        unrouted = event(LeadUnrouted, release=named)
        assert isinstance(unrouted, LeadUnrouted)
        unrouted = unrouted.model_copy(update={"trace": unrouted.trace.model_copy(update={"failed": failed})})
        records.append(record_of(unrouted))
        reason = {name: "filter.state" if name in state else "filter.cel" for name in solar}
        expected |= {(unrouted.lead_id, "solar", name, why) for name, why in reason.items()}
        expected |= {(unrouted.lead_id, "roofing", name, "filter.price") for name in roofing}
    routed = event(LeadRouted)
    records.append(record_of(routed))
    expected |= {(routed.lead_id, "solar", name, "chosen") for name in ("west", "east")}
    write(records)
    found = rows("SELECT * FROM evaluations WHERE campaign != ''")
    assert {(row["lead_id"], row["vertical"], row["campaign"], row["reason"]) for row in found} == expected
    assert len(found) == len(expected)
    told = rows("SELECT number, release, author, message, previous FROM release_history ORDER BY number")
    assert [(row["number"], row["message"]) for row in told] == [(1, "of 1"), (2, "of 9"), (3, "of 40"), (4, "of 200")]
    assert [row["previous"] for row in told] == ["", *(row["release"] for row in told[:-1])]
    by = "toStartOfHour({}) AS hour, release, vertical, campaign, reason"
    one_by_one = rows(f"SELECT {by.format('received_at')}, count() AS n FROM evaluations GROUP BY ALL ORDER BY ALL")
    counted = f"SELECT {by.format('hour')}, sum(decisions) AS n FROM campaign_reasons GROUP BY ALL ORDER BY ALL"
    assert rows(counted) == one_by_one
    assert settle(asking(client), database, quiet=timedelta(0)).hours > 0
    assert rows(counted) == one_by_one
