"""The engine killed after it has noted a block's token and before the block's part has its name: the rows come again.

The moment is too short to hit, so what it leaves is made: the part's folder is taken away, and the log still names it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from clickhouse_connect.driver.client import Client
from kit.door import free_port
from kit.events import MOMENT, event, record_of
from kit.sink_world import embedded
from kit.written_tables import WrittenTables

from schemas.events import LeadUnrouted
from schemas.record import KafkaRecord
from warehouse.client import connect
from warehouse.migrate import migrate

MONTHS = (9, 10, 11)
EACH = 5
TABLES = {"lead_events": "count()", "routing_evaluations": "count()", "ingested": "sum(rows)"}
"""And what counts their rows."""


def batch(first: int) -> list[KafkaRecord]:
    """As many records of each month, at offsets from ``first`` on."""
    moments = [MOMENT.replace(month=month) for month in MONTHS for _ in range(EACH)]
    return [
        record_of(event(LeadUnrouted, received_at=at), offset=first + n)._replace(partition=0)
        for n, at in enumerate(moments)
    ]


def counts(client: Client) -> dict[str, int]:
    """Rows of each table, and those that the view has counted."""
    return {table: client.query(f"SELECT {rows} FROM d.{table}").result_rows[0][0] for table, rows in TABLES.items()}


def newest_part(client: Client, table: str) -> Path:
    """The folder of the part that it was given last."""
    sql = (
        "SELECT argMax(path, max_block_number) FROM system.parts WHERE active AND database = 'd' AND table = {t:String}"
    )
    return Path(client.query(sql, parameters={"t": table}).result_rows[0][0])


def test_parts_that_were_not_named_yet_come_when_their_batch_is_sent_again(tmp_path: Path) -> None:
    port = free_port()
    with embedded(tmp_path, port), connect(f"http://127.0.0.1:{port}") as client:
        migrate(client, "d")
        for table in TABLES:
            client.command(f"SYSTEM STOP MERGES d.{table}")
        written = WrittenTables(client, "d")
        written.put(batch(0))
        written.put(batch(100))
        whole = counts(client)
        last = [newest_part(client, table) for table in TABLES]
    for part in last:
        shutil.rmtree(part)
    with embedded(tmp_path, port), connect(f"http://127.0.0.1:{port}") as client:
        assert all(count < whole[table] for table, count in counts(client).items())
        written = WrittenTables(client, "d")
        written.put(batch(100))
        written.put(batch(0))
        assert counts(client) == whole == dict.fromkeys(whole, 2 * EACH * len(MONTHS))


def test_the_token_of_a_part_that_was_merged_or_deleted_from_since_is_remembered(tmp_path: Path) -> None:
    port = free_port()
    with embedded(tmp_path, port), connect(f"http://127.0.0.1:{port}") as client:
        migrate(client, "d")
        written = WrittenTables(client, "d")
        written.put(batch(0))
        written.put(batch(100))
        client.command("OPTIMIZE TABLE d.lead_events FINAL")
        client.command("ALTER TABLE d.lead_events DELETE WHERE toMonth(received_at) = 9 SETTINGS mutations_sync = 2")
        before = counts(client)
    with embedded(tmp_path, port), connect(f"http://127.0.0.1:{port}") as client:
        written = WrittenTables(client, "d")
        written.put(batch(0))
        written.put(batch(100))
        assert counts(client) == before
        assert before["lead_events"] == 2 * EACH * (len(MONTHS) - 1)
