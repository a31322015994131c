"""What is built on a ClickHouse: migrations, views, the sink's tables, rollups and erasure, on the embedded server and
on any other; ``test_clickhouse_contract.py`` says where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from clickhouse_connect.driver.client import Client
from kit.builders import campaign, configuration
from kit.events import DETAILS, MOMENT, event, record_of
from kit.written_tables import WrittenTables

from schemas.codec import encode
from schemas.config.history import ReleaseHistory
from schemas.config.placeholders import WrittenRelease
from schemas.events import Event, LeadValidated
from schemas.headers import DeadLetter
from schemas.messages import Capacity, CapUse
from schemas.record import KafkaRecord
from warehouse import migrate, replays
from warehouse.erasing.people import Identity
from warehouse.erasure import ask, erase
from warehouse.errors import WarehouseError
from warehouse.settling import asking, settle
from warehouse.sinking.tables import TABLES
from warehouse.views import views

pytestmark = pytest.mark.stack

Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def migrated(client: Client, database: str) -> str:
    """The test's database with everything in it."""
    migrate.migrate(client, database)
    return database


# Migrations and views


def test_migrations_are_applied_once(client: Client, database: str) -> None:
    names = [migration.name for migration in migrate.migrations()] + [view.entry for view in views()]
    assert names
    assert migrate.migrate(client, database) == names
    assert migrate.migrate(client, database) == []


def test_a_changed_migration_is_refused(client: Client, migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [replace(first, checksum="another"), *others])
    with pytest.raises(WarehouseError, match=first.name):
        migrate.migrate(client, migrated)


def test_a_dangerous_migration_is_applied_only_where_that_is_allowed(
    client: Client, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "-- @stmt danger=destructive\nDROP TABLE IF EXISTS {database}.replays{on_cluster}\n"
    ours = [*migrate.migrations(), migrate.parse("9999_no_replays", text)]
    monkeypatch.setattr(migrate, "migrations", lambda: ours)
    for at_most in (migrate.Danger.NONE, migrate.Danger.BLOCKING):
        with pytest.raises(WarehouseError, match=r"9999_no_replays is destructive: .*--allow destructive"):
            migrate.migrate(client, migrated, at_most=at_most)
    assert client.command(f"EXISTS {migrated}.replays") == 1
    assert migrate.migrate(client, migrated, at_most=migrate.Danger.DESTRUCTIVE) == ["9999_no_replays"]
    assert client.command(f"EXISTS {migrated}.replays") == 0
    monkeypatch.undo()
    with pytest.raises(WarehouseError, match="9999_no_replays, which this version does not know"):
        migrate.pending(client, migrated)


def test_every_table_says_how_many_tokens_it_remembers(migrated: str, rows: Rows) -> None:
    tables = rows(
        "SELECT name, create_table_query FROM system.tables WHERE database = '{d}' AND engine LIKE '%MergeTree'"
    )
    assert {table.name for table in TABLES} < {name for name, _ in tables}
    assert not [name for name, sql in tables if "replicated_deduplication_window = 10000" not in sql]


def test_every_view_answers(migrated: str, rows: Rows) -> None:
    for view in views():
        rows(f"SELECT * FROM {{d}}.{view.name} LIMIT 10", readonly=2)


def test_rows_of_the_real_tables_come_back(client: Client, migrated: str, rows: Rows) -> None:
    window = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    runs = [replays.start(client, migrated, "leads", window, reason) for reason in ("first", "naïve “second”")]
    assert runs == [1, 2]
    found = rows("SELECT run, from_time, reason FROM {d}.replays FINAL ORDER BY run")
    assert [(run, when.replace(tzinfo=UTC), reason) for run, when, reason in found] == [
        (1, window[0], "first"),
        (2, window[0], "naïve “second”"),
    ]


# The sink, rollups and erasure


def everything() -> list[KafkaRecord]:
    """A record for each table, and more: every event, a cap's use, a release, a dead letter."""
    use = CapUse(cap="day:accepted", since="2026-11-20T00:00Z", until=None, limit=Decimal(10), used=Decimal(1))
    told = Capacity(campaign="west", buyer="sunpath", uses=[use], full=None, until=None, occurred_at=MOMENT)
    release = WrittenRelease.of(configuration(campaign("west")))
    applied = ReleaseHistory().records_of(release, MOMENT, "ann", "first")
    letter = DeadLetter("leads", 0, 5, 1_700_000_000_000, "validation", "value.not_json", "", "1", uuid4(), 0, 1000)
    return [
        *(record_of(event(model)) for model in DETAILS),
        KafkaRecord("capacity", 0, 0, 0, b"west", encode(told)),
        *(KafkaRecord("config", 0, 0, 0, key.encode(), encode(one)) for key, one in applied),
        KafkaRecord("dead-letters", 0, 0, 0, None, b"{", letter.headers()),
    ]


def test_the_sink_writes_each_table_once_whoever_writes_the_batch_again(
    client: Client, migrated: str, rows: Rows
) -> None:
    sent, counts = everything(), []
    for fresh in (True, True, False):
        WrittenTables(client, migrated).add(sent, fresh=fresh)
        found = {table.name: rows(f"SELECT count() FROM {{d}}.{table.name}")[0][0] for table in TABLES}
        counts.append(found | {"ingested": rows("SELECT sum(rows) FROM {d}.ingested")[0][0]})
    assert counts[0] == counts[1] == counts[2]
    assert all(counts[0].values()), counts[0]
    assert counts[0]["lead_events"] == counts[0]["ingested"] == len(DETAILS) + 1


def test_views_say_the_same_once_hours_have_settled(client: Client, migrated: str, rows: Rows) -> None:
    WrittenTables(client, migrated).add(everything())
    asked = {view.name: f"SELECT * FROM {{d}}.{view.name} ORDER BY ALL" for view in views()}
    steady = {name: sql for name, sql in asked.items() if name not in ("freshness", "caps", "rollup_horizon")}
    before = {name: rows(sql) for name, sql in steady.items()}
    assert before["leads"]
    settled = settle(asking(client), migrated, quiet=timedelta(seconds=-1))
    assert (settled.hours > 0, settled.left, settled.open) == (True, 0, 0)
    assert rows("SELECT count() FROM {d}.rollup_leads")[0][0] == len(before["leads"])
    assert {name: rows(sql) for name, sql in steady.items()} == before


def test_who_is_erased_is_gone_and_stays_gone(client: Client, migrated: str, rows: Rows) -> None:
    gone, stays = (event(LeadValidated, person=letter * 32) for letter in "ab")
    later = gone.model_copy(update={"lead_id": uuid4()})

    def held() -> set[UUID]:
        return {lead for (lead,) in rows("SELECT lead_id FROM {d}.contacts FINAL")}

    write: Callable[[Sequence[Event]], None] = lambda events: WrittenTables(client, migrated).add(  # noqa: E731
        [record_of(one) for one in events], fresh=False
    )
    write([gone, stays])
    assert held() == {gone.lead_id, stays.lead_id}
    done = erase(client, migrated, ask(client, migrated, Identity.of_lead(gone.lead_id)), [])
    assert (done.rows_deleted, held()) == (1, {stays.lead_id})
    write([gone, stays, later])
    assert held() == {stays.lead_id}
