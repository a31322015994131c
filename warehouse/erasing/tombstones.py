"""Tombstones: who is erased. They are there before anything is deleted, and stay."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from clickhouse_connect.driver.client import Client

from warehouse.layout import Layout

DURABLE: Final = {"async_insert": 0}


def write(
    client: Client,
    layout: Layout,
    certificate: UUID,
    *,
    leads: Iterable[UUID],
    at: datetime,
    persons: Iterable[str] = (),
    until: datetime | None = None,
) -> None:
    """Name leads, and people as far as their leads were received ``until`` then; on a cluster each replica knows of it
    when this returns."""
    tables = (
        (
            "erased_persons",
            ("person", "until", "certificate"),
            [[person, until or at, certificate] for person in persons],
        ),
        ("erased", ("lead_id", "erased_at", "certificate"), [[lead, at, certificate] for lead in leads]),
    )
    for table, columns, rows in tables:
        if rows:
            client.insert(f"{layout.database}.{table}", rows, column_names=list(columns), settings=DURABLE)
        if layout.cluster:
            client.command(layout.render(f"SYSTEM SYNC REPLICA{{on_cluster}} {{database}}.{table}"))


def read(client: Client, database: str) -> tuple[frozenset[UUID], dict[str, datetime]]:
    """All of them: leads, and persons with the moment until which their leads are erased."""
    leads = client.query(f"SELECT DISTINCT lead_id FROM {database}.erased").result_rows  # noqa: S608
    sql = f"SELECT person, max(until) FROM {database}.erased_persons GROUP BY person"  # noqa: S608
    persons = {str(person): until.replace(tzinfo=UTC) for person, until in client.query(sql).result_rows}
    return frozenset(row[0] for row in leads), persons
