"""Roles, grants, quotas, row policies and profiles for a ClickHouse server: the engine's own parser reads each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.door import Warehouse, running

import warehouse
from warehouse.embedded.analyst import TABLES

FOLDER = Path(warehouse.__file__).parent / "access"


def statements() -> Iterator[tuple[str, str]]:
    for file in sorted(FOLDER.glob("*.sql")):
        for sql in re.split(r"^-- @stmt$", file.read_text(), flags=re.MULTILINE):
            yield file.name, sql.strip().removesuffix(";")


STATEMENTS = list(statements())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("access")
    with running(folder / "db", folder / "ready") as opened:
        yield opened


@pytest.mark.parametrize(("file", "sql"), STATEMENTS)
def test_the_engine_parses_the_statement(server: Warehouse, file: str, sql: str) -> None:
    answer = server.send("SELECT formatQuery({sql:String}) FORMAT TSVRaw", param_sql=sql.replace("\n", "\\n"))
    assert answer.status == 200, answer.body
    assert re.match(rb"(CREATE (SETTINGS PROFILE|ROLE|QUOTA|ROW POLICY)|GRANT) ", answer.body)


def test_a_statement_that_is_none_would_be_noticed(server: Warehouse) -> None:
    assert server.send("SELECT formatQuery('GRANT SELEC ON a TO b')").headers["x-clickhouse-exception-code"] == "62"


def test_analysts_of_a_server_read_what_those_of_the_embedded_warehouse_do() -> None:
    granted = {
        found[1]
        for _, sql in STATEMENTS
        if (found := re.search(r"GRANT SELECT ON leadline\.(\w+) TO leadline_analyst", sql))
    }
    assert granted == set(TABLES)
    assert not any(re.search(r"SELECT ON leadline\.\* TO leadline_analyst", sql) for _, sql in STATEMENTS)
