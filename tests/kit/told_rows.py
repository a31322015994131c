"""Rows as the sink writes them, by the record that each is of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from kit.written_tables import WrittenTables
from schemas.identity import Step
from schemas.record import KafkaRecord
from warehouse.client import connect
from warehouse.migrate import migrate
from warehouse.sinking.tables import TABLES

Row = dict[str, Any]


class Told:
    """Writes records by the sink's own writer, into tables that keep every row as it was inserted, and reads them."""

    def __init__(self, client: Client, database: str) -> None:
        self._client, self._database = client, database
        self._tables = WrittenTables(client, database)

    def write(self, records: Iterable[KafkaRecord]) -> list[KafkaRecord]:
        """The records as one batch, at the places that they got."""
        return self._tables.add(records)

    def put(self, records: Iterable[KafkaRecord]) -> None:
        """The records as one batch, at their own places."""
        self._tables.put(records)

    def rows(self, table: str, placed: Iterable[KafkaRecord]) -> list[list[Row]]:
        """The rows of each record in a table."""
        places = list(placed)
        found: dict[tuple[str, int], list[Row]] = {(record.topic, record.offset): [] for record in places}
        rows = self._client.query(
            f"SELECT * EXCEPT (ingested_at) FROM {self._database}.{table}"
            " WHERE (_topic, _offset) IN {places:Array(Tuple(String, UInt64))}",
            parameters={"places": list(found)},
            column_formats={"campaigns": "bytes"} if table == "routing_evaluations" else {},
        ).named_results()
        for row in rows:
            stored = {
                name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()
            }
            found[stored["_topic"], stored["_offset"]].append(stored)
        return [found[record.topic, record.offset] for record in places]

    def events(self, placed: Iterable[KafkaRecord]) -> list[Row]:
        """The row of each record in lead_events: there is one, whole."""
        rows = []
        for found in self.rows("lead_events", placed):
            (row,) = found
            attributes = json.loads(row["attributes"])
            assert isinstance(attributes, dict)
            assert row["stage"] in set(Step)
            assert all(row[name] >= 0 and math.isfinite(row[name]) for name in ("latency_ms", "buyer_latency_ms"))
            assert all(1970 <= row[name].year <= 2286 for name in ("received_at", "occurred_at"))
            rows.append(row | {"attributes": attributes})
        return rows

    def __call__(self, *records: KafkaRecord) -> list[Row]:
        """Write a batch, and its rows in lead_events, in the order of the records."""
        return self.events(self.write(records))


@contextmanager
def told_in(url: str, database: str) -> Iterator[Told]:
    """A new database's tables, which are gone afterwards."""
    with connect(url) as client:
        migrate(client, database)
        client.set_client_setting("optimize_on_insert", 0)
        for table in TABLES:  # they drop rows: what is replaced, and what is old
            client.command(f"SYSTEM STOP MERGES {database}.{table.name}")
        yield Told(client, database)
        client.command(f"DROP DATABASE {database} SYNC")
