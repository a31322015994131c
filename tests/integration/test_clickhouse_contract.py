"""What the warehouse relies on of a ClickHouse: one contract for the embedded server and for any other.

``LEADLINE_CONTRACT_URL=http://user:password@host:8123`` runs it there, in databases of its own that it drops; without
it, against the session's ClickHouse. What is built on the contract is in ``test_warehouse_contract.py``.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit
from uuid import UUID, uuid4

import fastavro
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from kit.events import MOMENT

from schemas.headers import EPOCH, LATEST_MS
from warehouse.client import connect
from warehouse.layout import Layout, layout_of
from warehouse.sinking.failures import Failure, failure_of
from warehouse.sinking.inserting import INSERT_SETTINGS

pytestmark = pytest.mark.stack

Rows = Callable[..., list[tuple[Any, ...]]]
Put = Callable[..., None]
PAIRS = [(1, "a"), (2, "b")]
TABLES = (
    "CREATE TABLE {database}.t (n Int64, s String) ENGINE = {engine:MergeTree} ORDER BY n SETTINGS {window}",
    "CREATE TABLE {database}.seen (n Int64) ENGINE = {engine:MergeTree} ORDER BY n SETTINGS {window}",
    "CREATE MATERIALIZED VIEW {database}.seen_mv TO {database}.seen AS SELECT n FROM {database}.t",
    "CREATE TABLE {database}.sums (s String, rows SimpleAggregateFunction(sum, UInt64))"
    " ENGINE = {engine:AggregatingMergeTree} ORDER BY s SETTINGS {window}",
    "CREATE MATERIALIZED VIEW {database}.sums_mv TO {database}.sums"
    " AS SELECT s, count() AS rows FROM {database}.t GROUP BY s",
)
"""A table, and two that materialized views fill from it."""
COUNTS = "SELECT (SELECT count() FROM {d}.t), (SELECT count() FROM {d}.seen), (SELECT sum(rows) FROM {d}.sums)"


@pytest.fixture
def layout(client: Client, database: str) -> Layout:
    """The test's database, which is there, as migrations write for it."""
    layout = layout_of(client, database)
    client.command(layout.render("CREATE DATABASE IF NOT EXISTS {database}"))
    return layout


@pytest.fixture
def put(client: Client, layout: Layout) -> Put:
    """Inserts rows into ``t``, which is there with its views, as the sink does: natively, under a token."""
    for statement in TABLES:
        client.command(layout.render(statement))

    def put(token: str, pairs: Sequence[tuple[int, str]] = PAIRS, table: str = "t", **settings: Any) -> None:
        client.insert(
            f"{layout.database}.{table}",
            [list(column) for column in zip(*pairs, strict=True)],
            column_names=["n", "s"],
            column_oriented=True,
            settings={**INSERT_SETTINGS, "insert_deduplication_token": token, **settings},
        )

    return put


# The HTTP interface


def test_an_answer_says_what_was_written_and_a_failure_its_code(clickhouse_url: str, layout: Layout) -> None:
    parts = urlsplit(clickhouse_url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    user = f"{unquote(parts.username or 'default')}:{unquote(parts.password or '')}"
    known = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"} if parts.username else {}

    def send(sql: str, data: bytes = b"") -> Any:
        sent = urllib.request.Request(f"{address}/?{urlencode({'query': sql})}", data or b" ", known)
        return urllib.request.urlopen(sent, timeout=30)

    with urllib.request.urlopen(f"{address}/ping", timeout=30) as answer:
        assert answer.read() == b"Ok.\n"
    send(f"CREATE TABLE {layout.database}.one (n Int64) ENGINE = MergeTree ORDER BY n").close()
    with send(f"INSERT INTO {layout.database}.one FORMAT JSONEachRow", b'{"n": 1}\n{"n": 2}') as answer:
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    with pytest.raises(urllib.error.HTTPError) as failed:
        send("SELECT nothing")
    assert (failed.value.code, failed.value.headers["X-ClickHouse-Exception-Code"]) == (404, "47")
    failed.value.close()


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_rows_travel_in_every_compression(clickhouse_url: str, layout: Layout, compression: str | bool) -> None:
    with connect(clickhouse_url, compress=compression) as client:
        client.command(f"CREATE TABLE {layout.database}.many (n Int64, s String) ENGINE = MergeTree ORDER BY n")
        numbers = list(range(100_000))
        client.insert(f"{layout.database}.many", [[n, str(n)] for n in numbers], column_names=["n", "s"])
        assert client.query(f"SELECT n FROM {layout.database}.many ORDER BY n").result_columns[0] == numbers


def test_parameters_are_values_and_never_sql(client: Client) -> None:
    values = {"text": "'; DROP TABLE x; -- \\ \t\n “é”", "n": 2**63, "ids": [UUID(int=1)]}
    (row,) = client.query("SELECT {text:String}, {n:UInt64}, {ids:Array(UUID)}", parameters=values).result_rows
    assert row == tuple(values.values())


@pytest.mark.parametrize(
    ("sql", "code", "failure"),
    [
        ("SELECT 1 FROM {d}.nowhere", 60, Failure.FATAL),
        ("SELECT 1 FROM nowhere.t", 81, Failure.FATAL),
        ("SELECT FROM WHERE", 62, Failure.FATAL),
        ("SELECT nothing FROM {d}.t", 47, Failure.SCHEMA),
        ("INSERT INTO {d}.t (nothing) VALUES (1)", 16, Failure.SCHEMA),
        ("SELECT toUInt8('x')", 6, Failure.POISON),
        ("SELECT throwIf(1)", 395, Failure.POISON),
        ("INSERT INTO {d}.checked (n) VALUES (-1)", 469, Failure.POISON),
        ("SELECT groupArray(number) FROM numbers(9000000) SETTINGS max_memory_usage = 1000000", 241, Failure.TRANSIENT),
        ("SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_execution_time = 1, max_block_size = 1", 159,
         Failure.TRANSIENT),
        ("SELECT 1 SETTINGS no_such_setting = 1", 115, Failure.FATAL),
        ("SELECT no_such_function(1)", 46, Failure.FATAL),
    ],
)  # fmt: skip
def test_failures_have_clickhouse_s_codes(
    client: Client, put: Put, layout: Layout, sql: str, code: int, failure: Failure
) -> None:
    checked = "CREATE TABLE {database}.checked (n Int64, CONSTRAINT positive CHECK n > 0) ENGINE = MergeTree ORDER BY n"
    client.command(layout.render(checked))
    with pytest.raises(Error) as raised:
        client.command(sql.replace("{d}", layout.database))
    assert (getattr(raised.value, "code", None), failure_of(raised.value)) == (code, failure)


def test_who_only_reads_changes_nothing_and_no_setting_that_is_none_is_taken(
    client: Client, put: Put, rows: Rows
) -> None:
    with pytest.raises(Error) as raised:
        rows("INSERT INTO {d}.t VALUES (1, 'a')", readonly=2)
    assert getattr(raised.value, "code", None) == 164
    assert rows(COUNTS, readonly=2, max_threads=1) == [(0, 0, 0)]
    with pytest.raises(Error):
        put("a", no_such_setting=1)
    assert rows(COUNTS) == [(0, 0, 0)]


# Types


VALUES: dict[str, list[Any]] = {
    "Decimal(12, 4)": [Decimal("99999999.9999"), Decimal("-0.0001"), Decimal(0)],
    "Decimal(38, 4)": [Decimal("9" * 34 + ".9999")],
    "DateTime64(3, 'UTC')": [EPOCH, EPOCH + timedelta(milliseconds=LATEST_MS), MOMENT],
    "Nullable(DateTime64(3, 'UTC'))": [None, MOMENT],
    "UUID": [UUID(int=0), UUID(int=2**128 - 1), uuid4()],
    "Map(String, String)": [{}, {"a": "", "“é”\n": "\\\t'"}],
    "Array(LowCardinality(String))": [[], ["a", "", "a"]],
    "LowCardinality(String)": ["", "naïve “second”"],
    "UInt64": [0, 2**64 - 1],
    "UInt32": [2**31],
    "Float32": [0.5],
    "Bool": [True, False],
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_come_back_as_they_were(client: Client, layout: Layout, kind: str) -> None:
    table, values = f"{layout.database}.kept", VALUES[kind]
    client.command(f"CREATE TABLE {table} (n UInt8, v {kind}) ENGINE = MergeTree ORDER BY n")
    client.insert(table, [[n, value] for n, value in enumerate(values)], column_names=["n", "v"])
    found = [value for (value,) in client.query(f"SELECT v FROM {table} ORDER BY n").result_rows]
    # The driver drops UTC.
    assert [v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in found] == values


def test_bytes_come_back_as_they_were(client: Client, layout: Layout) -> None:
    table, bits = f"{layout.database}.kept", bytes(range(256))
    client.command(f"CREATE TABLE {table} (v String) ENGINE = MergeTree ORDER BY tuple()")
    client.insert(table, [[bits]], column_names=["v"])
    assert client.query(f"SELECT hex(v) FROM {table}").result_rows == [(bits.hex().upper(),)]


# Inserts that are sent again


def test_an_insert_that_is_sent_again_counts_once_in_the_table_and_in_its_views(put: Put, rows: Rows) -> None:
    for _ in range(3):
        put("one")
    put("one", [(7, "other rows under the token that it has")])
    assert rows(COUNTS) == [(2, 2, 2)]


def test_equal_rows_under_another_token_are_other_rows_in_views_too(put: Put, rows: Rows) -> None:
    for token in ("one", "two", "one", "two"):
        put(token)
    assert rows(COUNTS) == [(4, 4, 4)]


def test_an_insert_that_a_view_cut_off_is_completed_and_counts_once(
    client: Client, put: Put, rows: Rows, layout: Layout
) -> None:
    for statement in (
        "CREATE TABLE {database}.ruin (n Int64) ENGINE = {engine:MergeTree} ORDER BY n SETTINGS {window}",
        "CREATE MATERIALIZED VIEW {database}.ruin_mv TO {database}.ruin AS"
        " SELECT n FROM {database}.t WHERE throwIf(n = 2 AND (SELECT count() FROM {database}.ruin) = 0) = 0",
    ):
        client.command(layout.render(statement))
    with pytest.raises(Error):
        put("one")
    client.command(f"INSERT INTO {layout.database}.ruin VALUES (0)")
    for _ in range(2):
        put("one")
    assert rows(COUNTS) == [(2, 2, 2)]
    assert rows("SELECT n FROM {d}.ruin ORDER BY n") == [(0,), (1,), (2,)]


def test_a_table_remembers_as_many_tokens_as_it_says(client: Client, put: Put, rows: Rows, layout: Layout) -> None:
    short = "non_replicated_deduplication_window = 3"
    client.command(
        f"CREATE TABLE {layout.database}.short (n Int64, s String) ENGINE = MergeTree ORDER BY n SETTINGS {short}"
    )
    for token in ("a", "b", "c", "a"):
        put(token, PAIRS[:1], "short")
    assert rows("SELECT count() FROM {d}.short") == [(3,)]
    for token in ("d", "e", "f", "a"):  # the first is forgotten by now
        put(token, PAIRS[:1], "short")
    assert rows("SELECT count() FROM {d}.short") == [(7,)]


def test_an_insert_is_a_part_for_each_month_and_each_once(client: Client, put: Put, rows: Rows, layout: Layout) -> None:
    client.command(
        layout.render(
            "CREATE TABLE {database}.months (n Int64, s String) ENGINE = {engine:MergeTree}"
            " PARTITION BY toYYYYMM(toDateTime(n, 'UTC')) ORDER BY n SETTINGS {window}"
        )
    )
    client.command(f"SYSTEM STOP MERGES {layout.database}.months")
    pairs = [(n * 31 * 86_400, "x") for n in range(150)]  # more months than an insert may have by default
    for _ in range(2):
        put("one", pairs, "months")
    parts = "SELECT count(), uniqExact(partition), sum(rows) FROM system.parts"
    assert rows(f"{parts} WHERE database = '{{d}}' AND table = 'months' AND active") == [(150, 150, 150)]


AVRO = {"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": "string"}]}


@pytest.mark.parametrize("form", ["Avro", "JSONEachRow", "Native"])
def test_rows_are_mapped_and_chosen_as_they_are_inserted(
    client: Client, put: Put, rows: Rows, database: str, form: str
) -> None:
    """``INSERT … SELECT … FROM input() … FORMAT``: the data is the body, and its token holds."""
    put("gone", [(5, "gone")])
    if form == "Avro":
        file = io.BytesIO()
        fastavro.writer(file, AVRO, [{"n": n, "s": f"é{n}"} for n in range(10)], codec="deflate")
        data = file.getvalue()
    else:
        sql = "SELECT number::Int64 AS n, concat('é', toString(number)) AS s FROM numbers(10)"
        data = client.raw_query(sql, fmt=form)
    insert = (
        f"INSERT INTO {database}.t (n, s) SELECT n + 100, upper(s) FROM input('n Int64, s String')"
        f" WHERE n NOT IN (SELECT n FROM {database}.t) SETTINGS max_threads = 1 FORMAT {form}\n"
    )
    for _ in range(2):
        client.raw_insert(
            "", insert_block=insert.encode() + data, settings={**INSERT_SETTINGS, "insert_deduplication_token": "x"}
        )
    assert rows("SELECT groupArray(n) FROM (SELECT n FROM {d}.t WHERE n >= 100 ORDER BY n)") == [
        ([100, 101, 102, 103, 104, 106, 107, 108, 109],)
    ]
    assert rows(COUNTS) == [(10, 10, 10)]


# Final rows


def test_the_highest_run_is_the_final_row_and_of_equal_ones_the_last(
    client: Client, layout: Layout, rows: Rows
) -> None:
    client.command(
        layout.render(
            "CREATE TABLE {database}.runs (id UInt8, run UInt32, price Decimal(12, 4))"
            " ENGINE = {engine:ReplacingMergeTree(run)} ORDER BY id SETTINGS {window}"
        )
    )
    for row in ([1, 0, 5], [1, 2, 7], [1, 1, 6], [2, 0, 1], [2, 0, 3]):
        client.insert(
            f"{layout.database}.runs", [row], column_names=["id", "run", "price"], settings={"async_insert": 0}
        )
    final = [(1, 2, Decimal(7)), (2, 0, Decimal(3))]
    assert rows("SELECT * FROM {d}.runs FINAL ORDER BY id") == final
    assert rows("SELECT sum(price) FROM {d}.runs FINAL WHERE price < 7") == [(Decimal(3),)]  # chosen before filtered
    client.command(f"OPTIMIZE TABLE {layout.database}.runs FINAL")
    assert rows("SELECT * FROM {d}.runs ORDER BY id") == final
