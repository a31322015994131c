"""A warehouse as it is after ninety days of traffic, made in ClickHouse itself.

``events.sql`` makes the events of a range of leads, ``tables.sql`` the other tables' rows of those events, as the sink
has them. Two hours and a few with late feedback have not settled, as in a running system.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from warehouse.migrate import migrate
from warehouse.settling import asking, settle

EVENTS_PER_LEAD: Final = 8.29
DAYS: Final = 90
REPLAYED_DAYS: Final = range(30, 33)
LATE_RETURNS: Final = 30

_FOLDER: Final = Path(__file__).parent
_EVENTS: Final = (_FOLDER / "events.sql").read_text(encoding="utf-8")
_TABLES: Final = (_FOLDER / "tables.sql").read_text(encoding="utf-8").split("-- @stmt\n")[1:]
_LATE: Final = """
INSERT INTO {database}.lead_events
SELECT * REPLACE (1000 AS run, now64(3) AS occurred_at, now64(3) AS ingested_at) FROM {database}.lead_events
WHERE stage = 'feedback' ORDER BY cityHash64(lead_id) LIMIT {late}
"""


def fill(client: Client, database: str, events: int, say: Callable[[str], None]) -> None:
    """Make ``database`` anew, of so many events and a few more; ``say`` is told of each step.

    Everything but the last hours settles; what came too late for that stays open. Merges go on when it returns.
    """
    client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
    migrate(client, database)
    began, end, leads = time.monotonic(), datetime.now(UTC), int(events / EVENTS_PER_LEAD)
    days = [(number, 0) for number in range(DAYS)] + [(number, 1) for number in REPLAYED_DAYS]

    def run(sql: str, **values: object) -> None:
        known = {"database": database, "end": int(end.timestamp()), "days": DAYS, "all": leads, **values}
        for name, value in known.items():
            sql = sql.replace(f"{{{name}}}", str(value).lower())
        client.command(sql)

    def write(first: int, last: int, number: int = 0, *, fresh: bool = False) -> None:
        run(_EVENTS, first=first, leads=last - first, run=number, fresh=fresh)

    def done(step: str) -> None:
        say(f"  {step} after {time.monotonic() - began:.0f} s")

    fresh = leads * 2 // (24 * DAYS)
    for day, number in days:
        write(leads * day // DAYS, min(leads * (day + 1) // DAYS, leads - fresh), number)
    done("events written")
    while settle(asking(client), database, quiet=timedelta(0)).left:
        pass
    done("settled")
    write(leads - fresh, leads, fresh=True)
    # Before the late returns, which are a run's that no other table knows of.
    for sql in _TABLES:
        run(sql)
    done("the other tables written")
    run(_LATE, late=LATE_RETURNS)
