"""Roles, grants, quotas, row policies and profiles for a ClickHouse server: the engine's own parser reads each, and the
engine holds its user to each role's grants and row policies while that role's work is done."""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from kit.access import filters, grants, statements
from kit.contacts import SECRET, contact, insert
from kit.door import Warehouse, running
from kit.granted_door import granted
from kit.known_leads import happened, told
from kit.questions import ask_the_cookbook, ask_the_dashboards
from kit.written_tables import WrittenTables

import warehouse
from streams.topology import all_topics
from warehouse.client import connect
from warehouse.embedded.analyst import TABLES
from warehouse.erasing.people import Identity
from warehouse.erasure import ask, erase
from warehouse.migrate import migrate
from warehouse.settling import asking, settle
from warehouse.views import views

STATEMENTS = list(statements())
ROLES = ("leadline_analyst", "leadline_sink", "leadline_admin", "leadline_analyst_auto")
AUTO = [UUID(int=number) for number in range(101, 107)]
LATER = [UUID(int=number) for number in range(201, 207)]
PHONE = "+14155550123"
VIEWS = frozenset(view.name for view in views())
TENANT = "leadline_analyst_auto"
WITHHELD = {
    **dict.fromkeys(("cap_ledger", "dead_letters", "releases", "replays"), "does not say whose a row is"),
    **dict.fromkeys(("ingested", "sink_gaps", "sunk_topics", "schema_migrations"), "is about all tenants at once"),
    "caps": "reads cap_ledger",
    "completeness": "reads ingested and sink_gaps",
    **dict.fromkeys(("campaign_reasons", "evaluations", "release_campaigns", "release_history"), "reads releases"),
}
"""What analysts have and a tenant's do not, and why."""


@dataclass(frozen=True)
class Filled:
    """A warehouse's folder, which nobody serves, its tables and views ``with_vertical``, and what each of the views
    ``said`` of the rows of `auto` to whoever reads all rows."""

    path: Path
    with_vertical: set[str]
    said: dict[str, list[tuple[Any, ...]]]


def with_vertical(client: Client) -> set[str]:
    """Tables and views that say whose a row is."""
    found = client.query("SELECT table FROM system.columns WHERE database = 'leadline' AND name = 'vertical'")
    return {str(row[0]) for row in found.result_rows}


def rows_of(client: Client, table: str, condition: str = "1") -> list[tuple[Any, ...]]:
    rows = client.query(f"SELECT * FROM leadline.{table} WHERE {condition}").result_rows
    return sorted((tuple(row) for row in rows), key=repr)


def tables_of(role: str, database: str = "leadline") -> set[str]:
    """What a role is granted SELECT on by name."""
    return {name for grant in grants(role) for name in re.findall(rf"SELECT ON {database}\.(\w+)", grant)}


def refused(client: Client, sql: str) -> bool:
    with pytest.raises(DatabaseError) as raised:
        client.command(sql)
    return bool(raised.value.code == 497)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("access")
    with running(folder / "db", folder / "ready") as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Leads of two verticals, whose hour settled before more of the one came."""
    folder = tmp_path_factory.mktemp("filled")
    with running(folder / "db", folder / "ready", "--settle-seconds", "3600") as server:
        with connect(f"http://127.0.0.1:{server.port}") as client:
            migrate(client, "leadline")
            written = WrittenTables(client, "leadline")
            written.add([*happened(), *happened(AUTO, "auto"), *told()])
            assert settle(asking(client), "leadline", quiet=timedelta(0)).hours == 1
            written.add(happened(LATER))
            names = with_vertical(client)
            said = {view: rows_of(client, view, "vertical = 'auto'") for view in names & VIEWS}
        assert server.stop(signal.SIGTERM) == 0
    return Filled(folder / "db", names, said)


@pytest.mark.parametrize(("file", "sql"), STATEMENTS)
def test_the_engine_parses_the_statement(server: Warehouse, file: str, sql: str) -> None:
    answer = server.send("SELECT formatQuery({sql:String}) FORMAT TSVRaw", param_sql=sql.replace("\n", "\\n"))
    assert answer.status == 200, answer.body
    assert re.match(rb"(CREATE (SETTINGS PROFILE|ROLE|QUOTA|ROW POLICY)|GRANT) ", answer.body)


def test_a_statement_that_is_none_would_be_noticed(server: Warehouse) -> None:
    assert server.send("SELECT formatQuery('GRANT SELEC ON a TO b')").headers["x-clickhouse-exception-code"] == "62"


def test_every_grant_is_to_a_role_that_there_is() -> None:
    given = [sql for _, sql in STATEMENTS if re.search(r"^GRANT", sql, re.MULTILINE)]
    assert sum(len(grants(role)) for role in ROLES) == len(given)
    made = {found[1] for _, sql in STATEMENTS if (found := re.search(r"CREATE ROLE IF NOT EXISTS (\w+)", sql))}
    assert made == set(ROLES)


def test_analysts_of_a_server_read_what_those_of_the_embedded_warehouse_do() -> None:
    assert tables_of("leadline_analyst") == set(TABLES)
    assert not any("leadline.*" in grant and "SELECT" in grant for grant in grants("leadline_analyst"))


def test_an_analyst_s_grants_are_enough_and_no_more(filled: Filled) -> None:
    with granted(filled.path, "leadline_analyst") as url, connect(url, database="leadline") as client:
        ask_the_cookbook(client)
        ask_the_dashboards(client)
        for table in TABLES:
            client.raw_query(f"SELECT * FROM {table} FORMAT Null")
        assert refused(client, "SELECT * FROM contacts")
        assert refused(client, "SELECT * FROM erased_persons")
        assert refused(client, "INSERT INTO lead_events (stage) VALUES ('sold')")
        assert refused(client, "DROP VIEW leads")


# Tenants


def test_each_table_that_says_whose_a_row_is_has_the_policies(filled: Filled) -> None:
    assert {name.removeprefix("leadline.") for name in filters(TENANT)} == filled.with_vertical - VIEWS
    policies = [sql for _, sql in STATEMENTS if "CREATE ROW POLICY" in sql]
    named = [set(re.findall(r"leadline\.\w+", sql)) for sql in policies]
    assert named == [set(filters(TENANT))] * 2
    assert policies[0].endswith(f"FOR SELECT USING 1 TO ALL EXCEPT {TENANT}")


def test_a_tenant_has_all_that_does_not_show_other_tenants_rows() -> None:
    assert set(TABLES) - tables_of(TENANT) == set(WITHHELD)
    assert tables_of(TENANT) <= set(TABLES)


def test_a_tenant_s_views_say_of_its_rows_what_they_say_to_others(filled: Filled) -> None:
    with granted(filled.path, TENANT) as url, connect(url, database="leadline") as client:
        seen = {view: rows_of(client, view) for view in tables_of(TENANT) & filled.said.keys()}
        for table in filters(TENANT):
            assert client.query(f"SELECT DISTINCT vertical FROM {table}").result_rows == [("auto",)], table
        others = tables_of(TENANT) - filters(TENANT).keys() - seen.keys()
        for table in others:
            client.raw_query(f"SELECT * FROM {table} FORMAT Null")
        for table in (*WITHHELD, "contacts"):
            assert refused(client, f"SELECT * FROM {table}")
    assert seen == {view: filled.said[view] for view in seen}
    assert all(seen.values())
    assert tables_of(TENANT) & VIEWS - seen.keys() == {"freshness", "rollup_horizon"}


# What the sink and administrators do


def test_a_sink_s_grants_are_enough_and_no_more(filled: Filled) -> None:
    with granted(filled.path, "leadline_sink") as url, connect(url, database="leadline") as client:
        before = int(client.command("SELECT count() FROM lead_events"))
        written = WrittenTables(client, "leadline")
        leads = [UUID(int=number) for number in range(301, 307)]
        placed = written.add(happened(leads), fresh=False)  # so it waits for other inserts, and looks what is there
        written.put(placed, fresh=False)
        assert int(client.command("SELECT count() FROM lead_events")) > before
        gap = ["leads", "a", 0, 0, 1, "gone", True, True]
        columns = ["topic", "topic_id", "partition", "first", "last", "why", "lost", "accepted"]
        client.insert("sink_gaps", [gap], column_names=columns)
        assert refused(client, "ALTER TABLE contacts DELETE WHERE 1")
        assert refused(client, "TRUNCATE TABLE lead_events")


def test_an_administrator_s_grants_are_enough(tmp_path: Path) -> None:
    with granted(tmp_path / "db", "leadline_admin") as url, connect(url) as client:
        migrate(client, "leadline")
        WrittenTables(client, "leadline").add([*happened(), *told()])
        assert settle(asking(client), "leadline", quiet=timedelta(0)).hours == 1
        insert(client, "leadline", [contact(PHONE)])
        identity = Identity.of_phone(SECRET, PHONE)
        assert erase(client, "leadline", ask(client, "leadline", identity), all_topics()).rows_deleted == 1
        assert refused(client, "CREATE DATABASE elsewhere")
        assert refused(client, "CREATE USER somebody")


READ_BY_EVERYBODY = frozenset(("columns", "functions", "tables"))
"""A server gives these to every user, without what they may not see (ClickHouse's ``ContextAccess``). Any other system
table it wants a grant for, unlike the embedded engine, so what the code asks is read from the code."""
SINK = ("sink.py", "sinking", "tables")


@pytest.mark.parametrize("role", ["leadline_sink", "leadline_admin"])
def test_each_system_table_that_the_code_asks_is_granted(role: str) -> None:
    package = Path(warehouse.__file__).parent
    files = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] != "embedded"]
    sinks = [file for file in files if file.relative_to(package).parts[0] in SINK]
    asked = system_tables(sinks if role == "leadline_sink" else set(files) - set(sinks))
    assert asked - READ_BY_EVERYBODY == tables_of(role, "system")


def system_tables(files: Iterable[Path]) -> set[str]:
    """The system tables that files of Python name: in SQL, or where a name is put behind ``system.``."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(re.findall(r"\bsystem\.(\w+)", node.value))
                assert file.name == "parts.py" or not node.value.endswith("system."), file
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("self._system", "self._count"):
                found.update(str(name.value) for name in node.args if isinstance(name, ast.Constant))
    return found
