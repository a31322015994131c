"""What was produced, what the tables have of it, and what materialized views have counted: the same, or what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from clickhouse_connect.driver.client import Client

from kit.sink_crashes.faults import Fault, Kind
from schemas.events import Delivery, Event, LeadDelivered, LeadRejected, LeadUnique, LeadUnrouted

MODELS: Final = (LeadUnrouted, LeadUnique, LeadRejected, LeadDelivered, Delivery)
"""What is produced: each event is one row of each of its tables."""
TABLES: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "lead_events": MODELS,
    "routing_evaluations": (LeadUnrouted,),
    "deliveries": (Delivery,),
}

Ends = Mapping[tuple[str, int], int]
"""How many records were produced, by topic and partition."""


def watch(client: Client, database: str) -> None:
    """Make a materialized view of each table, and keep the table's own rows apart: a merge would make one of two."""
    for table in TABLES:
        client.command(f"ALTER TABLE {database}.{table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
        client.command(
            f"CREATE MATERIALIZED VIEW {database}.{view_of(table)} ENGINE = MergeTree ORDER BY tuple()"
            " SETTINGS non_replicated_deduplication_window = 10000"
            f" AS SELECT _topic, _partition, _offset FROM {database}.{table}"
        )


def view_of(table: str) -> str:
    """The name of a table's view that :func:`watch` made."""
    return f"seen_{table}"


@dataclass
class Outcome:
    """``counts`` has of each table and view how many records it is of, its rows, and their distinct places."""

    seed: int
    faults: Counter[Fault]
    produced: int = 0
    seconds: float = 0.0
    counts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def kills_and_freezes(self) -> int:
        """How many faults were not polite."""
        return sum(count for fault, count in self.faults.items() if fault.kind is not Kind.STOP)

    def lines(self) -> list[str]:
        """For people."""
        faults = (f"  {n:3}  {fault}" for fault, n in sorted(self.faults.items()))
        counts = (f"  {table}: {' = '.join(f'{n:,}' for n in found)}" for table, found in self.counts.items())
        return [
            f"seed {self.seed}: {self.produced:,} records, {self.kills_and_freezes} kills and freezes,"
            f" {self.seconds:.0f} s",
            *faults,
            "  records = rows = distinct places",
            *counts,
            *(f"  PROBLEM {problem}" for problem in self.problems),
        ]


def judge(outcome: Outcome, client: Client, database: str, ends: Ends) -> None:
    """Count, partition by partition."""
    if outcome.produced != sum(ends.values()):
        outcome.problems.append(f"{outcome.produced} records were produced, {sum(ends.values())} are in the log")
    for table, models in TABLES.items():
        topics = {model.TOPIC.name for model in models}
        expected = {place: end for place, end in ends.items() if place[0] in topics and end}
        rows = "count(), uniqExact(_offset), min(_offset), max(_offset)"
        _compare(outcome, table, expected, _by_place(client, f"{database}.{table}", rows))
        _compare(outcome, view_of(table), expected, _by_place(client, f"{database}.{view_of(table)}", rows))
    ingested = _by_place(client, f"{database}.ingested", "sum(rows), sum(rows), min(first), max(last)")
    _compare(outcome, "ingested", {place: end for place, end in ends.items() if end}, ingested)


def _by_place(client: Client, table: str, columns: str) -> dict[tuple[str, int], tuple[int, ...]]:
    sql = f"SELECT _topic, _partition, {columns} FROM {table} GROUP BY _topic, _partition"
    return {(topic, partition): tuple(found) for topic, partition, *found in client.query(sql).result_rows}


def _compare(outcome: Outcome, name: str, expected: Ends, found: Mapping[tuple[str, int], tuple[int, ...]]) -> None:
    outcome.counts[name] = (sum(expected.values()), *_sums(found.values()))
    for place in sorted({*expected, *found}):
        records = expected.get(place, 0)
        if found.get(place) != (records, records, 0, records - 1):
            outcome.problems.append(f"{name}, {place}: {records} records; rows, places, first, last {found.get(place)}")


def _sums(found: Iterable[tuple[int, ...]]) -> tuple[int, int]:
    rows = list(found)
    return sum(row[0] for row in rows), sum(row[1] for row in rows)
