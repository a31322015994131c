"""The persistent store against a dictionary, over clean stops and crashes; and when its folder can be gone on from."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.rocksdb.database import Batch, Database
from schemas.record import Record
from schemas.topics import Key, TopicSpec
from streams.changelog import Restoration, position_key
from streams.engine import state_folder
from streams.engine.persistent_store import MARK, PersistentStore, read_mark
from streams.engine.state_folder import LogState, open_store
from streams.position import Position
from streams.stage import Guarantee, Stage
from streams.tables import Change, Tables, TableSpec

EXPIRY_MS = 100
SHORT = TableSpec("short", int, expiry=timedelta(milliseconds=EXPIRY_MS))
LONG = TableSpec("long", int, key=bytes, expiry=timedelta(milliseconds=3 * EXPIRY_MS))
FOREVER = TableSpec("forever", int, key=int)
DERIVED = TableSpec("derived", int, derived=True)
SPECS: tuple[TableSpec[Any, Any], ...] = (SHORT, LONG, FOREVER, DERIVED)
STORED = SPECS[:3]
KEYS: dict[TableSpec[Any, Any], list[Any]] = {
    SHORT: ["a", "b", "c"],
    LONG: [b"\x00:", b"b", b""],
    FOREVER: [0, -1, 7],
    DERIVED: ["a", "b", "c"],
}
NOW_MS = 1_700_000_000_000


class Numbers(Stage[Any]):
    name = "numbers"
    reads = (TopicSpec("numbers-in", Key.ANY, "numbers"),)
    writes = ()
    tables = SPECS
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Record:
        return record


STAGE = Numbers()
TOPIC_IDS = {"numbers-in": "in-1", "leadline-numbers-changelog": "log-1"}
ADDRESS = position_key("numbers-in", TOPIC_IDS)
LOG = LogState("log-1", 0, 1_000_000_000, 86_400_000)


def opened(folder: Path, log: LogState = LOG, stage: Stage[Any] = STAGE) -> PersistentStore:
    return open_store(folder, stage, 0, log, TOPIC_IDS)


class PersistentStoreMachine(RuleBasedStateMachine):
    """What is told to be due is removed by the next change, or forgotten as a crash would. A restart is a clean stop, a
    crash (the files as they lie); then the changelog's tail is replayed."""

    Log = list[tuple[int, TableSpec[Any, Any], Any, int | None]]

    @initialize(cached=st.integers(2, 6))
    def begin(self, cached: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="store-"))
        self.folders = count()
        self.folder = self.home / "0"
        self.cached = cached
        self.now = NOW_MS
        self.model: dict[tuple[TableSpec[Any, Any], Any], tuple[int, int]] = {}
        self.told: set[tuple[TableSpec[Any, Any], Any]] = set()
        self.log: PersistentStoreMachine.Log = []
        self.position = 0
        self.store = self.open()
        self.store.finish_restore(0)

    def open(self) -> PersistentStore:
        store = opened(self.folder)
        store._half = self.cached  # so small that entries come and go
        return store

    def note(self, spec: TableSpec[Any, Any], key: Any, value: int | None, at_ms: int) -> None:
        self.told.discard((spec, key))
        if value is None:
            self.model.pop((spec, key), None)
        else:
            self.model[spec, key] = (value, at_ms)

    @rule(
        changes=st.lists(
            st.tuples(st.sampled_from(SPECS), st.integers(0, 2), st.none() | st.integers(0, 9)),
            max_size=5,
            unique_by=lambda change: change[:2],
        ),
        noted=st.booleans(),
    )
    def changes_are_made(self, changes: list[tuple[TableSpec[Any, Any], int, int | None]], noted: bool) -> None:
        made = [Change(spec, KEYS[spec][pick], value) for spec, pick, value in changes]
        self.log += [(self.now, c.table, c.key, c.value) for c in made if not c.table.derived]
        self.position += 1
        # An offset that is not known leaves the store behind what it has, which is allowed.
        position = {"numbers-in": Position(self.position)}
        self.store.apply(made, self.now, len(self.log) if noted else None, position if noted else None)
        for change in made:
            self.note(change.table, change.key, change.value, self.now)

    @rule(ms=st.integers(0, 2 * EXPIRY_MS))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    def due(self, spec: TableSpec[Any, Any]) -> list[tuple[int, Any]]:
        return sorted(
            (at, key)
            for (table, key), (_, at) in self.model.items()
            if table is spec and at + (spec.expiry_ms or 0) <= self.now and (table, key) not in self.told
        )

    @rule(spec=st.sampled_from((SHORT, LONG)), limit=st.integers(1, 4), remove=st.booleans())
    def what_is_due_is_asked_for(self, spec: TableSpec[Any, Any], limit: int, remove: bool) -> None:
        expected = self.due(spec)
        told = self.store.due(spec, self.now, limit)
        written = {key: at for at, key in expected}
        assert len(told) == len(set(told)) == min(limit, len(expected))
        assert [written[key] for key in told] == [at for at, _ in expected[:limit]]  # the longest first
        if remove:
            self.store.apply([Change(spec, key, None) for key in told], self.now)
            self.log += [(self.now, spec, key, None) for key in told]
            for key in told:
                self.note(spec, key, None, self.now)
        else:
            self.told |= {(spec, key) for key in told}

    @rule(clean=st.booleans())
    def a_restart(self, clean: bool) -> None:
        if clean:
            self.store.close()
        else:
            copy = self.home / f"copy-{next(self.folders)}"
            # A copy takes its time, and a crash does not: nothing may be compacted meanwhile.
            self.store._database._rdict.cancel_all_background(True)
            shutil.copytree(self.folder, copy)
            self.folder = copy
        self.restart()

    def restart(self) -> None:
        self.forget_what_is_in_memory()
        self.store = self.open()
        self.replay()

    def forget_what_is_in_memory(self) -> None:
        self.told.clear()
        self.model = {address: entry for address, entry in self.model.items() if not address[0].derived}

    def replay(self) -> None:
        following = self.store.following
        assert following is not None
        assert following <= len(self.log)
        restoration = Restoration(STAGE, TOPIC_IDS, self.store)
        tail = [
            (spec.dump_key(key), None if value is None else spec.dump(value), at_ms)
            for at_ms, spec, key, value in self.log[following:]
        ]
        for start in range(0, len(tail), 3):
            restoration.take_all(tail[start : start + 3], following + len(tail[start : start + 3]) + start)
        self.store.finish_restore(len(self.log))
        assert restoration.finish().records == len(tail)

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def the_log_is_restored_anew(self, data: st.DataObject) -> None:
        """All of it, and once more a part of it: that changes nothing."""
        self.store.close()
        self.folder = self.home / f"anew-{next(self.folders)}"
        self.store = self.open()
        assert self.store.following is None
        restoration = Restoration(STAGE, TOPIC_IDS, self.store)
        records = [
            (spec.dump_key(key), None if value is None else spec.dump(value), at_ms)
            for at_ms, spec, key, value in self.log
        ]
        cut = data.draw(st.integers(0, len(records)))
        restoration.take_all(records, len(records))
        restoration.take_all(records[cut:], len(records))
        self.store.finish_restore(len(records))
        restoration.finish()
        self.forget_what_is_in_memory()

    @invariant()
    def the_content_is_the_dictionarys(self) -> None:
        for spec in SPECS:
            content = {key: value for (table, key), (value, _) in self.model.items() if table is spec}
            assert dict(self.store.items(spec)) == content
            assert {key: self.store.get(spec, key) for key in KEYS[spec]} == {k: content.get(k) for k in KEYS[spec]}
            assert self.store.size(spec) == len(content)

    @invariant()
    def nothing_is_older_than_the_oldest(self) -> None:
        for spec in (SHORT, LONG):
            waiting = [at for (table, key), (_, at) in self.model.items() if table is spec]
            oldest = self.store.oldest_ms(spec)
            if not waiting:
                assert oldest is None
            elif not any(table is spec for table, _ in self.told):
                assert oldest is not None
                assert oldest <= min(waiting)
        assert self.store.oldest_ms(FOREVER) is None

    @invariant()
    def every_entry_that_expires_has_one_place(self) -> None:
        for table in self.store._tables.values():
            places = list(self.store._database.scan(table.index, table.index_end))
            assert len(places) == (0 if table.expiry_ms is None else table.size)

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.store.close()
            shutil.rmtree(self.home)


TestPersistentStore = PersistentStoreMachine.TestCase
TestPersistentStore.settings = settings(max_examples=25, stateful_step_count=25)


@contextmanager
def filled(folder: Path, log: LogState = LOG) -> Iterator[PersistentStore]:
    store = opened(folder, log)
    store.finish_restore(log.low)
    store.apply([Change(FOREVER, 1, 10), Change(SHORT, "a", 5)], NOW_MS, 700, {"numbers-in": Position(41, ((43, 44),))})
    yield store
    store.close()


def test_a_store_knows_how_far_it_has_come_and_its_positions(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    store = opened(tmp_path)
    assert store.following == 700
    found = Restoration(STAGE, TOPIC_IDS, store).finish()
    assert found.positions == {"numbers-in": Position(41, ((43, 44),))}
    assert found.tables[FOREVER].get(1) == 10
    store.close()
    # A topic that was made anew has no position.
    again = open_store(tmp_path, STAGE, 0, LOG, TOPIC_IDS | {"numbers-in": "in-2"})
    assert Restoration(STAGE, TOPIC_IDS | {"numbers-in": "in-2"}, again).finish().positions == {}
    again.close()


def test_a_deterministic_stage_keeps_no_positions(tmp_path: Path) -> None:
    stage = Numbers()
    stage.guarantee = Guarantee.DETERMINISTIC
    store = opened(tmp_path, stage=stage)
    store.apply([], NOW_MS, 5, {"numbers-in": Position(41)})
    assert store.stored_positions() == {}
    store.close()


def hours_later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    now = time.time()
    monkeypatch.setattr(state_folder.time, "time", lambda: now + hours * 3600)


def changed_expiry() -> Stage[Any]:
    stage = Numbers()
    stage.tables = (TableSpec("short", int, expiry=timedelta(days=1)), LONG, FOREVER, DERIVED)
    return stage


@pytest.mark.parametrize(
    ("log", "stage", "kept"),
    [
        pytest.param(LOG, STAGE, True, id="the same"),
        pytest.param(replace(LOG, high=700), STAGE, True, id="nothing behind it"),
        pytest.param(replace(LOG, topic_id="log-2"), STAGE, False, id="another topic"),
        pytest.param(replace(LOG, high=699), STAGE, False, id="beyond the end"),
        pytest.param(replace(LOG, low=701), STAGE, False, id="before the beginning"),
        pytest.param(LOG, changed_expiry(), False, id="another expiry"),
    ],
)
def test_what_the_tail_does_not_complete_is_thrown_away(
    tmp_path: Path, log: LogState, stage: Stage[Any], kept: bool
) -> None:
    with filled(tmp_path):
        pass
    store = opened(tmp_path, log, stage)
    assert store.following == (700 if kept else None)
    assert dict(store.items(FOREVER)) == ({1: 10} if kept else {})
    store.close()


@pytest.mark.parametrize(
    ("hours", "high", "kept"),
    [(11.9, 900, True), (12.1, 900, False), (1000, 700, True), (1000, 701, True), (1000, 702, False)],
)
def test_a_store_is_too_old_when_removals_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float, high: int, kept: bool
) -> None:
    with filled(tmp_path):
        pass
    hours_later(monkeypatch, hours)
    store = opened(tmp_path, replace(LOG, high=high))  # at 701 there is the marker of the last transaction
    assert (store.following is not None) is kept
    store.close()


def test_a_restore_that_is_cut_off_is_begun_anew(tmp_path: Path) -> None:
    store = opened(tmp_path)
    Restoration(STAGE, TOPIC_IDS, store).take_all([(FOREVER.dump_key(1), b"10", NOW_MS)], 1)
    store.close()  # the first record is there, and a removal of it may follow in the changelog, for now
    again = opened(tmp_path)
    assert (again.following, again.size(FOREVER)) == (None, 0)
    again.close()


def test_a_tail_that_is_cut_off_makes_a_store_no_younger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(tmp_path):
        pass
    hours_later(monkeypatch, 8)
    store = opened(tmp_path)
    Restoration(STAGE, TOPIC_IDS, store).take_all([(FOREVER.dump_key(1), b"11", NOW_MS)], 701)
    store.close()
    again = opened(tmp_path)
    assert (again.following, again.get(FOREVER, 1)) == (701, 11)
    again.close()
    hours_later(monkeypatch, 8)  # after the first eight
    last = opened(tmp_path)
    assert last.following is None
    last.close()


def test_changes_without_a_known_offset_keep_the_mark_true(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        before = read_mark(store._database)
        store.apply([Change(FOREVER, 1, 11), Change(FOREVER, 2, 12)], NOW_MS + 1)
        after = read_mark(store._database)
    assert before is not None
    assert after is not None
    assert (after.following, after.complete_ms) == (before.following, before.complete_ms)
    assert after.sizes["forever"] == 2


def test_a_locked_folder_is_left_to_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_folder, "LOCK_SECONDS", 0.1)
    with filled(tmp_path) as frozen:
        beside = opened(tmp_path)
        assert beside.following is None
        beside.finish_restore(0)
        beside.apply([Change(FOREVER, 1, 20)], NOW_MS, 800)
        beside.close()
        # The newer one goes on; the older one cannot be removed yet, and its owner still has it.
        again = opened(tmp_path)
        assert (again.following, again.get(FOREVER, 1)) == (800, 20)
        assert frozen.get(FOREVER, 1) == 10
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0.0", "0.1"]
        again.close()
    last = opened(tmp_path)
    assert last.following == 800
    assert [path.name for path in tmp_path.iterdir()] == ["0.1"]
    last.close()


@pytest.mark.parametrize("spoil", ["the files", "the mark"])
def test_files_that_cannot_be_read_are_restored(tmp_path: Path, spoil: str) -> None:
    with filled(tmp_path):
        pass
    if spoil == "the files":
        (tmp_path / "0.0" / "CURRENT").write_text("rubbish")
    else:
        database, batch = Database(tmp_path / "0.0"), Batch()
        batch.delete(MARK)
        database.write(batch)
        database.close()
    store = opened(tmp_path)
    assert store.following is None
    assert store.get(FOREVER, 1) is None
    store.close()


def test_what_is_told_and_written_all_the_same_is_told_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.finish_restore(0)
    store.apply([Change(SHORT, "a", 1), Change(SHORT, "b", 1)], NOW_MS)
    later = NOW_MS + EXPIRY_MS
    assert store.due(SHORT, later, 1) == ["a"]
    assert store.due(SHORT, later, 9) == ["b"]
    assert store.due(SHORT, later, 9) == []
    store.apply([Change(SHORT, "a", 2)], later)
    assert store.due(SHORT, later + EXPIRY_MS - 1, 9) == []
    assert store.due(SHORT, later + EXPIRY_MS, 9) == ["a"]
    store.close()
    # What nobody removed is told once more by the next owner of the folder, "b" first.
    again = opened(tmp_path)
    assert again.due(SHORT, later + EXPIRY_MS, 9) == ["b", "a"]
    again.close()


def test_the_longest_due_are_told_first_however_often_they_were_written(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for at, keys in ((0, "abcd"), (3, "a"), (5, "c"), (9, "b"), (20, "d")):
        store.apply([Change(SHORT, key, at) for key in keys], NOW_MS + at)
    told = []
    while found := store.due(SHORT, NOW_MS + 10 + EXPIRY_MS, 1):
        told += found
    assert told == ["a", "c", "b"]
    assert store.due(SHORT, NOW_MS + 20 + EXPIRY_MS, 9) == ["d"]
    store.close()


def test_a_clock_that_goes_back_loses_no_entry(tmp_path: Path) -> None:
    """A new owner of a partition may be behind the clock that its changelog was written by."""
    store = opened(tmp_path)
    store.apply([Change(SHORT, "ahead", 1)], NOW_MS + 1_000)
    assert store.due(SHORT, NOW_MS, 9) == []
    store.apply([Change(SHORT, "behind", 1)], NOW_MS)
    assert store.oldest_ms(SHORT) == NOW_MS
    assert store.due(SHORT, NOW_MS + EXPIRY_MS, 9) == ["behind"]
    assert store.due(SHORT, NOW_MS + 1_000 + EXPIRY_MS, 9) == ["ahead"]
    store.close()


def test_what_is_not_due_costs_no_look_at_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    store.apply([Change(SHORT, str(n), n) for n in range(5_000)], NOW_MS)
    assert store.due(SHORT, NOW_MS + 1, 1000) == []
    scanned: list[int] = []
    scan = Database.scan

    def counting(self: Database, first: bytes, end: bytes, chunk: int = 1000) -> Iterator[tuple[bytes, bytes]]:
        for entry in scan(self, first, end, chunk):
            scanned.append(1)
            yield entry

    monkeypatch.setattr(Database, "scan", counting)
    for later in range(2, EXPIRY_MS):
        assert store.due(SHORT, NOW_MS + later, 1000) == []
    assert scanned == []
    for _ in range(5):
        told = store.due(SHORT, NOW_MS + EXPIRY_MS, 1000)
        store.apply([Change(SHORT, key, None) for key in told], NOW_MS + EXPIRY_MS)
    assert store.size(SHORT) == 0
    assert len(scanned) <= 5_010
    store.close()


def test_a_lanes_tables_expire(tmp_path: Path) -> None:
    tables = Tables(opened(tmp_path))
    moment = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    tables[SHORT]["a"] = 1
    tables[SHORT]["b"] = 1
    tables[DERIVED]["a"] = 1
    tables.commit(moment, 1)
    later = moment + timedelta(milliseconds=EXPIRY_MS)
    tables.expire([SHORT], later)
    tables[SHORT]["b"] = 2  # written in the step in which it is due
    assert [change.key for change in tables.changes() if change.value is None] == ["a"]
    tables.commit(later, 2)
    assert (tables[SHORT].get("a"), tables[SHORT].get("b"), tables[DERIVED].get("a")) == (None, 2, 1)
    tables.expire([SHORT], later)
    assert not tables.dirty
    tables.store.close()
