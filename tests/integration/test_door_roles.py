"""Tokens and roles at the door of the embedded warehouse: what an analyst reads, and what nobody but an admin does."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from kit.door import Answer, Warehouse, command, free_port, running

from warehouse.embedded.tokens import Identity, Role, add


@dataclass(frozen=True)
class Guarded:
    server: Warehouse
    admin: str
    analyst: str

    def as_admin(self, sql: str, **arguments: Any) -> Answer:
        return self.server.send(body=sql.encode(), headers={"X-ClickHouse-Key": self.admin}, **arguments)

    def as_analyst(self, sql: str, **arguments: Any) -> Answer:
        return self.server.send(body=sql.encode(), headers={"X-ClickHouse-Key": self.analyst}, **arguments)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("roles")
    tokens = folder / "tokens"
    admin = add(tokens, Identity(Role.ADMIN, "sink"))
    analyst = add(tokens, Identity(Role.ANALYST, "grafana"))
    with running(folder / "db", folder / "ready", LEADLINE_CLICKHOUSE_TOKENS=str(tokens)) as server:
        guarded = Guarded(server, admin, analyst)
        for sql in (
            "CREATE DATABASE leadline",
            "CREATE TABLE leadline.lead_events (n UInt64, stage String) ENGINE = MergeTree ORDER BY n",
            "CREATE TABLE leadline.contacts (n UInt64, phone String) ENGINE = MergeTree ORDER BY n",
            "CREATE VIEW leadline.secrets AS SELECT * FROM leadline.contacts",
            "CREATE DICTIONARY leadline.book (n UInt64, phone String) PRIMARY KEY n "
            "SOURCE(CLICKHOUSE(QUERY 'SELECT * FROM leadline.contacts')) LAYOUT(FLAT()) LIFETIME(60)",
            "INSERT INTO leadline.lead_events VALUES (1, 'routed'), (2, 'sold')",
            "INSERT INTO leadline.contacts VALUES (1, '+15550100')",
        ):
            answer = guarded.as_admin(sql)
            assert answer.status == 200, answer.body
        yield guarded


def test_no_request_without_a_token(door: Guarded) -> None:
    refused = door.server.send("SELECT 1")
    assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (401, "194")
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert door.server.send("SELECT 1", headers={"X-ClickHouse-Key": "guess"}).status == 403
    assert door.server.send(method="GET", target="/ping").status == 200


@pytest.mark.parametrize("role", ["admin", "analyst"])
def test_every_way_to_show_a_token(door: Guarded, role: str) -> None:
    token = getattr(door, role)
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    for headers in (
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Bearer {token}"},
        {"X-ClickHouse-Key": token, "X-ClickHouse-User": "anybody"},
    ):
        assert door.server.send("SELECT 1", headers=headers).body == b"1\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM leadline.lead_events",
        "WITH e AS (SELECT * FROM leadline.lead_events) SELECT count() FROM e JOIN e AS other USING n",
        "SELECT count() FROM leadline.lead_events WHERE n IN (SELECT n FROM leadline.lead_events) AND n IN (1, 2)",
        "SELECT count() FROM (SELECT n AS contacts FROM leadline.lead_events) WHERE contacts IN (1, 2)",
        "SELECT sum(number) - 1 + count() FROM numbers(2)",
        "SELECT uniqExact(stage) FROM leadline.lead_events UNION DISTINCT SELECT 2",
    ],
)
def test_an_analyst_reads(door: Guarded, sql: str) -> None:
    answer = door.as_analyst(sql)
    assert (answer.status, answer.body) == (200, b"2\n"), answer.body


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES FROM leadline",
        "SHOW DATABASES",
        "DESCRIBE TABLE leadline.lead_events",
        "EXISTS leadline.lead_events",
        "EXPLAIN SELECT * FROM leadline.lead_events",
        "SELECT name FROM system.columns WHERE database = 'leadline' FORMAT JSON",
        "SELECT name, value, readonly FROM system.settings LIMIT 10000",
        "SELECT table_name FROM information_schema.tables",
    ],
)
def test_an_analyst_looks_around(door: Guarded, sql: str) -> None:
    answer = door.as_analyst(sql)
    assert answer.status == 200, answer.body
    assert answer.body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM leadline.contacts",
        "SELECT * FROM leadline.`contacts`",
        'SELECT * FROM "leadline"."contacts" AS lead_events',
        "SELECT * FROM leadline.secrets",
        "SELECT * FROM (SELECT phone FROM leadline.contacts)",
        "SELECT (SELECT phone FROM leadline.contacts)",
        "SELECT 1 IN leadline.contacts",
        "SELECT 1 WHERE globalNotIn(1, leadline.contacts)",
        "WITH contacts AS (SELECT 1) SELECT * FROM contacts UNION ALL SELECT n FROM leadline.contacts",
        "SELECT * FROM merge('leadline', 'contacts')",
        "SELECT * FROM loop(leadline.contacts)",
        "SELECT * FROM remote('127.0.0.1', leadline.contacts)",
        "SELECT * FROM mergeTreeIndex(leadline, contacts)",
        "SELECT dictGet('leadline.book', 'phone', toUInt64(1))",
        "SELECT dictGetOrDefault('leadline.book', 'phone', toUInt64(1), '')",
        "SELECT * FROM dictionary('leadline.book')",
        "SELECT * FROM leadline.book",
        "SELECT joinGet('leadline.contacts', 'phone', 1)",
        "DESCRIBE TABLE (SELECT * FROM leadline.contacts)",
        "EXPLAIN SYNTAX SELECT * FROM leadline.contacts",
        "EXPLAIN ESTIMATE SELECT * FROM leadline.contacts",
        "SELECT * FROM leadline.lead_events PARALLEL WITH SELECT 1",
        "SELECT query FROM system.processes",
        "SELECT * FROM system.parts",
        "SELECT * FROM view(SELECT * FROM leadline.contacts)",
        "SHOW CREATE TABLE leadline.contacts",
        "CHECK TABLE leadline.contacts",
        "KILL QUERY WHERE 1",
        "INSERT INTO leadline.lead_events VALUES (3, 'x')",
        "INSERT INTO leadline.lead_events SELECT * FROM input('n UInt64, stage String') FORMAT CSV 3,x",
        "DROP TABLE leadline.lead_events",
        "CREATE TEMPORARY TABLE t (n UInt8)",
        "SYSTEM FLUSH LOGS",
        "SELECT 1 AS `x\n`",
        "SELECT 1 AS “x\n”",
    ],
)
def test_an_analyst_is_refused(door: Guarded, sql: str) -> None:
    answer = door.as_analyst(sql)
    assert answer.headers.get("x-clickhouse-exception-code") == "497", (answer.status, answer.body)
    assert answer.status == 403
    assert b"+1555" not in answer.body
    if sql.startswith("SELECT"):  # Unqualified, it is the same table.
        bare = door.as_analyst(sql.replace("leadline.", ""), database="leadline")
        assert bare.status != 200, bare.body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM url('http://127.0.0.1:1/x', 'CSV', 'a String')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT FILE('/etc/passwd')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')",
        "SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')",
        "SELECT * FROM sqlite('/tmp/x', 't')",
        "SELECT * FROM executable('x.sh', 'TSV', 'a String')",
        "SELECT * FROM Python(settings)",
        "SELECT * FROM deltaLake('http://127.0.0.1:1/bucket/x')",
    ],
)
def test_an_analyst_reaches_nothing_outside(door: Guarded, sql: str) -> None:
    answer = door.as_analyst(sql)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (403, "497"), answer.body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ‘'’; SELECT * FROM leadline.contacts -- '",
        "SELECT ‘'’; DROP TABLE leadline.contacts -- '",
        "SELECT 1 // '\n; SELECT * FROM leadline.contacts -- '",
        "SELECT 1 /* /* */ ' */ ; SELECT * FROM leadline.contacts -- '",
        "SELECT 1; SELECT * FROM leadline.contacts",
    ],
)
@pytest.mark.parametrize("name", ["TSV", "JSON"])
def test_a_second_statement_is_never_run(door: Guarded, sql: str, name: str) -> None:
    answer = door.as_analyst(sql, default_format=name)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (400, "62"), answer.body
    assert door.as_admin("SELECT count() FROM leadline.contacts").body == b"1\n"


def test_names_bound_as_parameters_are_read_too(door: Guarded) -> None:
    sql = "SELECT count() FROM leadline.{t:Identifier}"
    assert door.as_analyst(sql, param_t="lead_events").body == b"2\n"
    assert door.as_analyst(sql, param_t="contacts").status == 403
    value = "line\nline \\ 'quoted'"
    assert door.as_analyst("SELECT {s:String} FORMAT TSVRaw", param_s=value.replace("\\", "\\\\").replace("\n", "\\n"))


def test_an_analyst_has_limits_and_may_ask_for_less_only(door: Guarded) -> None:
    limit = "SELECT getSetting('max_execution_time'), getSetting('readonly')"
    assert door.as_analyst(limit).body == b"30\t1\n"
    assert door.as_analyst(limit, max_execution_time=5).body == b"5\t1\n"
    for more in ("0", "3600", "-1", "x"):
        assert door.as_analyst(limit, max_execution_time=more, readonly=0).body == b"30\t1\n"
    many = door.as_analyst("SELECT * FROM numbers(2000000)", wait_end_of_query=1)
    assert many.headers["x-clickhouse-exception-code"] == "396"
    assert (
        door.as_analyst("SELECT sum(number) FROM numbers(3000000000)").headers["x-clickhouse-exception-code"] == "158"
    )
    slow = door.as_analyst("SELECT sleepEachRow(1) FROM numbers(5)", max_execution_time=1, max_block_size=1)
    assert slow.headers["x-clickhouse-exception-code"] == "159"


@pytest.mark.parametrize("name", ["allow_ddl", "format_schema", "output_format_schema", "additional_table_filters"])
def test_an_analyst_changes_no_other_setting(door: Guarded, name: str) -> None:
    answer = door.as_analyst("SELECT 1", **{name: "1"})
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert door.as_analyst("SELECT 1 SETTINGS max_execution_time = 100").status == 500
    assert door.as_analyst("SET max_execution_time = 100").status == 500


def test_clickhouse_connect_as_an_analyst(door: Guarded) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=door.server.port, username="grafana", password=door.analyst, database="leadline"
    )
    assert client.query("SELECT n, stage FROM lead_events ORDER BY n").result_rows == [(1, "routed"), (2, "sold")]
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        client.query("SELECT * FROM contacts")
    client.close()


def test_tokens_are_nowhere_in_the_engine_or_its_answers(door: Guarded) -> None:
    seen = [
        door.as_admin("SELECT * FROM system.processes FORMAT Vertical").body,
        door.as_admin("SELECT no_such_column").body,
        door.server.send("SELECT 1", headers={"Authorization": f"Bearer {door.admin}x"}).body,
    ]
    assert not any(token.encode() in body for token in (door.admin, door.analyst) for body in seen)


def test_another_address_is_served_with_tokens_and_not_without(tmp_path: Path) -> None:
    everywhere = ("--host", "0.0.0.0")
    refused = subprocess.run(command(tmp_path / "db", free_port(), *everywhere), capture_output=True, text=True)
    assert refused.returncode == 2
    assert "python -m warehouse.embedded.tokens admin" in refused.stderr
    (tmp_path / "tokens").write_text("admin sink nothash\n")
    broken = subprocess.run(
        command(tmp_path / "db", free_port(), *everywhere),
        capture_output=True,
        text=True,
        env={"LEADLINE_CLICKHOUSE_TOKENS": str(tmp_path / "tokens")},
    )
    assert broken.returncode == 2
    assert "line 1" in broken.stderr


def rows_of_audit(door: Guarded, condition: str, wanted: int) -> list[dict[str, Any]]:
    """What the audit has, as soon as it has that much: it is stored once a second."""
    deadline = time.monotonic() + 20
    sql = f"SELECT * FROM leadline_audit.statements WHERE {condition} ORDER BY at FORMAT JSONEachRow"
    while len(rows := door.as_admin(sql).body.splitlines()) < wanted:
        assert time.monotonic() < deadline, rows
    return [json.loads(row) for row in rows]


def test_the_audit_says_who_did_what_and_no_literals(door: Guarded) -> None:
    door.as_admin("CREATE TABLE audited (n UInt64) ENGINE = MergeTree ORDER BY n")
    for phone in ("+15550123", "+15550124"):
        door.as_analyst(f"SELECT '{phone}' AS marked_phone, n FROM leadline.lead_events LIMIT 1")
    door.as_analyst("SELECT phone, 42424242 FROM leadline.contacts")
    door.server.send("SELECT 1", headers={"X-ClickHouse-Key": "guess"})
    door.as_admin("INSERT INTO audited SELECT 987654321 FROM numbers(3)")
    assert rows_of_audit(door, "written_rows = 3 AND kind = 'INSERT'", 1)[-1]["token"] == "sink"
    reads = rows_of_audit(door, "token = 'grafana' AND code = 0 AND result_rows = 1 AND kind = 'SELECT'", 2)[-2:]
    assert [row["role"] for row in reads] == ["analyst", "analyst"]
    assert reads[0]["query_hash"] == reads[1]["query_hash"] != "0"
    assert rows_of_audit(door, "token = 'grafana' AND code = 497", 1)[-1]["kind"] == "SELECT"
    assert rows_of_audit(door, "role = '' AND code = 516", 1)[-1]["token"] == ""
    everything = json.dumps(rows_of_audit(door, "1", 1))
    for secret in ("15550123", "987654321", "42424242", "marked_phone", door.admin, door.analyst):
        assert secret not in everything
    assert door.as_analyst("SELECT * FROM leadline_audit.statements").status == 403


def test_the_audit_outlives_the_server(tmp_path: Path) -> None:
    with running(tmp_path / "db", tmp_path / "ready") as server:
        server.value("SELECT 1 FROM numbers(17)")
        assert server.stop(signal.SIGTERM) == 0
    with running(tmp_path / "db", tmp_path / "ready") as server:
        found = "SELECT token, role FROM leadline_audit.statements WHERE result_rows = 17"
        assert server.value(found) == "local\tadmin"
        assert "toIntervalDay(90)" in server.value("SHOW CREATE TABLE leadline_audit.statements")
