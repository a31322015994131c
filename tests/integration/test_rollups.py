"""Rollups cannot lie: whatever comes, is replayed or settles, and whenever, views say what the final rows say."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any, Final
from uuid import UUID

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.door import running

from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate
from warehouse.rollups import rollups, with_rollups
from warehouse.settling import Ask, asking, reopen, settle

FIRST_HOUR: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
HOURS: Final = 4
AT_ONCE: Final = timedelta(0)
EVENTS: Final = {
    "received": ["received"],
    "validation": ["validated", "rejected"],
    "dedup": ["unique", "duplicate"],
    "routing": ["routed", "unrouted"],
    "offer": ["offered"],
    "attempt": ["accepted", "rejected", "duplicate", "skipped", "error", "unknown"],
    "delivery": ["delivered", "undelivered"],
    "feedback": ["return", "conversion", "delivered"],  # a buyer's own word, whatever it is
    "dead": ["dead"],
}
Row = dict[str, Any]


class CutOffError(Exception):
    """Something ended a run in its middle."""


@st.composite
def events(draw: st.DrawFn) -> Row:
    """An event of one of a few leads, each with its own moment of arrival; what comes again in the same run is the
    same."""
    lead, run, stage = draw(st.integers(0, 7)), draw(st.integers(0, 2)), draw(st.sampled_from(sorted(EVENTS)))
    attempt = draw(st.integers(0, 2)) if stage in ("routing", "offer", "attempt", "delivery", "feedback") else 0
    seed = lead * 31 + run * 17 + attempt * 7 + len(stage)
    received = FIRST_HOUR + timedelta(hours=lead % HOURS, minutes=lead * 11 % 60, milliseconds=lead)
    later = timedelta(seconds=seed % 50, hours=[0, 0, 1, 30][seed % 4])
    outcome = EVENTS[stage][seed % len(EVENTS[stage])]
    named = stage in ("offer", "attempt", "delivery", "feedback") and outcome != "undelivered"
    return {
        "lead_id": UUID(int=lead + 1), "run": run, "attempt": attempt, "stage": stage, "outcome": outcome,
        "reason": f"subject.{seed % 3}", "vertical": "solar" if stage != "received" else "Solar",
        "source": f"source-{lead % 2}" if stage != "dead" else "", "buyer": f"buyer-{attempt}" if named else "",
        "campaign": f"campaign-{attempt}" if named else "", "price": seed % 9 + 0.25, "payout": seed % 5 + 0.5,
        "latency_ms": float(seed * 3), "buyer_latency_ms": float(seed % 400), "received_at": received.isoformat(),
        "occurred_at": (received + later).isoformat(), "route": f"route-{run}",
        "attributes": json.dumps(decision(seed, run)) if stage == "routing" else "{}",
    }  # fmt: skip


def decision(seed: int, run: int) -> Row:
    """What a routing event has of one: up to three campaigns chosen, and up to 136 that failed by two reasons."""
    size = [1, 3, 9, 17][seed % 4]
    failed = [
        {"vertical": vertical, "reason": f"filter.{run}", "campaigns": bytes(seed * n % 256 for n in range(size)).hex()}
        for vertical in ("solar", "roofing")[: 1 + seed % 2]
    ]
    slip = {"candidates": [{"campaign": f"campaign-{n}", "price": "1.00"} for n in range(seed % 4)]}
    return {"slip": slip, "trace": {"failed": failed, "facts": {}}}


STEPS: Final = st.one_of(
    st.lists(events(), min_size=1, max_size=25),
    st.sampled_from(["settle", "settle one hour", "merge", "reopen"]),
    st.integers(0, 8),  # statements until a run is cut off
)


@pytest.fixture
def warehouse(client: Client, database: str) -> tuple[Client, str]:
    migrate(client, database)
    return client, database


def insert(client: Client, database: str, rows: Sequence[Row]) -> None:
    lines = "\n".join(json.dumps(row, default=str) for row in rows)
    client.raw_insert(
        f"{database}.lead_events",
        column_names=list(rows[0]),
        insert_block=lines,
        fmt="JSONEachRow",
        # An event that comes again is inserted again, also when it comes alone.
        settings={"date_time_input_format": "best_effort", "insert_deduplicate": 0},
    )


def differences(client: Client, database: str) -> dict[str, tuple[list[str], list[str]]]:
    """Of each rollup, where it differs: rows by views, and rows by its query over the final rows of every hour."""
    every = f"(SELECT toStartOfHour(received_at) FROM {database}.lead_events)"
    asked = [
        f"SELECT {number} AS n, arraySort(groupArray(hex(toString(tuple(*))))) AS rows FROM ({text})"
        for number, text in enumerate(
            text
            for name, query in rollups().items()
            for text in (with_rollups(name, f"SELECT * FROM {{rollup:{name}}}"), query.replace("{hours}", every))
        )
    ]
    sql = f"SELECT n, rows FROM ({' UNION ALL '.join(asked)}) ORDER BY n"
    found = [rows for _, rows in client.query(sql.replace("{database}", database)).result_rows]
    pairs = dict(zip(rollups(), zip(found[::2], found[1::2], strict=True), strict=True))
    return {name: (mine, real) for name, (mine, real) in pairs.items() if mine != real}


MONEY: Final = {
    "revenue": ("sum(revenue)", "sum(returned)", "sum(cost)", "sum(margin)"),
    "source_roi": ("sum(revenue)", "sum(returned)", "sum(cost)", "sum(margin)"),
    "funnel": ("sum(revenue)", "sum(returned)", "sum(cost)"),
    "leads": ("sum(price)", "NULL", "sum(payout)"),
    "funnel_buyers": ("sum(revenue)",),
}
"""Revenue, returned, cost and margin in the views, as far as they have them."""


def wrong_money(client: Client, database: str) -> dict[str, Any]:
    """Of each view, its money by source where that is not what the final rows say, reckoned by hand."""
    rows = client.query(
        "SELECT (stage, outcome), (toStartOfHour(received_at), lead_id, campaign), source, price, payout"
        f" FROM {database}.lead_events FINAL"
    ).result_rows
    returned = {sale for what, sale, *_ in rows if what == ("feedback", "return")}
    real: dict[str, list[Decimal]] = {}
    for what, sale, source, price, payout in rows:
        if what == ("delivery", "delivered"):
            back = price if sale in returned else Decimal(0)
            sums = real.setdefault(source, [Decimal(0)] * 4)
            sums[:] = [a + b for a, b in zip(sums, (price, back, payout, price - back - payout), strict=True)]
    wrong = {}
    for view, columns in MONEY.items():
        sql = f"SELECT source, {', '.join(columns)} FROM {database}.{view} GROUP BY source"
        found = {source: sums for source, *sums in client.query(sql).result_rows if any(sums)}
        for source in found.keys() | real.keys():
            pairs = zip(found.get(source, ()), real.get(source, ()), strict=False)
            if source not in found or source not in real or any(a not in (b, None) for a, b in pairs):
                wrong[f"{view} of {source}"] = (found.get(source), real.get(source))
    return wrong


def cut_off(ask: Ask, after: int) -> Ask:
    """Fails at its statement of that number, before it is sent."""
    left = [after]

    def asked(sql: str) -> Sequence[Sequence[Any]]:
        if sql.lstrip().startswith("INSERT"):
            left[0] -= 1
            if left[0] < 0:
                raise CutOffError
        return ask(sql)

    return asked


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_views_say_what_the_final_rows_say_at_every_moment(
    warehouse: tuple[Client, str], steps: list[list[Row] | str | int]
) -> None:
    client, database = warehouse
    for table in ("lead_events", "rollup_hours", *(f"rollup_{name}" for name in rollups())):
        client.command(f"TRUNCATE TABLE {database}.{table}")
    ask = asking(client)
    for step in steps:
        if isinstance(step, list):
            insert(client, database, step)
        elif isinstance(step, int):
            with suppress(CutOffError):
                settle(cut_off(ask, step), database, quiet=AT_ONCE)
        elif step == "reopen":
            reopen(ask, database, FIRST_HOUR, FIRST_HOUR + timedelta(hours=2))
        elif step == "merge":
            for table in ("lead_events", *(f"rollup_{name}" for name in rollups())):
                client.command(f"OPTIMIZE TABLE {database}.{table} FINAL")
        else:
            settle(ask, database, quiet=AT_ONCE, most_events=1 if step == "settle one hour" else 1_000_000)
        assert differences(client, database) == {}
        assert wrong_money(client, database) == {}


def event(lead: int, stage: str, outcome: str, **changes: Any) -> Row:
    received = FIRST_HOUR + timedelta(hours=lead % HOURS)
    at = received.isoformat()
    row = dict.fromkeys(("reason", "buyer", "campaign", "route"), "") | dict.fromkeys(("run", "attempt", "price"), 0)
    return row | {
        "lead_id": UUID(int=lead + 1), "stage": stage, "outcome": outcome, "vertical": "solar", "source": "a",
        "payout": 0, "latency_ms": 5, "buyer_latency_ms": 0, "received_at": at, "occurred_at": at, **changes,
    }  # fmt: skip


def settled(client: Client, database: str) -> set[datetime]:
    """Hours that views read from the rollups."""
    sql = (
        f"SELECT DISTINCT hour FROM {database}.rollup_hours"
        f" WHERE NOT has((SELECT hours FROM {database}.rollup_horizon), hour)"
    )
    return {hour.replace(tzinfo=UTC) for (hour,) in client.query(sql).result_rows}


def test_a_settled_hour_is_read_from_the_rollups_and_one_that_a_row_comes_for_is_not(
    warehouse: tuple[Client, str],
) -> None:
    client, database = warehouse
    ask = asking(client)
    insert(client, database, [event(lead, "received", "received") for lead in range(HOURS)])
    done = settle(ask, database, quiet=AT_ONCE)
    assert (done.hours, done.left, done.open) == (HOURS, 0, 0)
    hours = {FIRST_HOUR + timedelta(hours=number) for number in range(HOURS)}
    assert settled(client, database) == hours
    # It is they that are read: a row that nobody inserted, and no clock says of, does not show.
    insert_unseen = event(0, "validation", "rejected")
    client.command(
        f"INSERT INTO {database}.lead_events (lead_id, stage, outcome, received_at, occurred_at, ingested_at) VALUES"
        f" ('{insert_unseen['lead_id']}', 'validation', 'rejected', '2026-11-20 10:00:00', '2026-11-20 10:00:00', 0)"
    )
    assert differences(client, database).keys() >= {"leads", "funnel"}
    insert(client, database, [event(0, "dedup", "unique", run=1)])
    assert settled(client, database) == hours - {FIRST_HOUR}
    assert differences(client, database) == {}


def test_every_lead_is_in_one_half_of_a_view_while_hours_open_and_settle(
    warehouse: tuple[Client, str], clickhouse_url: str
) -> None:
    client, database = warehouse
    leads, second = 60, timedelta(seconds=1)
    first = [
        event(lead, "received", "received", received_at=_hour(lead), occurred_at=_hour(lead)) for lead in range(leads)
    ]
    insert(client, database, [row | {"ingested_at": _hour(0)} for row in first])
    settle(asking(client), database, quiet=second)
    done = Event()

    def write() -> None:
        try:
            for number in range(120):
                row = first[number * 7 % leads] | {"run": number + 1}
                insert(own[0], database, [row])
        finally:
            done.set()

    def look() -> list[Any]:
        found = []
        while not done.is_set():
            found += own[1].query(f"SELECT count(), uniqExact(lead_id) FROM {database}.leads").result_rows
        return found

    def settling() -> int:
        hours = 0
        while not done.is_set():
            hours += settle(asking(own[2]), database, quiet=second).hours
        return hours

    own = [connect(clickhouse_url) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        written, looked, hours = threads.submit(write), threads.submit(look), threads.submit(settling)
    written.result()
    hours.result()
    assert set(looked.result()) == {(leads, leads)}


def _hour(number: int) -> str:
    return (FIRST_HOUR + timedelta(hours=number)).isoformat()


def test_an_hour_settles_when_it_has_been_quiet(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    ask = asking(client)
    insert(client, database, [event(lead, "received", "received") for lead in range(2)])
    assert settle(ask, database, quiet=timedelta(hours=1)).open == 2
    assert settled(client, database) == set()
    noted = client.command(f"SELECT count() FROM {database}.rollup_hours")
    assert settle(ask, database, quiet=timedelta(hours=1)).open == 2
    assert client.command(f"SELECT count() FROM {database}.rollup_hours") == noted
    assert settle(ask, database, quiet=AT_ONCE).hours == 2


def test_nothing_is_written_when_nothing_came(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    ask = asking(client)
    assert settle(ask, database, quiet=AT_ONCE).hours == 0
    insert(client, database, [event(0, "received", "received")])
    assert settle(ask, database, quiet=AT_ONCE).hours == 1
    before = client.command(f"SELECT count() FROM system.parts WHERE database = '{database}'")
    for _ in range(3):
        assert settle(ask, database, quiet=AT_ONCE) == settle(ask, database, quiet=AT_ONCE)
    assert client.command(f"SELECT count() FROM system.parts WHERE database = '{database}'") == before


def test_rows_of_another_definition_count_as_not_settled(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    ask = asking(client)
    insert(client, database, [event(0, "received", "received")])
    settle(ask, database, quiet=AT_ONCE)
    client.command(
        f"INSERT INTO {database}.rollup_hours SELECT hour, version + 1, true, up_to, 'other', now64(3)"
        f" FROM {database}.rollup_hours WHERE settled"
    )
    assert settled(client, database) == set()
    assert differences(client, database) == {}
    assert settle(ask, database, quiet=AT_ONCE).hours == 1
    assert settled(client, database) == {FIRST_HOUR}


def test_what_a_buyer_says_later_is_never_taken_for_a_sale(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    said = {"buyer": "sunpath", "campaign": "west", "price": 99}
    insert(
        client,
        database,
        [event(0, "received", "received")] + [event(0, "feedback", "delivered", run=run, **said) for run in range(2)],
    )
    (lead,) = client.query(f"SELECT status, sales, price FROM {database}.leads").result_rows
    assert lead == ("", 0, 0)
    assert wrong_money(client, database) == {}


def test_hours_do_not_settle_in_a_table_that_lacks_what_the_query_gives(warehouse: tuple[Client, str]) -> None:
    """As before the migration that adds it: they would count as settled, with nothing returned."""
    client, database = warehouse
    ask = asking(client)
    sale = {"buyer": "sunpath", "campaign": "west", "price": 12.5}
    insert(client, database, [event(0, "delivery", "delivered", **sale), event(0, "feedback", "return", **sale)])
    client.command(f"ALTER TABLE {database}.rollup_funnel DROP COLUMN returned")
    with pytest.raises(DatabaseError, match="returned"):
        settle(ask, database, quiet=AT_ONCE)
    assert settled(client, database) == set()
    client.command(f"ALTER TABLE {database}.rollup_funnel ADD COLUMN returned Decimal(38, 4)")
    assert settle(ask, database, quiet=AT_ONCE).hours == 1
    assert settled(client, database) == {FIRST_HOUR}
    assert wrong_money(client, database) == {}


def test_late_feedback_of_a_settled_hour_shows_at_once(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    ask = asking(client)
    sale = {"buyer": "sunpath", "campaign": "west", "price": 12.5}
    insert(client, database, [event(0, "delivery", "delivered", **sale)])
    settle(ask, database, quiet=AT_ONCE)
    back = (FIRST_HOUR + timedelta(days=9)).isoformat()
    insert(client, database, [event(0, "feedback", "return", **sale, occurred_at=back)])
    ((revenue, returned),) = client.query(f"SELECT sum(revenue), sum(returned) FROM {database}.revenue").result_rows
    assert revenue == returned > 0


def test_the_funnel_is_by_campaign_and_buyer_too(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    west, east = {"buyer": "sunpath", "campaign": "west"}, {"buyer": "lumen", "campaign": "east"}
    insert(
        client,
        database,
        [
            event(0, "offer", "offered", **west),
            event(0, "attempt", "rejected", **west),
            event(0, "offer", "offered", **east, attempt=1),
            event(0, "attempt", "accepted", **east, attempt=1),
            event(0, "delivery", "delivered", **east, price=9),
            event(4, "offer", "offered", **west),
            event(4, "attempt", "skipped", **west),
        ],
    )
    rows = client.query(
        "SELECT toStartOfHour(minute) AS hour, campaign, buyer, sum(offered), sum(asked), sum(accepted), sum(rejected),"
        f" sum(delivered), sum(revenue) FROM {database}.funnel_buyers GROUP BY ALL ORDER BY campaign"
    ).result_rows
    assert [row[1:] for row in rows] == [("east", "lumen", 1, 1, 1, 0, 1, 9), ("west", "sunpath", 2, 1, 0, 1, 0, 0)]


def test_the_funnel_by_minute_hour_and_day_is_the_same_leads(warehouse: tuple[Client, str]) -> None:
    client, database = warehouse
    insert(client, database, [event(lead, "received", "received") for lead in range(2 * HOURS)])
    insert(client, database, [event(lead, "delivery", "delivered", price=1) for lead in range(3)])
    settle(asking(client), database, quiet=AT_ONCE, most_events=1)  # so that one part is settled, the rest is not
    for by in ("minute", "toStartOfHour(minute)", "toDate(minute)"):
        rows = client.query(
            f"SELECT {by} AS t, sum(received), sum(delivered) FROM {database}.funnel GROUP BY t"
        ).result_rows
        assert (sum(row[1] for row in rows), sum(row[2] for row in rows)) == (2 * HOURS, 3)


def test_the_embedded_warehouse_settles_by_itself(tmp_path: Path) -> None:
    """Whatever its folder has open when it starts, too."""
    for rows in range(2):
        with running(tmp_path / "db", tmp_path / "ready", "--settle-seconds", "0.1") as server:
            client = connect(f"http://127.0.0.1:{server.port}")
            migrate(client, "leadline")
            long_ago = {"ingested_at": "2026-11-21T00:00:00+00:00"} if rows == 0 else {}
            insert(client, "leadline", [event(lead, "received", "received") | long_ago for lead in range(HOURS - rows)])
            deadline = time.monotonic() + 30
            expected = {FIRST_HOUR + timedelta(hours=number) for number in range(HOURS)}
            while settled(client, "leadline") != (expected if rows == 0 else {max(expected)}):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert differences(client, "leadline") == {}
            assert server.stop(signal.SIGTERM) == 0


def test_a_view_that_asks_for_a_rollup_that_there_is_not_is_refused() -> None:
    with pytest.raises(WarehouseError, match="asks for the rollup 'nothing'"):
        with_rollups("x", "SELECT * FROM {rollup:nothing}")
