"""Rows of ``contacts``, under the sink's condition: not at all for whoever is erased."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from clickhouse_connect.driver.client import Client

from schemas.identity import person
from warehouse.tables.contacts import NOT_ERASED

SECRET = b"a key for tests only"
COLUMNS = (
    "lead_id UUID, run UInt32, person String, received_at DateTime64(3, 'UTC'), first_name String, phone String,"
    " email String, _topic String, _partition UInt16, _offset UInt64"
)
NAMES = ", ".join(column.split()[0] for column in COLUMNS.replace("(3, 'UTC')", "").split(", "))
SINK = (
    "INSERT INTO {database}.contacts ({names}) SELECT {names} FROM input('{columns}') WHERE "
    + NOT_ERASED
    + " FORMAT JSONEachRow"
)


def contact(phone: str = "", email: str = "", **changes: Any) -> dict[str, Any]:
    """A lead's row; its person is the pseudonym under :data:`SECRET`."""
    row = {
        "lead_id": uuid4(),
        "run": 0,
        "person": person(SECRET, phone=phone or None, email=email or None),
        "received_at": datetime.now(UTC),
        "first_name": "Ada",
        "phone": phone,
        "email": email,
        "_topic": "leads.validated",
        "_partition": 0,
        "_offset": 0,
    }
    return row | changes


def insert(client: Client, database: str, rows: Iterable[dict[str, Any]], sql: str = SINK) -> None:
    """Send rows under the sink's condition."""
    body = "\n".join(json.dumps({name: _plain(value) for name, value in row.items()}) for row in rows)
    statement = sql.format(database=database, names=NAMES, columns=COLUMNS.replace("'", "\\'"))
    client.command(statement, data=body, settings={"date_time_input_format": "best_effort", "async_insert": 0})


def held(client: Client, database: str) -> set[UUID]:
    """The leads with a row."""
    return {row[0] for row in client.query(f"SELECT DISTINCT lead_id FROM {database}.contacts").result_rows}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value if isinstance(value, int) else str(value)
