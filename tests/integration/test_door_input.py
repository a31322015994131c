"""INSERT … SELECT … FROM input() at the door: as on a ClickHouse server, in the format and the order of the data."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator

import fastavro
import pytest
from kit.door import Answer, Warehouse, running

ROWS = 100_000
SCHEMA = {
    "type": "record",
    "name": "row",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "s", "type": ["null", "string"]},
        {"name": "body", "type": "bytes"},
    ],
}
COLUMNS = "n Int64, s Nullable(String), body String"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("input")
    with running(folder / "db", folder / "ready") as server:
        yield server


@pytest.fixture
def table(warehouse: Warehouse) -> str:
    """A table that drops repeated tokens, ``<name>_seen`` fed by a view of it."""
    name = f"t_{uuid.uuid4().hex}"
    engine = "ENGINE = MergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 1000"
    warehouse.value(f"CREATE TABLE {name} (n Int64, s String, size UInt32) {engine}")
    warehouse.value(f"CREATE TABLE {name}_seen (n Int64) {engine}")
    warehouse.value(f"CREATE MATERIALIZED VIEW {name}_view TO {name}_seen AS SELECT n FROM {name}")
    return name


def avro(rows: int) -> bytes:
    file = io.BytesIO()
    records = ({"n": n, "s": f"é{n}" if n % 3 else None, "body": b"\n\x00;" * 10} for n in range(rows))
    fastavro.writer(file, SCHEMA, records, codec="deflate")
    return file.getvalue()


def insert(table: str, name: str = "Avro", settings: str = "") -> str:
    return (
        f"INSERT INTO {table} (n, s, size) {settings} "
        f"SELECT n, coalesce(s, 'none'), length(body) FROM input('{COLUMNS}') WHERE n >= 0 FORMAT {name}"
    )


def counts(warehouse: Warehouse, table: str) -> list[int]:
    return [int(warehouse.value(f"SELECT count() FROM {name}")) for name in (table, f"{table}_seen")]


def code(answer: Answer) -> str:
    return answer.headers.get("x-clickhouse-exception-code", "0")


def test_avro_as_the_body_is_one_part_and_a_repeated_token_counts_once(warehouse: Warehouse, table: str) -> None:
    data = avro(ROWS)
    arguments = {"insert_deduplication_token": "leads-0-0", "deduplicate_blocks_in_dependent_materialized_views": 1}
    for _ in range(2):
        answer = warehouse.send(insert(table), data, **arguments)
        assert answer.status == 200, answer.body
        assert counts(warehouse, table) == [ROWS, ROWS]
    parts = "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = 'default' AND table = '{}'"
    assert warehouse.value(parts.format(table)) == f"1\t{ROWS}"
    assert warehouse.value(parts.format(f"{table}_seen")) == f"1\t{ROWS}"
    checks = "SELECT countIf(s = 'none'), countIf(s = concat('é', toString(n))), uniqExact(size), any(size)"
    assert warehouse.value(f"{checks} FROM {table}") == "33334\t66666\t1\t30"
    again = warehouse.send(insert(table), data, **(arguments | {"insert_deduplication_token": "leads-0-1"}))
    assert again.summary["written_rows"] >= ROWS
    assert counts(warehouse, table) == [2 * ROWS, 2 * ROWS]


def test_the_data_may_follow_the_format_and_the_token_stand_in_the_statement(warehouse: Warehouse, table: str) -> None:
    data = avro(10)
    for clause in ("", "SETTINGS insert_deduplication_token = 'a'", "SETTINGS insert_deduplication_token = 'a'"):
        assert code(warehouse.send(body=insert(table, settings=clause).encode() + b"\n" + data)) == "0"
    assert counts(warehouse, table) == [20, 20]
    at_the_end = f"INSERT INTO {table} (n) SELECT n FROM input('n Int64') SETTINGS insert_deduplication_token = 'b' "
    for _ in range(2):
        assert code(warehouse.send(body=f"{at_the_end} FORMAT CSV\n1\n2\n".encode())) == "0"
    assert counts(warehouse, table) == [22, 22]


@pytest.mark.parametrize("name", ["Native", "RowBinary", "JSONEachRow", "CSV", "TSV", "Parquet", "ArrowStream"])
def test_every_format_feeds_input(warehouse: Warehouse, table: str, name: str) -> None:
    body = "if(number % 2 = 0, NULL, toString(number))::Nullable(String) AS s, 'é\\n' AS body"
    select = f"SELECT number::Int64 AS n, {body} FROM numbers(1000) FORMAT {name}"
    answer = warehouse.send(insert(table, name), warehouse.send(select).body)
    assert answer.status == 200, answer.body
    assert warehouse.value(f"SELECT count(), sum(n), countIf(s = 'none'), any(size) FROM {table}") == (
        "1000\t499500\t500\t3"
    )


def test_blocks_are_written_in_the_order_of_the_data(warehouse: Warehouse, table: str) -> None:
    rows = 300_000
    settings = {"max_block_size": 10_000, "min_insert_block_size_rows": 10_000, "max_threads": 4}
    warehouse.value(f"SYSTEM STOP MERGES {table}")
    data = warehouse.send(f"SELECT number::Int64 AS n FROM numbers({rows}) FORMAT JSONEachRow").body
    plain = f"INSERT INTO {table} (n) SELECT n FROM input('n Int64') FORMAT JSONEachRow"
    assert warehouse.send(plain, data, **settings).status == 200
    written = "SELECT n FROM %s ORDER BY toUInt64(splitByChar('_', _part)[2]), _part_offset" % table  # noqa: UP031
    assert warehouse.value(f"SELECT uniqExact(_part) >= 10 FROM {table}") == "1"
    assert warehouse.value(f"SELECT arraySort(a) = a, length(a) FROM (SELECT groupArray(n) AS a FROM ({written}))") == (
        f"1\t{rows}"
    )


def test_data_that_ends_early_is_an_error_and_stores_nothing(warehouse: Warehouse, table: str) -> None:
    data = avro(ROWS)
    for broken in (data[:-1000], data[:-1], b"Obj\x01", b"", b"not avro"):
        answer = warehouse.send(insert(table), broken, insert_deduplication_token="x")
        assert answer.status >= 400, broken[:10]
        assert code(answer) != "0"
    assert counts(warehouse, table) == [0, 0]
    assert warehouse.send(insert(table), data, insert_deduplication_token="x").status == 200
    assert counts(warehouse, table) == [ROWS, ROWS]


UNREADABLE = ("6", "117")
"""CANNOT_PARSE_TEXT; or INCORRECT_DATA, where Python has left nothing of the engine's words, as 3.11.2 does."""


def test_an_error_that_quotes_what_is_no_utf8_has_its_code(warehouse: Warehouse, table: str) -> None:
    file = io.BytesIO()
    fastavro.writer(file, SCHEMA, [{"n": 1, "s": None, "body": b"\xff\xfe\xff"}])
    data = {
        "Avro": file.getvalue(),
        "JSONEachRow": b'{"n": 1, "s": null, "body": "\xff\xfe\xff"}',
        "CSV": b"1,\\N,\xff\xfe\xff",
    }
    for name, body in data.items():
        sql = f"INSERT INTO {table} (n) SELECT n + toInt64(body) FROM input('{COLUMNS}') FORMAT {name}"
        answer = warehouse.send(sql, body, insert_deduplication_token="x")
        assert code(answer) in UNREADABLE, name
    assert code(warehouse.send("SELECT toInt64(unhex('fffeff'))")) in UNREADABLE
    assert counts(warehouse, table) == [0, 0]


def test_parameters_and_async_insert_hold(warehouse: Warehouse, table: str) -> None:
    sql = f"INSERT INTO {table} (n) SELECT n + {{plus:Int64}} FROM input({{structure:String}}) FORMAT JSONEachRow"
    row = json.dumps({"n": 1}).encode()
    answer = warehouse.send(sql, row, param_plus=41, param_structure="n Int64", async_insert=1, wait_for_async_insert=1)
    assert answer.status == 200, answer.body
    assert warehouse.value(f"SELECT n FROM {table}") == "42"


def test_input_without_a_format_or_outside_of_an_insert_is_an_error(warehouse: Warehouse, table: str) -> None:
    assert code(warehouse.send(f"INSERT INTO {table} (n) SELECT n FROM input('n Int64')", b"1")) == "62"
    assert code(warehouse.send("SELECT n FROM input('n Int64')")) == "477"
    twice = (
        f"INSERT INTO {table} (n) SELECT n FROM input('n Int64') UNION ALL SELECT n FROM input('n Int64') FORMAT CSV"
    )
    assert code(warehouse.send(twice, b"1\n")) == "477"
    assert counts(warehouse, table) == [0, 0]
