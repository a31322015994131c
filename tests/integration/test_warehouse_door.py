"""The embedded warehouse server as its clients meet it: a real engine in a real process, over real HTTP."""

from __future__ import annotations

import gzip
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.buffer import ResponseBuffer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from kit.door import Answer, Warehouse, command, free_port, running

from warehouse.embedded.compression import decode_blocks, encode_blocks

LIMIT = 64 << 20


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("warehouse")
    with running(folder / "db", folder / "ready", "--max-body-bytes", str(LIMIT)) as server:
        yield server


@pytest.fixture
def client(warehouse: Warehouse) -> Iterator[Client]:
    opened = clickhouse_connect.get_client(host="127.0.0.1", port=warehouse.port)
    yield opened
    opened.close()


@pytest.fixture
def table(warehouse: Warehouse) -> str:
    name = f"t_{uuid.uuid4().hex}"
    warehouse.value(
        f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


# clickhouse-connect


def test_client_inserts_and_reads_back_every_type(client: Client) -> None:
    client.command(
        "CREATE TABLE types (id UUID, at DateTime64(3, 'UTC'), price Decimal(12, 4), stage LowCardinality(String), "
        "n UInt64, attributes JSON, tags Array(String)) ENGINE = MergeTree ORDER BY id"
    )
    at = datetime(2026, 11, 1, 12, 30, 0, 123000, UTC)
    rows = [
        [uuid.uuid4(), at, Decimal("12.3456"), "routed", 2**64 - 1, {"a": {"b": 1}, "c": "d"}, ["x", "é"]],
        [uuid.uuid4(), at, Decimal("-0.0001"), "sold", 0, {}, []],
    ]
    summary = client.insert("types", rows, ["id", "at", "price", "stage", "n", "attributes", "tags"])
    assert summary.written_rows == 2
    found = client.query("SELECT * FROM types", tz_mode="aware").result_rows
    assert sorted(map(repr, found)) == sorted(repr(tuple(row)) for row in rows)
    wanted = client.query("SELECT n FROM types WHERE id = {id:UUID}", parameters={"id": rows[0][0]})
    assert wanted.result_rows == [(2**64 - 1,)]


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_client_moves_large_batches_under_every_compression(
    warehouse: Warehouse, table: str, compress: str | bool
) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=warehouse.port, compress=compress)
    rows = [(n, f"value {n}" * 20) for n in range(20_000)]
    client.insert(table, rows, ["n", "s"])
    assert client.query(f"SELECT * FROM {table} ORDER BY n").result_rows == rows
    client.close()


def test_client_token_makes_a_repeated_insert_count_once(client: Client, table: str) -> None:
    for _ in range(2):
        client.insert(table, [(1, "a"), (2, "b")], ["n", "s"], settings={"insert_deduplication_token": "x/0/0-1"})
    client.insert(table, [(1, "a"), (2, "b")], ["n", "s"], settings={"insert_deduplication_token": "x/0/2-3"})
    assert client.command(f"SELECT count() FROM {table}") == 4


def test_client_sees_codes_of_errors(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as raised:
        client.query("SELECT * FROM nowhere")
    assert raised.value.code == 60


def test_client_settings_reach_the_query(client: Client) -> None:
    assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 3}) == 3


def test_client_binds_parameters_on_the_server(client: Client) -> None:
    nasty = "it's a \\ \t 'test'; -- DROP\n"
    assert client.query("SELECT {s:String}", parameters={"s": nasty}).result_rows == [(nasty,)]


def test_client_uses_its_database(warehouse: Warehouse) -> None:
    warehouse.value("CREATE DATABASE elsewhere")
    warehouse.value("CREATE TABLE here (n UInt8) ENGINE = MergeTree ORDER BY n", database="elsewhere")
    client = clickhouse_connect.get_client(host="127.0.0.1", port=warehouse.port, database="elsewhere")
    client.insert("here", [(1,)], ["n"])
    assert client.command("SELECT count() FROM elsewhere.here") == 1
    client.close()


# Raw HTTP


@pytest.mark.parametrize("target", ["/ping", "/replicas_status"])
def test_probes(warehouse: Warehouse, target: str) -> None:
    assert warehouse.send(method="GET", target=target).body == b"Ok.\n"


def test_answers_carry_clickhouse_headers(warehouse: Warehouse) -> None:
    answer = warehouse.send(body=b"SELECT number FROM numbers(3) FORMAT JSONEachRow", query_id="q-1")
    assert answer.body == b'{"number":0}\n{"number":1}\n{"number":2}\n'
    assert answer.headers["x-clickhouse-query-id"] == "q-1"
    assert answer.headers["x-clickhouse-format"] == "JSONEachRow"
    assert answer.headers["x-clickhouse-timezone"] == "UTC"
    assert answer.headers["x-clickhouse-server-display-name"] == "leadline"
    assert answer.headers["content-type"] == "application/x-ndjson; charset=UTF-8"
    assert answer.summary["read_rows"] == 3
    assert answer.summary["result_rows"] == 3
    assert answer.summary["elapsed_ns"] > 0


def test_query_id_cannot_forge_headers(warehouse: Warehouse) -> None:
    answer = warehouse.send("SELECT 1", query_id="x\r\nX-Forged: 1")
    assert (answer.status, answer.body) == (200, b"1\n")
    assert "x-forged" not in answer.headers


def test_format_comes_from_statement_header_or_argument(warehouse: Warehouse) -> None:
    header = {"X-ClickHouse-Format": "CSV"}
    assert warehouse.send("SELECT 'a'").body == b"a\n"
    assert warehouse.send("SELECT 'a'", default_format="JSONCompactEachRow").body == b'["a"]\n'
    assert warehouse.send("SELECT 'a'", headers=header, default_format="TSV").body == b'"a"\n'
    assert warehouse.send("SELECT 'a' FORMAT TSV", headers=header).headers["x-clickhouse-format"] == "TSV"


def test_database_comes_from_argument_or_header(warehouse: Warehouse) -> None:
    assert warehouse.value("SELECT currentDatabase()", database="system") == "system"
    assert warehouse.value("SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"}) == "system"
    answer = warehouse.send("SELECT 1", database="no`where")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (404, "81")


def test_parameters_bind_in_reads_and_inserts(warehouse: Warehouse, table: str) -> None:
    inserted = warehouse.send("INSERT INTO {t:Identifier} FORMAT CSV", b"1,a\n", param_t=table)
    assert inserted.status == 200, inserted.body
    found = warehouse.send("SELECT s FROM {t:Identifier} WHERE n = {n:UInt64}", param_t=table, param_n="1")
    assert found.body == b"a\n"


def test_insert_inline_in_the_body(warehouse: Warehouse, table: str) -> None:
    answer = warehouse.send(body=f'INSERT INTO {table} FORMAT JSONEachRow\n{{"n":1,"s":"a"}}\n{{"n":2}}'.encode())
    assert answer.status == 200
    assert answer.summary["written_rows"] == 2
    warehouse.value(f"INSERT INTO {table} VALUES (3, 'it''s; FORMAT CSV'), (4, concat('a', 'b'));")
    assert warehouse.value(f"SELECT groupArray((n, s)) FROM (SELECT * FROM {table} ORDER BY n)") == (
        r"[(1,'a'),(2,''),(3,'it\'s; FORMAT CSV'),(4,'ab')]"
    )


def lz4_frames(*parts: bytes) -> bytes:
    return b"".join(lz4.frame.compress(part) for part in parts)


def zstd_frames(*parts: bytes) -> bytes:
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


def gzip_frames(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part) for part in parts)


@pytest.mark.parametrize(("encoding", "pack"), [("lz4", lz4_frames), ("zstd", zstd_frames), ("gzip", gzip_frames)])
def test_insert_body_of_several_compressed_frames(warehouse: Warehouse, table: str, encoding: str, pack: Any) -> None:
    body = pack(b"1,a\n2,b\n", b"3,c\n", b"4,d\n")
    answer = warehouse.send(f"INSERT INTO {table} FORMAT CSV", body, headers={"Content-Encoding": encoding})
    assert answer.summary["written_rows"] == 4
    assert warehouse.value(f"SELECT sum(n) FROM {table}") == "10"


def test_broken_and_unknown_encodings_are_refused(warehouse: Warehouse, table: str) -> None:
    insert = f"INSERT INTO {table} FORMAT CSV"
    assert warehouse.send(insert, lz4_frames(b"1,a\n")[:-3], headers={"Content-Encoding": "lz4"}).status == 400
    assert warehouse.send(insert, b"1,a\n", headers={"Content-Encoding": "br"}).status == 415
    assert warehouse.value(f"SELECT count() FROM {table}") == "0"


def test_chunked_body(warehouse: Warehouse, table: str) -> None:
    chunks = (f"{n},a\n".encode() for n in range(1000))
    answer = warehouse.send(f"INSERT INTO {table} FORMAT CSV", chunks, headers={"Transfer-Encoding": "chunked"})
    assert answer.summary["written_rows"] == 1000


def test_too_large_bodies_are_refused_packed_or_not(warehouse: Warehouse, table: str) -> None:
    insert = f"INSERT INTO {table} FORMAT CSV"
    declared = {"Content-Length": str(LIMIT + 1)}
    assert warehouse.send(insert, b"1,a\n", headers=declared).status == 413
    bomb = gzip.compress(bytes(LIMIT + 1))
    answer = warehouse.send(insert, bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (413, "229")


@pytest.mark.parametrize(("encoding", "unpack"), [("lz4", lz4.frame.decompress), ("gzip", gzip.decompress)])
def test_answers_are_compressed_when_both_sides_want_it(warehouse: Warehouse, encoding: str, unpack: Any) -> None:
    sql, header = "SELECT number FROM numbers(10000)", {"Accept-Encoding": encoding}
    plain = warehouse.send(sql, headers=header)
    packed = warehouse.send(sql, headers=header, enable_http_compression=1)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == encoding
    assert unpack(packed.body) == plain.body


def test_clickhouse_blocks_both_ways(warehouse: Warehouse, table: str) -> None:
    assert decode_blocks(warehouse.send("SELECT 1", compress=1).body, LIMIT) == b"1\n"
    assert b"UNKNOWN_TABLE" in decode_blocks(warehouse.send("SELECT * FROM nowhere", compress=1).body, LIMIT)
    warehouse.send(f"INSERT INTO {table} FORMAT CSV", encode_blocks(b"7,a\n"), decompress=1)
    assert warehouse.value(f"SELECT n FROM {table}") == "7"


@pytest.mark.parametrize("codec", ["LZ4", "ZSTD", "NONE"])
def test_our_blocks_are_the_engines_blocks(warehouse: Warehouse, codec: str) -> None:
    """The engine's own column files are made of the same blocks, so they prove format and checksum."""
    name = f"codec_{codec}"
    warehouse.value(
        f"CREATE TABLE {name} (n UInt64 CODEC({codec})) ENGINE = MergeTree ORDER BY tuple() "
        "SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0"
    )
    warehouse.value(f"INSERT INTO {name} SELECT number FROM numbers(50000)")
    part = Path(warehouse.value(f"SELECT path FROM system.parts WHERE table = '{name}' AND active"))
    column = (warehouse.path / part / "n.bin").read_bytes()
    assert decode_blocks(column, LIMIT) == struct.pack("<50000Q", *range(50000))


def test_framed_native_blocks_for_clients_of_the_native_protocol(warehouse: Warehouse) -> None:
    arguments = {"default_format": "Native", "client_protocol_version": 54460}
    hello = warehouse.send("SELECT displayName(), version(), revision(), timezone()", **arguments)
    assert hello.body.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01")
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(200000)"
    answer = warehouse.send(sql, **arguments)
    context = QueryContext()
    context.block_info = True

    class Source:
        gen = iter([answer.body])

        def close(self) -> None: ...

    result = NativeTransform.parse_response(ResponseBuffer(Source()), context)
    assert list(result.result_rows) == [(n, str(n)) for n in range(200000)]


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("INSERT INTO nowhere FORMAT CSV", 404, "60"),
        ("SELECT * FROM no.where", 404, "81"),
        ("SELECT nothing", 404, "47"),
        ("SELECT 1 FORMAT Nope", 404, "73"),
        ("SELECT throwIf(1)", 500, "395"),
        ("CREATE TABLE k (n UInt8) ENGINE = Kafka('h:9', 't', 'g', 'CSV')", 501, "48"),
        ("SELECT 1 INTO OUTFILE '/tmp/never'", 500, "358"),
    ],
)
def test_errors(warehouse: Warehouse, sql: str, status: int, code: str) -> None:
    answer = warehouse.send(body=sql.encode())
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (status, code), answer.body
    assert answer.body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_bad_row_names_the_column_and_stores_nothing(warehouse: Warehouse, table: str) -> None:
    answer = warehouse.send(f"INSERT INTO {table} FORMAT CSV", b"1,a\nx,b\n")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (400, "27")
    assert b"name: n" in answer.body
    assert warehouse.value(f"SELECT count() FROM {table}") == "0"


def test_unknown_settings_are_refused(warehouse: Warehouse) -> None:
    for arguments in ({"no_such_setting": 1}, {"max_threads = 1, x": 1}):
        answer = warehouse.send("SELECT 1", **arguments)
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (404, "115")


def test_get_only_reads(warehouse: Warehouse, table: str) -> None:
    def code(sql: str, **arguments: Any) -> str | None:
        return warehouse.send(sql, method="GET", **arguments).headers.get("x-clickhouse-exception-code")

    assert warehouse.send("SELECT 1", method="GET", max_threads=1).body == b"1\n"
    assert warehouse.send("SELECT 1 SETTINGS max_threads = 1", method="GET").body == b"1\n"
    for sql in (f"INSERT INTO {table} VALUES (1, 'a')", f"DROP TABLE {table}", "CREATE DATABASE d", "SET readonly = 0"):
        assert code(sql) == "164"
        assert code(sql, readonly=0) == "164"
        assert code(sql, readonly="00") == "164"
    assert warehouse.send(f"INSERT INTO {table} VALUES (1, 'a')", readonly=1).status == 500
    assert warehouse.value(f"SELECT count() FROM {table}") == "0"


def test_head_and_options_run_nothing(warehouse: Warehouse, table: str) -> None:
    assert warehouse.send(f"DROP TABLE {table}", method="HEAD").status == 200
    assert "POST" in warehouse.send(f"DROP TABLE {table}", method="OPTIONS").headers["allow"]
    assert warehouse.send(method="GET").body == b"Ok.\n"
    assert warehouse.send(f"DROP TABLE {table}", method="PUT").status == 405
    assert warehouse.value(f"EXISTS {table}") == "1"


def test_nothing_of_one_request_reaches_the_next(warehouse: Warehouse) -> None:
    state = "SELECT getSetting('max_block_size'), currentDatabase(), getSetting('readonly')"
    before = warehouse.value(state)
    for _ in range(20):
        warehouse.value("SET max_block_size = 78", max_block_size=77, database="system")
        warehouse.send("SELECT 1", method="GET", max_block_size=77, database="system")
        warehouse.value("CREATE TEMPORARY TABLE leftover (n UInt8)")
        assert before == warehouse.value(state)
    assert warehouse.send("SELECT * FROM leftover").status == 404


def test_pages_of_other_sites_are_turned_away(warehouse: Warehouse) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        assert warehouse.send("SELECT 1", headers=headers).status == 403
    local = {"Origin": f"http://localhost:{warehouse.port}"}
    assert warehouse.send("SELECT 1", headers=local).status == 200


def test_a_slow_query_blocks_nobody(warehouse: Warehouse) -> None:
    slow: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda: slow.append(warehouse.send("SELECT sleepEachRow(1) FROM numbers(2)", max_block_size=1))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while warehouse.value("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(1)%'") < "5":
        assert not slow, "the slow queries ended before they were seen"
    started = time.monotonic()
    assert warehouse.send(method="GET", target="/ping").status == 200
    assert warehouse.value("SELECT 1") == "1"
    assert time.monotonic() - started < 1
    assert not slow
    for thread in threads:
        thread.join()
    assert [answer.status for answer in slow] == [200] * 4


def test_more_requests_than_are_taken_in_hand_are_refused(tmp_path: Path) -> None:
    with running(tmp_path / "db", tmp_path / "ready", "--requests", "2") as server:

        def sleep_in_hand() -> None:
            while server.send("SELECT sleep(3)").status != 200:  # the question below may have taken its place
                pass

        slow = [threading.Thread(target=sleep_in_hand) for _ in range(2)]
        for thread in slow:
            thread.start()
        while (answer := server.send("SELECT 1")).status == 200:
            assert any(thread.is_alive() for thread in slow)
        assert answer.headers["x-clickhouse-exception-code"] == "202"
        for thread in slow:
            thread.join()
        assert server.value("SELECT 1") == "1"


def test_many_clients_at_once(warehouse: Warehouse, table: str) -> None:
    failures: list[Answer] = []

    def work(worker: int) -> None:
        for n in range(10):
            row = f"{worker * 100 + n},a\n".encode()
            answers = [
                warehouse.send(f"INSERT INTO {table} FORMAT CSV", row),
                warehouse.send(
                    f"SELECT * FROM {table} WHERE n = {{n:UInt64}}", param_n=worker * 100 + n, max_threads=2
                ),
            ]
            failures.extend(a for a in answers if a.status != 200)
            if answers[1].body.split(b"\t")[0] != row.split(b",")[0]:
                failures.append(answers[1])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert warehouse.value(f"SELECT count(), uniqExact(n) FROM {table}") == "120\t120"


def test_inserts_are_fsynced_and_caches_are_small(warehouse: Warehouse) -> None:
    durable = (
        "SELECT value FROM system.merge_tree_settings WHERE name IN ('fsync_after_insert', 'fsync_part_directory')"
    )
    assert warehouse.value(durable) == "1\n1"
    assert warehouse.value("SELECT value FROM system.server_settings WHERE name = 'mark_cache_size'") == str(64 << 20)


# The process


def test_acknowledged_inserts_survive_kill_9(tmp_path: Path) -> None:
    path, ready = tmp_path / "db", tmp_path / "ready"
    acknowledged: list[int] = []
    with running(path, ready) as server:
        server.value("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")

        def insert() -> None:
            for n in range(1_000_000):
                try:
                    if server.send("INSERT INTO t FORMAT CSV", f"{n}\n".encode()).status == 200:
                        acknowledged.append(n)
                except OSError:
                    return

        writer = threading.Thread(target=insert)
        writer.start()
        deadline = time.monotonic() + 30
        while len(acknowledged) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        writer.join()
    with running(path, ready) as server:
        stored = {int(n) for n in server.value("SELECT n FROM t").split()}
    assert stored >= set(acknowledged)
    assert len(stored) <= len(acknowledged) + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly_and_finishes_what_runs(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "db", tmp_path / "ready") as server:
        server.value("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
        answers: list[Answer] = []
        slow = threading.Thread(target=lambda: answers.append(server.send("INSERT INTO t SELECT sleep(2)")))
        slow.start()
        while server.value("SELECT count() FROM system.processes WHERE query LIKE 'INSERT%sleep%'") == "0":
            assert slow.is_alive()
        assert server.stop(number) == 0
        slow.join()
        assert [answer.status for answer in answers] == [200]
    with running(tmp_path / "db", tmp_path / "ready") as server:
        assert server.value("SELECT count() FROM t") == "1"


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    with running(tmp_path / "db", tmp_path / "ready", "--grace-seconds", "1") as server:
        endless = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
        threading.Thread(target=lambda: server.send(endless, max_threads=1), daemon=True).start()
        while server.value("SELECT count() FROM system.processes WHERE query LIKE '%numbers(1000000000000)%'") < "2":
            assert server.process.poll() is None
        started = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - started < 20


def test_a_folder_is_one_servers(warehouse: Warehouse) -> None:
    second = subprocess.run(command(warehouse.path, free_port()), capture_output=True, text=True, timeout=60)
    assert second.returncode == 3
    assert str(warehouse.path) in second.stderr
    assert "another warehouse server runs there" in second.stderr
    assert warehouse.value("SELECT 1") == "1"


def test_a_folder_held_by_another_engine_is_noticed(tmp_path: Path) -> None:
    hold = "import chdb, sys; c = chdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        second = subprocess.run(command(tmp_path, free_port()), capture_output=True, text=True, timeout=60)
        assert second.returncode == 3
        assert str(tmp_path) in second.stderr
    finally:
        holder.kill()
        holder.communicate()


def test_a_taken_port_is_not_a_taken_folder(warehouse: Warehouse, tmp_path: Path) -> None:
    second = subprocess.run(command(tmp_path / "db", warehouse.port), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"port {warehouse.port}" in second.stderr


def test_only_loopback_is_served(tmp_path: Path) -> None:
    refused = subprocess.run(
        command(tmp_path / "db", free_port(), "--host", "0.0.0.0"), capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert "python -m warehouse.embedded.tokens admin" in refused.stderr
