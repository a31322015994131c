"""RocksDB behind its door: batches are whole, scans are ordered, a closed database is free and an open one is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.rocksdb.database import Batch, Database, DatabaseError, Limits, LockedError, destroy

# A process that has a database open until its input ends.
HOLDER = """
import sys
from pathlib import Path
from connectors.rocksdb.database import Database
database = Database(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def written(database: Database, **entries: bytes) -> Database:
    batch = Batch()
    for key, value in entries.items():
        batch.put(key.encode(), value)
    database.write(batch)
    return database


def test_what_is_written_is_read_again_after_closing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a" / "b")
    assert database.empty
    written(database, a=b"1", b=b"", c=b"\x00\xff")
    assert not database.empty
    database.close()
    database.close()
    database = Database(tmp_path / "a" / "b")
    assert database.get_many([b"c", b"x", b"b", b"a"]) == [b"\x00\xff", None, b"", b"1"]
    assert (database.get(b"a"), database.get(b"x")) == (b"1", None)
    assert database.get_many([]) == []
    database.close()


def test_a_batch_is_one_write(tmp_path: Path) -> None:
    database = written(Database(tmp_path / "db"), a=b"1", b=b"1")
    batch = Batch()
    batch.put(b"a", b"2")
    batch.delete(b"b")
    batch.put(b"c", b"2")
    batch.delete(b"c")
    assert len(batch) == 4
    assert database.get(b"a") == b"1"
    database.write(batch)
    assert database.get_many([b"a", b"b", b"c"]) == [b"2", None, None]
    database.close()


@given(
    keys=st.sets(st.binary(max_size=3), max_size=12),
    bounds=st.tuples(st.binary(max_size=3), st.binary(min_size=1, max_size=3)),
    chunk=st.integers(1, 5),
)
def test_a_scan_has_the_keys_between_its_bounds_in_order(
    tmp_path_factory: pytest.TempPathFactory, keys: set[bytes], bounds: tuple[bytes, bytes], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("scan")
    database, batch = Database(path / "db"), Batch()
    for key in keys:
        batch.put(key, key[::-1])
    database.write(batch)
    first, end = bounds
    assert list(database.scan(first, end, chunk)) == [(key, key[::-1]) for key in sorted(keys) if first <= key < end]
    database.close()
    shutil.rmtree(path)


def test_a_scan_that_is_not_finished_holds_nothing(tmp_path: Path) -> None:
    database = written(Database(tmp_path / "db"), a=b"", b=b"", c=b"", d=b"")
    scan = database.scan(b"a", b"z", 2)
    assert [key for key, _ in islice(scan, 2)] == [b"a", b"b"]
    written(database, bb=b"")  # behind the place that is reached, and before it
    written(database, aa=b"")
    assert [key for key, _ in islice(scan, 2)] == [b"bb", b"c"]
    database.close()
    Database(tmp_path / "db").close()  # no iterator keeps the lock


def test_who_opens_it_twice_is_told_so(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    for forbidden in (Database, destroy):
        with pytest.raises(LockedError, match="is open in another process"):
            forbidden(tmp_path / "db")
    database.close()
    Database(tmp_path / "db").close()


def test_a_lock_is_another_processs_until_it_ends(tmp_path: Path) -> None:
    written(Database(tmp_path / "db"), a=b"1").close()
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "db")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        for forbidden in (Database, destroy):
            with pytest.raises(LockedError):
                forbidden(tmp_path / "db")
        holder.kill()
        holder.wait()
    database = Database(tmp_path / "db")
    assert database.get(b"a") == b"1"
    database.close()


def test_files_that_are_no_database_are_refused_and_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "CURRENT").write_text("rubbish")
    with pytest.raises(DatabaseError, match="Corruption") as refusal:
        Database(tmp_path / "db")
    assert not isinstance(refusal.value, LockedError)
    destroy(tmp_path / "db")
    destroy(tmp_path / "db")  # nothing there is as good
    assert not (tmp_path / "db").exists()


def test_unlogged_writes_last_from_the_flush_on(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", Limits(block_cache=1 << 20, write_buffer=1 << 20))
    batch = Batch()
    batch.put(b"a", b"1")
    database.write(batch, logged=False)
    shutil.copytree(tmp_path / "db", tmp_path / "before")
    database.flush()
    shutil.copytree(tmp_path / "db", tmp_path / "after")
    database.close()
    for name, expected in (("before", None), ("after", b"1")):
        copy = Database(tmp_path / name)
        assert copy.get(b"a") == expected
        copy.close()


def test_a_database_may_change_its_thread(tmp_path: Path) -> None:
    opened: list[Database] = []
    thread = threading.Thread(target=lambda: opened.append(written(Database(tmp_path / "db"), a=b"1")))
    thread.start()
    thread.join()
    written(opened[0], b=b"2")
    assert dict(opened[0].scan(b"", b"z")) == {b"a": b"1", b"b": b"2"}
    closing = threading.Thread(target=opened[0].close)
    closing.start()
    closing.join()
    Database(tmp_path / "db").close()
