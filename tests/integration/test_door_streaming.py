"""Large answers of the embedded warehouse leave in pieces, in bounded memory, and end when their reader goes away."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import Error
from kit.door import Warehouse, running

from warehouse.embedded.compression import decode_blocks

ROWS = "SELECT number AS n, toString(number) AS s FROM numbers(300000)"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("streaming")
    with running(folder / "db", folder / "ready") as server:
        yield server


def opened(warehouse: Warehouse, sql: str, **arguments: Any) -> tuple[http.client.HTTPConnection, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", warehouse.port, timeout=60)
    connection.request("POST", f"/?{urlencode(arguments)}", sql.encode())
    return connection, connection.getresponse()


def memory(warehouse: Warehouse) -> int:
    """The most that the server's process has had, in MiB."""
    status = Path(f"/proc/{warehouse.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def until_nothing_runs(warehouse: Warehouse, text: str) -> None:
    deadline = time.monotonic() + 20
    sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{text}%' AND query NOT LIKE '%system.processes%'"
    while warehouse.value(sql) != "0":
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "name",
    [
        *("TSV", "TSVWithNames", "TSVWithNamesAndTypes", "CSV", "CSVWithNames", "JSONEachRow", "JSONCompactEachRow"),
        *("JSONCompactEachRowWithNamesAndTypes", "RowBinary", "RowBinaryWithNamesAndTypes", "Native", "JSON"),
    ],
)
def test_pieces_joined_are_the_whole(warehouse: Warehouse, name: str) -> None:
    streamed = warehouse.send(body=f"{ROWS} FORMAT {name}".encode())
    # The engine's own answer: a statement that is not streamed.
    whole = warehouse.send(body=f"SELECT * FROM ({ROWS}) LIMIT 300000 FORMAT {name}".encode(), extremes=0)
    assert streamed.status == 200
    if name == "JSON":
        assert json.loads(streamed.body)["data"] == json.loads(whole.body)["data"]
    else:
        assert streamed.headers["transfer-encoding"] == "chunked"
        assert "content-length" in whole.headers
        assert streamed.body == whole.body


@pytest.mark.parametrize("name", ["CSVWithNames", "RowBinaryWithNamesAndTypes", "Native", "TSV"])
def test_no_rows(warehouse: Warehouse, name: str) -> None:
    sql = "SELECT number AS n FROM numbers(3) WHERE n > 5"
    whole = warehouse.send(body=f"{sql} FORMAT {name}".encode(), extremes=0)
    assert warehouse.send(body=f"{sql} FORMAT {name}".encode()).body == whole.body


def test_the_first_rows_are_there_before_the_last(warehouse: Warehouse) -> None:
    connection, response = opened(warehouse, "SELECT number FROM numbers(1000000000000) FORMAT TSV")
    assert response.read(6) == b"0\n1\n2\n"
    connection.close()
    response.close()
    until_nothing_runs(warehouse, "numbers(1000000000000)")


def test_memory_stays_bounded_for_millions_of_rows(warehouse: Warehouse) -> None:
    sql = "SELECT number, toString(cityHash64(number)) FROM numbers(5000000) FORMAT TSV"
    warehouse.value("SELECT 1")
    before = memory(warehouse)
    for arguments in ({}, {"wait_end_of_query": 1}):
        connection, response = opened(warehouse, sql, **arguments)
        size = 0
        while piece := response.read(1 << 20):
            size += len(piece)
        connection.close()
        assert size > 130 << 20
    assert memory(warehouse) - before < 100


@pytest.mark.parametrize("sql", ["SELECT count() FROM numbers(3000000000000) WHERE cityHash64(number) = 1"])
@pytest.mark.parametrize("name", ["TSV", "JSON"])
def test_a_client_that_goes_away_ends_its_query(warehouse: Warehouse, sql: str, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", warehouse.port, timeout=60)
    connection.request("POST", "/", f"{sql} FORMAT {name}".encode())
    deadline = time.monotonic() + 20
    while warehouse.value("SELECT count() FROM system.processes WHERE query LIKE '%numbers(3000000000000)%'") < "2":
        assert time.monotonic() < deadline
    connection.close()
    until_nothing_runs(warehouse, "numbers(3000000000000)")


def test_an_error_in_the_middle_is_marked_and_cuts_the_answer_off(warehouse: Warehouse) -> None:
    sql = "SELECT throwIf(number = 4000000, 'so far') FROM numbers(5000000) FORMAT TSV"
    connection, response = opened(warehouse, sql, max_threads=1)
    assert response.status == 200
    tag = response.headers["X-ClickHouse-Exception-Tag"]
    with pytest.raises(http.client.IncompleteRead) as raised:
        response.read()
    connection.close()
    found = re.search(
        rb"\r\n__exception__\r\n%b\r\n(Code: 395\. .*so far.*\n)(\d+) %b\r\n__exception__\r\n$" % ((tag.encode(),) * 2),
        b"".join(raised.value.args[:1]) if isinstance(raised.value.args[0], bytes) else raised.value.partial,
    )
    assert found is not None
    assert int(found[2]) == len(found[1])
    waits = warehouse.send(body=sql.encode(), wait_end_of_query=1, max_threads=1)
    assert (waits.status, waits.headers["x-clickhouse-exception-code"]) == (500, "395")


@pytest.mark.parametrize(
    "arguments",
    [{"wait_end_of_query": 0}, {"send_progress_in_http_headers": 1, "http_headers_progress_interval_ms": 50}],
)
def test_a_slow_answer_does_not_wait_to_be_large(warehouse: Warehouse, arguments: dict[str, int]) -> None:
    sql = "SELECT sleepEachRow(0.02), throwIf(number = 40) FROM numbers(100) FORMAT TSV"
    connection, response = opened(warehouse, sql, max_block_size=1, **arguments)
    assert response.status == 200
    assert int(json.loads(response.headers["X-ClickHouse-Summary"])["result_rows"]) < 40
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
    patient = warehouse.send(body=sql.encode(), max_block_size=1)
    assert (patient.status, patient.headers["x-clickhouse-exception-code"]) == (500, "395")


def test_what_has_no_answer_has_no_format(warehouse: Warehouse) -> None:
    for sql in (
        "CREATE TABLE IF NOT EXISTS silent (n UInt8) ENGINE = Memory",
        "INSERT INTO silent VALUES (1)",
        "SET max_threads = 1",
    ):
        assert "x-clickhouse-format" not in warehouse.send(body=sql.encode()).headers
    for sql in ("SELECT n FROM silent WHERE n > 1", "SHOW TABLES LIKE 'none'", "EXISTS silent", "DESCRIBE silent"):
        assert warehouse.send(body=sql.encode()).headers["x-clickhouse-format"] == "TabSeparated"


def test_clickhouse_connect_hears_of_an_error_in_the_middle(warehouse: Warehouse) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=warehouse.port, autogenerate_session_id=False)
    sql = "SELECT throwIf(number = 4000000, 'so far') FROM numbers(5000000)"
    with (
        pytest.raises(Error, match="so far"),
        client.query_row_block_stream(sql, settings={"max_threads": 1}) as blocks,
    ):
        for _ in blocks:
            pass
    client.close()


def test_streamed_answers_are_compressed(warehouse: Warehouse) -> None:
    sql = f"{ROWS} FORMAT TSV"
    plain = warehouse.send(body=sql.encode()).body
    unpack = {
        "gzip": gzip.decompress,
        "lz4": lz4.frame.decompress,
        "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    }
    for encoding, undo in unpack.items():
        packed = warehouse.send(body=sql.encode(), headers={"Accept-Encoding": encoding}, enable_http_compression=1)
        assert packed.headers["content-encoding"] == encoding
        assert undo(packed.body) == plain
    blocks = warehouse.send(body=sql.encode(), compress=1)
    assert decode_blocks(blocks.body, 64 << 20) == plain


def test_waiting_for_the_end_gives_exact_headers(warehouse: Warehouse) -> None:
    answer = warehouse.send(body=f"{ROWS} FORMAT TSV".encode(), wait_end_of_query=1, send_progress_in_http_headers=1)
    assert answer.summary["result_rows"] == 300_000
    assert answer.summary["result_bytes"] == len(answer.body)
    # The engine may tell what it read for the last block once nobody asks any more.
    assert 200_000 <= int(json.loads(answer.headers["x-clickhouse-progress"])["read_rows"]) <= 300_000
    assert "x-clickhouse-progress" not in warehouse.send("SELECT 1").headers
