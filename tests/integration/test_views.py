"""Analysts' views on the real engine: what a few known leads come to, and what no view may show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from clickhouse_connect.driver.client import Client
from kit.builders import campaign, configuration
from kit.events import MARK, MOMENT, event, record_of
from kit.full_stack import REPOSITORY
from kit.written_tables import WrittenTables

from schemas.codec import encode
from schemas.config.history import ReleaseHistory
from schemas.config.placeholders import WrittenRelease
from schemas.events import (
    Delivery,
    Event,
    Feedback,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
)
from schemas.headers import DeadLetter
from schemas.messages import Capacity, CapUse
from schemas.record import KafkaRecord
from warehouse.client import connect
from warehouse.dashboards import dashboards
from warehouse.dictionary import relations
from warehouse.migrate import migrate
from warehouse.tables.lead_events import LEAD_EVENTS
from warehouse.views import views

LEADS = [UUID(int=number) for number in range(1, 7)]
UNWRITTEN = ("schema_migrations", "ingested_mv")
"""What analysts have no business with."""
SOLD, RETURNED, UNSOLD, REJECTED, DUPLICATE, WAITING = LEADS
DECIDED_BY = "0123456789abcdef"
"""The release that the events name."""


@pytest.fixture
def asked(client: Client, database: str) -> Any:
    """Six leads: sold twice, sold and returned, replayed and not sold, rejected, a duplicate, and one under way."""
    migrate(client, database)
    records: list[KafkaRecord] = []

    def happened(lead_id: UUID, *events: tuple[type[Event], dict[str, Any]]) -> None:
        received = event(LeadUnique, lead_id)
        value = b'{"vertical": "solar", "source": "quoteharbor", "lead_id": "%b"}' % str(lead_id).encode()
        at_ms = round(received.received_at.timestamp() * 1000)
        records.append(KafkaRecord("leads", 0, 0, at_ms, None, value))
        for number, (model, changes) in enumerate(events):
            one = event(model, lead_id, **{"occurred_at": MOMENT + timedelta(seconds=1 + number), **changes})
            records.append(record_of(one))

    def passed(run: int = 0) -> list[tuple[type[Event], dict[str, Any]]]:
        return [(model, {"run": run}) for model in (LeadValidated, LeadUnique)]

    two = {"campaign": "east", "buyer": "lumen", "price": Decimal(8), "payout": Decimal(0), "attempt": 1}
    happened(
        SOLD,
        *passed(),
        (LeadRouted, {}),
        (Delivery, {"outcome": "rejected", "price": None, "latency_ms": 40.0}),
        (Delivery, {"attempt": 1, "latency_ms": 20.0}),
        (LeadDelivered, {}),
        (LeadDelivered, two),
    )
    happened(RETURNED, *passed(), (LeadRouted, {}), (Delivery, {}), (LeadDelivered, {}), (Feedback, {}))
    skipped = {"outcome": "skipped", "price": None, "run": 1}
    happened(
        UNSOLD,
        *passed(),
        (LeadUnrouted, {}),
        *passed(1),
        (LeadRouted, {"run": 1}),
        (Delivery, skipped),
        (LeadUndelivered, {"run": 1}),
    )
    happened(REJECTED, (LeadRejected, {}))
    happened(DUPLICATE, (LeadValidated, {}), (LeadDuplicate, {}))
    happened(WAITING, *passed())
    use = CapUse(cap="day:accepted", since="2026-11-20T00:00Z", until=None, limit=Decimal(10), used=Decimal(4))
    told = Capacity(campaign="west", buyer="sunpath", uses=[use], full=None, until=None, occurred_at=MOMENT)
    records.append(KafkaRecord("capacity", 0, 0, 0, b"west", encode(told)))
    release = configuration(campaign("west"), campaign("north"), campaign("east"))
    for key, record in ReleaseHistory().records_of(WrittenRelease.of(release), MOMENT, "ann", "first"):
        # Known by the name that the events' decisions have.
        named = record.model_copy(update={"release": DECIDED_BY}) if record.kind in ("release", "applied") else record
        records.append(KafkaRecord("config", 0, 0, 0, key.encode(), encode(named)))
    at_ms = round(MOMENT.timestamp() * 1000)
    letter = DeadLetter("offers", 0, 5, at_ms, "delivery", "value.not_event", "", "1", SOLD, 0, at_ms)
    records.append(KafkaRecord("dead-letters", 0, 0, at_ms, None, b"{}", letter.headers()))
    WrittenTables(client, database).add(records)

    def ask(sql: str) -> Sequence[dict[str, Any]]:
        return list(client.query(sql, settings={"readonly": 2}).named_results())

    return lambda sql: ask(sql.replace("FROM ", f"FROM {database}."))


def test_a_lead_is_one_row_with_its_end(asked: Any) -> None:
    found = {row["lead_id"]: row for row in asked("SELECT * FROM leads")}
    assert {lead: found[lead]["status"] for lead in LEADS} == {
        SOLD: "delivered", RETURNED: "delivered", UNSOLD: "undelivered", REJECTED: "rejected",
        DUPLICATE: "duplicate", WAITING: "",
    }  # fmt: skip
    assert len(found) == len(LEADS)
    sold = found[SOLD]
    assert (sold["sales"], sold["price"], sold["payout"]) == (2, Decimal("20.5"), Decimal("7.25"))
    assert (sorted(sold["buyers"]), sold["attempts"], sold["route"]) == (["lumen", "sunpath"], 2, "west-first")
    assert sold["speed_to_lead_ms"] == 6000
    assert found[UNSOLD] | {"run": 1, "reason": "delivery.all_declined", "attempts": 0, "sales": 0} == found[UNSOLD]
    assert found[REJECTED]["reason"] == "phone.invalid"
    assert found[WAITING]["first_sold_at"] is None


def test_the_funnel_s_ends_add_up(asked: Any) -> None:
    (row,) = asked("SELECT * EXCEPT (minute) FROM funnel")
    assert (row["vertical"], row["source"], row["received"]) == ("solar", "quoteharbor", 6)
    ends = ("delivered", "rejected", "duplicate", "unrouted", "undelivered", "dead", "under_way")
    assert [row[end] for end in ends] == [2, 1, 1, 0, 1, 0, 1]
    assert sum(row[end] for end in ends) == row["received"]
    assert (row["validated"], row["unique_leads"], row["routed"]) == (5, 4, 3)


def test_money_is_counted_once_and_returns_are_taken_off(asked: Any) -> None:
    (total,) = asked(
        "SELECT sum(sales) AS n, sum(revenue) AS r, sum(returned) AS b, sum(cost) AS c, sum(margin) AS m FROM revenue"
    )
    assert total == {"n": 3, "r": Decimal(33), "b": Decimal("12.5"), "c": Decimal("14.5"), "m": Decimal(6)}
    (sale,) = asked(f"SELECT price, is_returned, returned_price FROM sales WHERE lead_id = '{RETURNED}'")
    assert sale == {"price": Decimal("12.5"), "is_returned": True, "returned_price": Decimal("12.5")}
    (roi,) = asked("SELECT * FROM source_roi")
    assert (roi["leads"], roi["sold"], roi["revenue"], roi["cost"]) == (6, 2, Decimal(33), Decimal("14.5"))
    assert (roi["margin"], roi["revenue_per_lead"]) == (Decimal("18.5"), 5.5)


def test_acceptance_is_of_the_buyers_own_answers(asked: Any) -> None:
    (row,) = asked("SELECT * FROM acceptance")
    assert (row["asked"], row["accepted"], row["rejected"], row["skipped"]) == (3, 2, 1, 1)
    assert row["acceptance_rate"] == pytest.approx(2 / 3)
    assert 12.5 <= row["answer_p50_ms"] <= row["answer_p99_ms"] <= 40


def test_duplicates_unsold_leads_and_times(asked: Any) -> None:
    (duplicate,) = asked("SELECT * FROM duplicates")
    assert (duplicate["lead_id"], duplicate["duplicate_of"], duplicate["rule"]) == (
        DUPLICATE,
        UUID(int=1),
        "duplicate.person",
    )
    (unsold,) = asked("SELECT * EXCEPT (day) FROM unsold_reasons")
    assert (unsold["status"], unsold["reason"], unsold["leads"]) == ("undelivered", "delivery.all_declined", 1)
    times = {row["stage"]: row for row in asked("SELECT * FROM speed_to_lead")}
    assert set(times) == {"validation", "dedup", "routing", "delivery"}
    assert all(row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in times.values())
    fresh = {row["stage"]: row for row in asked("SELECT * FROM freshness")}
    assert "validation" in fresh
    journey = asked(f"SELECT stage FROM journey WHERE lead_id = '{RETURNED}' ORDER BY run, occurred_at")
    assert [row["stage"] for row in journey] == [
        "received", "validation", "dedup", "routing", "attempt", "delivery", "feedback",
    ]  # fmt: skip


def test_what_is_missing_of_a_log_shows_and_what_merges_collapse_does_not(client: Client, database: str) -> None:
    migrate(client, database)
    lead_id = UUID(int=9)
    written = WrittenTables(client, database, [LEAD_EVENTS])
    for run in (0, 1, 2, 4):
        written.put([record_of(event(LeadUnique, lead_id, run=run), offset=run)])
    client.command(f"OPTIMIZE TABLE {database}.lead_events FINAL")
    (found,) = client.query(f"SELECT * FROM {database}.completeness").named_results()
    assert client.command(f"SELECT count() FROM {database}.lead_events") == 1
    assert (found["topic"], found["first_offset"], found["last_offset"], found["events"]) == ("leads.unique", 0, 4, 4)
    assert (found["lost"], found["without_a_row"]) == (0, 1)
    columns = ["topic", "topic_id", "partition", "first", "last", "why", "lost", "accepted"]
    gaps = [["leads.unique", "a", 3, 3, 3, "gone", True, True], ["leads.unique", "a", 3, 9, 12, "gone", True, True]]
    gaps.append(["leads.unique", "a", 3, 1, 2, "a plan of another log", False, True])
    client.insert(f"{database}.sink_gaps", gaps, column_names=columns)
    (found,) = client.query(f"SELECT * FROM {database}.completeness").named_results()
    assert (found["lost"], found["without_a_row"]) == (1, 0)


def test_every_column_of_every_view_is_explained(client: Client, database: str) -> None:
    migrate(client, database)
    rows = client.query(
        "SELECT table, name, comment FROM system.columns WHERE database = {d:String}", parameters={"d": database}
    ).result_rows
    names = {view.name for view in views()}
    assert names
    assert [(table, name) for table, name, comment in rows if table in names and not comment] == []
    about = client.query(
        "SELECT name, comment FROM system.tables WHERE database = {d:String}", parameters={"d": database}
    ).result_rows
    assert [name for name, comment in about if name in names and not comment] == []


def test_the_dictionary_is_what_the_engine_has(client: Client, database: str) -> None:
    migrate(client, database)
    rows = client.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {d:String} ORDER BY table, position",
        parameters={"d": database},
    ).result_rows
    there = {(table, name, kind) for table, name, kind, _ in rows if table not in UNWRITTEN}
    written = {(one.name, column.name, column.type) for one in relations() for column in one.columns}
    assert written == there
    assert all(column.comment for one in relations() for column in one.columns)


def test_every_question_of_the_cookbook_has_an_answer(asked: Any, clickhouse_url: str, database: str) -> None:
    questions = re.findall(r"```sql\n(.*?)```", (REPOSITORY / "docs" / "cookbook.md").read_text(), re.DOTALL)
    assert len(questions) == 26
    analyst = connect(clickhouse_url, database=database)
    answers = [analyst.query(sql, settings={"readonly": 2}).result_rows for sql in questions]
    assert all(answers[number - 1] for number in (1, 3, 6, 7, 8, 11, 12, 13, 14, 17, 18, 21, 22, 24, 25, 26))


def test_every_panel_of_every_dashboard_has_an_answer(asked: Any, clickhouse_url: str, database: str) -> None:
    """With Grafana's macro written out for a range in which the known leads are."""
    analyst = connect(clickhouse_url, database=database)
    empty = []
    for dashboard in dashboards():
        for panel in dashboard.panels:
            sql = re.sub(
                r"\$__timeFilter\(((?:[^()]|\([^()]*\))*)\)",
                r"(\1 >= toDateTime('2026-11-20 00:00:00') AND \1 <= toDateTime('2026-11-21 00:00:00'))",
                panel.sql,
            )
            assert "$" not in sql
            result = analyst.query(sql, settings={"readonly": 2})
            if panel.kind == "timeseries":
                assert result.column_names[0] == "time"
            if not result.result_rows:
                empty.append((dashboard.name, panel.title))
    assert empty == []


def test_no_view_shows_what_a_person_typed(client: Client, asked: Any, database: str) -> None:
    for view in views():
        assert MARK.lower() not in client.raw_query(f"SELECT * FROM {database}.{view.name} FORMAT TSV").decode().lower()
