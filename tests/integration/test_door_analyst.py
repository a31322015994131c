"""What analysts are promised, asked with an analyst's token: under the door's checks of statements and its limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from kit.door import running
from kit.known_leads import LEADS, happened, told
from kit.questions import ask_the_cookbook, ask_the_dashboards
from kit.written_tables import WrittenTables

from warehouse.client import connect
from warehouse.embedded.analyst import TABLES
from warehouse.embedded.tokens import Identity, Role, add
from warehouse.migrate import migrate
from warehouse.settling import asking, settle

DATABASE = "leadline"


@pytest.fixture(scope="module", params=["open", "settled"])
def analyst(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An analyst's client of a warehouse with the known leads, their hour open or settled."""
    folder = tmp_path_factory.mktemp("analyst")
    tokens = folder / "tokens"
    shown = {role: add(tokens, Identity(role, role)) for role in Role}
    with running(folder / "db", folder / "ready", LEADLINE_CLICKHOUSE_TOKENS=str(tokens)) as server:
        url = f"http://anybody:{{}}@127.0.0.1:{server.port}"
        with connect(url.format(shown[Role.ADMIN])) as admin:
            migrate(admin, DATABASE)
            WrittenTables(admin, DATABASE).add([*happened(), *told()])
            if request.param == "settled":
                assert settle(asking(admin), DATABASE, quiet=timedelta(0)).hours == 1
        with connect(url.format(shown[Role.ANALYST]), database=DATABASE) as client:
            yield client


def test_it_is_an_analyst_who_asks(analyst: Client) -> None:
    limits = "SELECT getSetting('readonly'), getSetting('max_execution_time')"
    assert analyst.query(limits).result_rows == [(1, 30)]
    with pytest.raises(DatabaseError) as raised:
        analyst.query("SELECT * FROM contacts")
    assert raised.value.code == 497


def test_every_question_of_the_cookbook_has_an_answer(analyst: Client) -> None:
    ask_the_cookbook(analyst)


def test_every_panel_of_every_dashboard_has_an_answer(analyst: Client) -> None:
    ask_the_dashboards(analyst)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_everything_that_analysts_have_answers(analyst: Client, table: str) -> None:
    answer = analyst.raw_query(f"SELECT * FROM {table} FORMAT JSONEachRow")  # the client reads no aggregate's state
    if table in ("leads", "lead_events", "journey"):
        assert {json.loads(line)["lead_id"] for line in answer.splitlines()} == set(map(str, LEADS))
