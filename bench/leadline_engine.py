"""Ours: the engine, as every stage runs on it, with a stage that copies records and may count them in a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from schemas.config.release import Configuration
from schemas.record import Record
from schemas.topics import Key, TopicSpec
from streams.engine.worker import Engine, WorkerConfig
from streams.stage import Context, Guarantee, Output, Stage
from streams.tables import Tables, TableSpec

COUNTS: Final = TableSpec("counts", int)


class Copy(Stage[Any]):
    """Every record unchanged to another topic."""

    def __init__(self, name: str, source: str, output: str) -> None:
        self.name = name
        self.reads = (TopicSpec(source, Key.ANY, "records to copy"),)
        self.writes = (TopicSpec(output, Key.ANY, "copies"),)

    def decode(self, record: Record) -> Record:
        return record

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        topic = self.writes[0].name
        return [Output(topic, record.key, record.value) for record in arrivals]


class CountingCopy(Copy):
    """The same, and one more for the record's key in a table with a changelog."""

    tables = (COUNTS,)

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        counts = tables[COUNTS]
        for record in arrivals:
            key = (record.key or b"").decode()
            counts[key] = (counts.get(key) or 0) + 1
        return super().process(arrivals, tables, context)


def main() -> None:
    """Copy a topic until killed."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--exactly-once", action="store_true")
    parser.add_argument("--session-timeout", type=float, default=6.0)
    options = parser.parse_args()
    stage = (CountingCopy if options.table else Copy)(options.group, options.source, options.output)
    if options.exactly_once:
        stage.guarantee = Guarantee.EXACTLY_ONCE
    configuration = Configuration(verticals=(), buyers=(), campaigns=())
    Engine(
        stage,
        WorkerConfig(
            options.bootstrap,
            options.group,
            options.data,
            options.partitions,
            session_timeout_seconds=options.session_timeout,
        ),
        context=lambda: Context(datetime.now(UTC), configuration, b"", "bench"),
    ).run()


if __name__ == "__main__":
    main()
