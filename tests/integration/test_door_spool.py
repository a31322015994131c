"""What the door keeps of a body while the engine reads it is gone with the process, however that ends."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from kit.door import Warehouse, running
from kit.full_stack import wait_until

MARK = "ortolannote"
SLOW = "INSERT INTO slow (s) SELECT s FROM input('s String') WHERE sleepEachRow(1) = 0 FORMAT CSV"


@pytest.mark.parametrize("sql", [SLOW, "INSERT INTO slower (s) FORMAT CSV"])
def test_a_kill_leaves_nothing_of_an_insert_behind(tmp_path: Path, sql: str) -> None:
    (tmp_path / "tmp").mkdir()
    with running(tmp_path / "db", tmp_path / "ready", TMPDIR=str(tmp_path / "tmp")) as server:
        for table in ("slow", "slower"):
            server.value(f"CREATE TABLE {table} (s String) ENGINE = MergeTree ORDER BY s")
        server.value("CREATE MATERIALIZED VIEW slower_mv TO slow AS SELECT s FROM slower WHERE sleepEachRow(1) = 0")
        data = f"{MARK}\n".encode() * 60
        sending = threading.Thread(target=_sent, args=(server, sql, data))
        sending.start()
        asked = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO slow%'"
        wait_until(lambda: server.value(asked) == "1", "the insert runs", 20)
        server.process.kill()
        sending.join()
    assert not list((tmp_path / "tmp").rglob("*"))


def _sent(server: Warehouse, sql: str, data: bytes) -> None:
    with suppress(OSError):  # it is killed meanwhile
        server.send(sql, data, max_block_size=1, function_sleep_max_microseconds_per_block=10**8)
