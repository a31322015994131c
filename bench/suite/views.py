"""The analysts' views: how long each takes to answer what analysts ask, over fifty million events of ninety days.

The warehouse is filled in the embedded engine (:mod:`bench.filling`), and kept in a folder among the temporary files,
to be asked again: removing it makes the next run fill it anew.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from clickhouse_connect.driver.client import Client
from rich.table import Table

from bench.contender import running
from bench.errors import BenchmarkError
from bench.filling import fill
from bench.registry import Samples, benchmark
from bench.session import REPOSITORY, Session
from leadline.stack.ports import HOST, PortLeases
from warehouse.client import connect
from warehouse.errors import WarehouseError

EVENTS: Final = 50_000_000
START_SECONDS: Final = 120.0
MERGE_SECONDS: Final = 900.0
TURN_SECONDS: Final = 0.25
DATABASE: Final = "bench"

_STORED: Final = """
SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE database = {database:String} AND active GROUP BY table HAVING sum(rows) > 0 ORDER BY 3 DESC
"""
_COLUMNS: Final = """
SELECT column, sum(column_data_compressed_bytes) FROM system.parts_columns
WHERE database = {database:String} AND table = 'lead_events' AND active GROUP BY column ORDER BY 2 DESC
"""

# END is the moment at which the events end, LEAD one of the leads.
_DAY: Final = "> toDateTime(END, 'UTC') - INTERVAL 1 DAY"
_WEEK: Final = "> toDateTime(END, 'UTC') - INTERVAL 7 DAY"
_MONTH: Final = "> toDateTime(END, 'UTC') - INTERVAL 30 DAY"
QUESTIONS: Final = {
    "leads: one": "SELECT * FROM leads WHERE lead_id = 'LEAD'",
    "leads: last day": f"SELECT * FROM leads WHERE received_at {_DAY} ORDER BY received_at DESC LIMIT 1000",
    "leads: stuck": "SELECT lead_id, source, received_at FROM leads WHERE status = '' ORDER BY received_at LIMIT 100",
    "leads: rejected, all": "SELECT source, reason, count() FROM leads WHERE status = 'rejected' GROUP BY ALL",
    "leads: sales of each, all": "SELECT sales, count(), sum(price) FROM leads WHERE status = 'delivered' GROUP BY 1",
    "journey: one lead": "SELECT * FROM journey WHERE lead_id = 'LEAD' ORDER BY run, occurred_at",
    "journey: skipped, last day": f"SELECT campaign, reason, count() FROM journey WHERE stage = 'attempt'"
    f" AND outcome = 'skipped' AND received_at {_DAY} GROUP BY ALL",
    "journey: skipped, all": "SELECT campaign, reason, count() FROM journey WHERE stage = 'attempt'"
    " AND outcome = 'skipped' GROUP BY ALL",
    "funnel: last day by minute": f"SELECT minute, sum(received), sum(delivered) FROM funnel WHERE minute {_DAY}"
    " GROUP BY ALL",
    "funnel: 30 days by hour, source": "SELECT toStartOfHour(minute) AS hour, source, sum(received), sum(delivered)"
    f" FROM funnel WHERE minute {_MONTH} GROUP BY ALL",
    "funnel: all by day": "SELECT toDate(minute) AS day, sum(received), sum(validated), sum(unique_leads), sum(routed),"
    " sum(delivered) FROM funnel GROUP BY day",
    "funnel_buyers: last day by hour": "SELECT toStartOfHour(minute) AS hour, buyer, sum(offered), sum(delivered)"
    f" FROM funnel_buyers WHERE minute {_DAY} GROUP BY ALL",
    "funnel_buyers: all by campaign": "SELECT campaign, sum(offered), sum(asked), sum(accepted), sum(delivered)"
    " FROM funnel_buyers GROUP BY campaign",
    "sales: last day by buyer": f"SELECT buyer, count(), sum(price) FROM sales WHERE occurred_at {_DAY} GROUP BY buyer",
    "sales: returns, all by buyer": "SELECT buyer, countIf(is_returned), count(),"
    " quantileExactIf(0.5)(dateDiff('hour', occurred_at, returned_at), is_returned) FROM sales GROUP BY buyer",
    "revenue: 30 days by buyer": "SELECT buyer, sum(revenue), sum(returned) FROM revenue"
    " WHERE day >= toDate(toDateTime(END, 'UTC')) - 30 GROUP BY buyer",
    "revenue: all by day": "SELECT day, sum(sales), sum(revenue), sum(margin) FROM revenue GROUP BY day",
    "source_roi: all by source": "SELECT source, sum(leads), sum(revenue), sum(margin) FROM source_roi GROUP BY source",
    "unsold_reasons: all": "SELECT reason, sum(leads) FROM unsold_reasons GROUP BY reason",
    "acceptance: 7 days by buyer": "SELECT buyer, sum(asked), sum(accepted) FROM acceptance"
    " WHERE day >= toDate(toDateTime(END, 'UTC')) - 7 GROUP BY buyer",
    "acceptance: all": "SELECT * FROM acceptance",
    "speed_to_lead: last day": f"SELECT * FROM speed_to_lead WHERE hour {_DAY}",
    "speed_to_lead: all": "SELECT * FROM speed_to_lead",
    "duplicates: last day": f"SELECT * FROM duplicates WHERE received_at {_DAY}",
    "duplicates: all by source": "SELECT source, rule, count() FROM duplicates GROUP BY ALL",
    "evaluations: one lead": "SELECT campaign, reason FROM evaluations WHERE lead_id = 'LEAD'",
    "evaluations: not chosen, last day": "SELECT campaign, reason, count() AS leads FROM evaluations"
    f" WHERE reason != 'chosen' AND received_at {_DAY} GROUP BY campaign, reason ORDER BY leads DESC LIMIT 100",
    "evaluations: leads of a campaign": "SELECT lead_id, received_at, reason FROM evaluations"
    f" WHERE campaign = 'campaign-0' AND received_at {_DAY} ORDER BY received_at DESC LIMIT 100",
    "campaign_reasons: 7 days by campaign": "SELECT campaign, reason, sum(decisions) AS leads FROM campaign_reasons"
    f" WHERE hour {_WEEK} GROUP BY campaign, reason ORDER BY campaign, leads DESC",
    "campaign_reasons: all by day": "SELECT toDate(hour) AS day, reason, sum(decisions) FROM campaign_reasons"
    " WHERE campaign = 'campaign-0' GROUP BY ALL",
    "caps": "SELECT campaign, cap, used, limit, left, window_ends FROM caps ORDER BY use DESC, campaign, cap",
    "deliveries: one lead": "SELECT * FROM deliveries FINAL WHERE lead_id = 'LEAD' ORDER BY occurred_at",
    "feedback: all by buyer": "SELECT buyer, kind, reason, count() FROM feedback FINAL GROUP BY ALL",
    "release_history": "SELECT * FROM release_history ORDER BY number DESC LIMIT 20",
    "release_campaigns": "SELECT * FROM release_campaigns",
    "rollup_horizon": "SELECT hours FROM rollup_horizon",
    "freshness": "SELECT * FROM freshness",
    "completeness": "SELECT * FROM completeness",
}


@benchmark(
    "views",
    unit="s",
    summary="the slowest of what analysts ask of the views, over 50 million events",
    at_most=1.0,
    usual=False,
)
def views(session: Session) -> Samples:
    """Every question in turns, as many rounds as asked for; the slowest question's."""
    events = session.records or EVENTS
    folder = Path(tempfile.gettempdir()) / f"leadline-bench-views-{events}"
    with _warehouse(session, folder) as client:
        if not client.query("EXISTS DATABASE filled").result_rows[0][0]:
            _fill(session, client, events)
        client.database = DATABASE
        _report_storage(session, client)
        taken = _ask(session, client)
    table = Table("question", "p50", box=None)
    for name, seconds in taken.items():
        table.add_row(name, f"{median(seconds) * 1000:,.0f} ms")
    session.console.print(table)
    return {"leadline": max(taken.values(), key=median)}


def _ask(session: Session, client: Client) -> dict[str, list[float]]:
    ((end, lead),) = client.query(
        f"SELECT toUnixTimestamp(max(received_at)), argMin(lead_id, received_at) FROM {DATABASE}.lead_events"
        " WHERE stage = 'delivery' AND run = 0"
    ).result_rows
    taken: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    for number in range(session.rounds):
        for name, sql in QUESTIONS.items():
            began = time.monotonic()
            rows = client.query(sql.replace("END", str(end)).replace("LEAD", str(lead))).result_rows
            taken[name].append(time.monotonic() - began)
            if number == 0 and not rows:
                raise BenchmarkError(f"nothing answers the question {name!r}")
    return taken


def _fill(session: Session, client: Client, events: int) -> None:
    session.console.print(f"filling the warehouse with {events:,} events")
    fill(client, DATABASE, events, session.console.print)
    _wait_for(lambda: not client.query("SELECT count() FROM system.merges").result_rows[0][0], "merges", MERGE_SECONDS)
    client.command("CREATE DATABASE filled")


def _report_storage(session: Session, client: Client) -> None:
    parameters = {"database": DATABASE}
    stored = client.query(_STORED, parameters=parameters).result_rows
    events = next(rows for table, rows, _ in stored if table == "lead_events")
    table = Table("table", "rows", "bytes a row", "bytes an event", box=None)
    for name, rows, size in stored:
        table.add_row(name, f"{rows:,}", f"{size / rows:.1f}", f"{size / events:.2f}")
    columns = client.query(_COLUMNS, parameters=parameters).result_rows
    session.console.print(table)
    session.console.print("lead_events: " + ", ".join(f"{name} {size / events:.2f}" for name, size in columns))


def _wait_for(done: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what} go on after {seconds:g} s")
        time.sleep(TURN_SECONDS)


@contextmanager
def _warehouse(session: Session, folder: Path) -> Iterator[Client]:
    ports = PortLeases()
    port = ports.lease(8123)
    command = [sys.executable, "-m", "warehouse.embedded", "--path", str(folder), "--port", str(port)]
    found: list[Client] = []

    def answers() -> bool:
        try:
            found.append(connect(f"http://{HOST}:{port}", database="default", send_receive_timeout=1800))
        except WarehouseError:
            return False
        return True

    with running("warehouse", command, session.home / "logs" / "views.log", {"PYTHONPATH": str(REPOSITORY)}):
        _wait_for(answers, "attempts to reach the warehouse", START_SECONDS)
        yield found[0]
    ports.close()
