"""Sessions at the door of the embedded warehouse: what one keeps, for whom, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from kit.door import Answer, Warehouse, running


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("sessions")
    with running(folder / "db", folder / "ready") as server:
        yield server


def code(answer: Answer) -> str:
    return answer.headers.get("x-clickhouse-exception-code", "0")


def test_a_session_keeps_settings_temporary_tables_and_the_database(warehouse: Warehouse) -> None:
    warehouse.value("SET max_block_size = 78", session_id="a")
    warehouse.value("CREATE TEMPORARY TABLE mine (n UInt8)", session_id="a")
    warehouse.value("INSERT INTO mine VALUES (7)", session_id="a")
    warehouse.value("USE system", session_id="a")
    state = "SELECT getSetting('max_block_size'), currentDatabase(), (SELECT n FROM mine)"
    assert warehouse.value(state, session_id="a") == "78\tsystem\t7"
    assert code(warehouse.send("SELECT * FROM mine", session_id="b")) == "60"
    assert warehouse.value("SELECT currentDatabase()", session_id="b") == "default"


def test_a_requests_own_settings_and_database_are_not_kept(warehouse: Warehouse) -> None:
    warehouse.value("SET max_block_size = 78", session_id="c")
    state = "SELECT getSetting('max_block_size'), getSetting('max_threads'), currentDatabase()"
    before = warehouse.value(state, session_id="c")
    once = {"max_block_size": 5, "max_threads": 3, "database": "system"}
    assert warehouse.value(state, session_id="c", **once) == "5\t3\tsystem"
    assert code(warehouse.send("SELECT nothing", session_id="c", **once)) == "47"
    assert warehouse.value(state, session_id="c") == before
    assert code(warehouse.send("CREATE TEMPORARY TABLE t (n UInt8)", method="GET", session_id="c")) == "164"
    assert code(warehouse.send("CREATE TEMPORARY TABLE t (n UInt8)", session_id="c", readonly=1)) == "164"
    hidden = "WITH x AS (SELECT 1 AS n) INSERT INTO FUNCTION null('n UInt8') SELECT n FROM x"
    assert code(warehouse.send(hidden, method="GET", session_id="c")) == "164"
    assert code(warehouse.send("CREATE TEMPORARY TABLE t (n UInt8)", session_id="c")) == "0"


def test_one_query_at_a_time(warehouse: Warehouse) -> None:
    slow: list[Answer] = []
    thread = threading.Thread(target=lambda: slow.append(warehouse.send("SELECT sleep(2)", session_id="busy")))
    thread.start()
    while warehouse.value("SELECT count() FROM system.processes WHERE query LIKE '%sleep(2)%'") < "2":
        assert thread.is_alive()
    assert code(warehouse.send("SELECT 1", session_id="busy")) == "373"
    assert warehouse.value("SELECT 1", session_id="other") == "1"
    thread.join()
    assert slow[0].status == 200
    assert warehouse.value("SELECT 1", session_id="busy") == "1"


def test_session_check_timeout_and_close(warehouse: Warehouse) -> None:
    assert code(warehouse.send("SELECT 1", session_id="new", session_check=1)) == "372"
    warehouse.value("SELECT 1", session_id="new", session_timeout=1)
    assert warehouse.value("SELECT 1", session_id="new", session_check=1, session_timeout=1) == "1"
    deadline = time.monotonic() + 20
    time_left = {"session_id": "new", "session_check": 1, "session_timeout": 1}
    while code(warehouse.send("SELECT 1", **time_left)) != "372":
        assert time.monotonic() < deadline
        threading.Event().wait(1.5)  # every look keeps the session for another second
    warehouse.value("SELECT 1", session_id="closed")
    warehouse.value("SELECT 1", session_id="closed", close_session=1)
    assert code(warehouse.send("SELECT 1", session_id="closed", session_check=1)) == "372"
    for timeout in ("0", "-1", "x", "3601"):
        assert code(warehouse.send("SELECT 1", session_id="t", session_timeout=timeout)) == "374"


def test_sessions_are_bounded_and_the_longest_unused_goes(warehouse: Warehouse) -> None:
    warehouse.value("SELECT 1", session_id="first")
    for number in range(260):
        assert warehouse.send("SELECT 1", session_id=f"s{number}").status == 200
    assert code(warehouse.send("SELECT 1", session_id="first", session_check=1)) == "372"
    assert warehouse.value("SELECT 1", session_id="s259", session_check=1) == "1"


def test_large_answers_come_from_sessions_too(warehouse: Warehouse) -> None:
    answer = warehouse.send("SELECT number FROM numbers(500000)", session_id="large")
    assert answer.body.count(b"\n") == 500_000
    assert warehouse.value("SELECT 1", session_id="large") == "1"
