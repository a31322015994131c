"""A batch that is made again while who planned it is still inserting it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from clickhouse_connect.driver.client import Client
from kit.events import event, record_of
from kit.full_stack import wait_until
from kit.written_tables import WrittenTables

from schemas.events import LeadUnique
from warehouse.migrate import migrate
from warehouse.tables.lead_events import LEAD_EVENTS

RECORDS = 40
SECONDS_A_ROW = 0.1
BATCH = "b"
"""What WrittenTables calls its batches."""


def test_a_batch_that_is_still_being_inserted_is_counted_once_that_has_ended(client: Client, database: str) -> None:
    migrate(client, database)
    other = f"{database}_planner"
    try:
        migrate(client, other)
        records = WrittenTables(client, other, [LEAD_EVENTS]).add(record_of(event(LeadUnique)) for _ in range(RECORDS))
        slow = (
            f"INSERT INTO {database}.lead_events SELECT * FROM {other}.lead_events"
            f" WHERE NOT ignore(sleepEachRow({SECONDS_A_ROW}))"
        )
        settings = {
            "log_comment": BATCH,
            "insert_deduplication_token": "the planner's",
            "max_block_size": 1,
            "function_sleep_max_microseconds_per_block": 60_000_000,
        }
        with ThreadPoolExecutor(1) as planner:
            inserting = planner.submit(client.command, slow, settings=settings)
            under_way = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{BATCH}'"
            wait_until(lambda: bool(client.query(under_way).result_rows[0][0]), "the planner inserts", 10)
            WrittenTables(client, database, [LEAD_EVENTS]).put(records, fresh=False)
            assert inserting.done(), "it did not wait"
            inserting.result()
        found = client.query(f"SELECT count(), uniqExact(_offset) FROM {database}.lead_events").result_rows
        assert found == [(RECORDS, RECORDS)]
    finally:
        client.command(f"DROP DATABASE IF EXISTS {other}")
