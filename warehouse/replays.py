"""The replays that were made: their numbers, windows and reasons."""

from __future__ import annotations

from datetime import datetime

from clickhouse_connect.driver.client import Client


def start(client: Client, database: str, topic: str, window: tuple[datetime, datetime], reason: str) -> int:
    """Note a replay; returns its run, one more than any before."""
    (row,) = client.query(f"SELECT max(run) FROM {database}.replays").result_rows  # noqa: S608  # a checked setting
    run = int(row[0]) + 1
    _write(client, database, run, topic, window, reason, "started", (0, 0, 0))
    return run


def finish(
    client: Client,
    database: str,
    run: int,
    topic: str,
    window: tuple[datetime, datetime],
    reason: str,
    *,
    state: str,
    written: int,
    passed_over: int,
    erased: int,
) -> None:
    """Note how a replay ended, ``finished`` or ``failed``, and what became of its records."""
    _write(client, database, run, topic, window, reason, state, (written, passed_over, erased))


def _write(
    client: Client,
    database: str,
    run: int,
    topic: str,
    window: tuple[datetime, datetime],
    reason: str,
    state: str,
    counts: tuple[int, int, int],
) -> None:
    client.insert(
        f"{database}.replays",
        [[run, topic, *window, reason, state, *counts]],
        column_names=["run", "topic", "from_time", "to_time", "reason", "state", "records", "passed_over", "erased"],
        settings={"async_insert": 0},
    )
