"""Hours settle: those that nothing came for lately are computed into the rollups, and from then on read from there.

An hour is open again as soon as a row of it comes: a redelivery, a replay, late feedback. That is told from the rows of
``lead_events`` themselves (``ingested_at``), so it holds however they came. Rows may be seen a little later than their
``ingested_at`` says, by the length of an insert; ``QUIET`` is longer than that.

A run first notes its hours as open in a new, greater version; then writes the rollups' rows in that version; then notes
the version as settled. One that is cut off leaves open hours; two at once settle each hour in the later's version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from warehouse.rollups import definition, query_beside, rollups

QUIET: Final = timedelta(minutes=3)
MOST_EVENTS: Final = 2_000_000

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement and gives its rows; numbers may be text."""


def asking(client: Client) -> Ask:
    """To ask a client's warehouse."""

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        if sql.lstrip().startswith("INSERT"):
            client.command(sql)
            return ()
        return client.query(sql).result_rows

    return ask


# A version is greater than any before, also after the clock was set back, and nobody else's.
_NOW: Final = """
SELECT
    toUnixTimestamp64Milli(now64(3)),
    greatest(toUInt64(toUnixTimestamp64Nano(now64(9))), (SELECT max(version) FROM {database}.rollup_hours) + 1)
        + rand() % 1000000
"""
_OPEN: Final = """
SELECT toUnixTimestamp(hour), toUnixTimestamp64Milli(max(last)), sum(events), max(noted)
FROM (
    SELECT toStartOfHour(received_at) AS hour, max(ingested_at) AS last, count() AS events, 0 AS noted
    FROM {database}.lead_events
    WHERE toStartOfHour(received_at) IN (SELECT arrayJoin(hours) FROM {database}.rollup_horizon)
    GROUP BY hour
    UNION ALL
    SELECT hour, toDateTime64(0, 3, 'UTC'), 0, NOT argMax(settled, (version, settled))
    FROM {database}.rollup_hours
    WHERE hour IN (SELECT arrayJoin(hours) FROM {database}.rollup_horizon)
    GROUP BY hour
)
GROUP BY hour ORDER BY hour DESC
"""
_NOTE: Final = """
INSERT INTO {database}.rollup_hours (hour, version, settled, up_to, definition)
SELECT toDateTime(arrayJoin([HOURS]), 'UTC'), VERSION, SETTLED, fromUnixTimestamp64Milli(UP_TO, 'UTC'), 'DEFINITION'
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a run came to: how many hours it settled, how many are quiet and left for the next run, and how many are
    open because something came for them lately."""

    hours: int
    left: int
    open: int


def settle(ask: Ask, database: str, *, quiet: timedelta = QUIET, most_events: int = MOST_EVENTS) -> Settled:
    """Settle the open hours that nothing came for within ``quiet``, the latest first, of at most ``most_events`` rows
    or else one hour. It may run beside itself, and be cut off anywhere."""
    ((at, version),) = ask(_in(database, _NOW))
    up_to = int(at) - round(quiet.total_seconds() * 1000)
    found = [tuple(int(value) for value in row) for row in ask(_in(database, _OPEN))]
    still = [(hour, events, noted) for hour, last, events, noted in found if last < up_to]
    chosen: list[int] = []
    events_chosen = 0
    for hour, events, _ in still:
        events_chosen += events
        if chosen and events_chosen > most_events:
            break
        chosen.append(hour)
    # What is noted as open already need not be noted again; without anything new nothing is written.
    opened = [hour for hour, _, _, noted in found if not noted and hour not in set(chosen)]
    if chosen or opened:
        _note(ask, database, chosen + opened, int(version), up_to, settled=False)
    if chosen:
        hours = "(" + ", ".join(f"toDateTime({hour}, 'UTC')" for hour in chosen) + ")"
        for name in rollups():
            rows = _in(database, query_beside(name, int(version))).replace("{hours}", hours)
            columns = _columns(ask, rows)
            ask(
                f"INSERT INTO {database}.rollup_{name} ({columns}, version)"  # noqa: S608  # a checked setting
                f" SELECT {columns}, {int(version)} FROM ({rows})"
            )
        _note(ask, database, chosen, int(version), up_to, settled=True)
    return Settled(len(chosen), len(still) - len(chosen), len(found) - len(still))


def reopen(ask: Ask, database: str, begin: datetime, end: datetime) -> int:
    """Note the settled hours of leads that arrived from ``begin`` to before ``end`` as open, so that views compute them
    until they settle anew; returns how many."""
    ((_, version),) = ask(_in(database, _NOW))
    first, last = (int(moment.astimezone(UTC).timestamp()) for moment in (begin, end))
    rows = ask(
        f"SELECT DISTINCT toUnixTimestamp(hour) FROM {database}.rollup_hours"  # noqa: S608  # a checked setting
        f" WHERE toUnixTimestamp(hour) > {first - 3600} AND toUnixTimestamp(hour) < {last}"
    )
    hours = [int(row[0]) for row in rows]
    if hours:
        _note(ask, database, hours, int(version), 0, settled=False)
    return len(hours)


def _note(ask: Ask, database: str, hours: Sequence[int], version: int, up_to: int, *, settled: bool) -> None:
    values = {
        "HOURS": ", ".join(str(hour) for hour in hours),
        "VERSION": str(version),
        "SETTLED": str(settled).lower(),
        "UP_TO": str(up_to),
        "DEFINITION": definition(),
    }
    sql = _in(database, _NOTE)
    for name, value in values.items():
        sql = sql.replace(name, value, 1)
    ask(sql)


def _columns(ask: Ask, query: str) -> str:
    """Those of the query, so that a table which a migration has yet to give one of them refuses the rows: settled
    without it, they would count as this definition's."""
    return ", ".join(str(row[0]) for row in ask(f"DESCRIBE TABLE ({query})"))


def _in(database: str, sql: str) -> str:
    return sql.replace("{database}", database)
