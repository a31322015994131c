"""The store: a dictionary whose entries are told when they are due, at a cost that does not grow with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.store import Encoded, MemoryStore, TimeIndex
from streams.tables import Change, TableSpec

EXPIRY_MS = 100
SHORT = TableSpec("short", int, expiry=timedelta(milliseconds=EXPIRY_MS))
LONG = TableSpec("long", int, key=bytes, expiry=timedelta(milliseconds=3 * EXPIRY_MS))
FOREVER = TableSpec("forever", int, key=int)
SPECS: tuple[TableSpec[Any, Any], ...] = (SHORT, LONG, FOREVER)
KEYS: dict[TableSpec[Any, Any], list[Any]] = {SHORT: ["a", "b", "c"], LONG: [b"\x00:", b"b", b""], FOREVER: [0, -1, 7]}

specs = st.sampled_from(SPECS)
picks = st.integers(0, 2)


class StoreMachine(RuleBasedStateMachine):
    """Against a dictionary of ``(value, written at)``. What is told is removed in the next change, as a lane does."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = 1000
        self.model: dict[tuple[TableSpec[Any, Any], Any], tuple[int, int]] = {}
        self.told: set[tuple[TableSpec[Any, Any], Any]] = set()

    def note(self, spec: TableSpec[Any, Any], key: Any, value: int | None) -> None:
        self.told.discard((spec, key))
        if value is None:
            self.model.pop((spec, key), None)
        else:
            self.model[spec, key] = (value, self.now)

    @rule(changes=st.lists(st.tuples(specs, picks, st.none() | st.integers(0, 9)), max_size=5))
    def changes_are_made(self, changes: list[tuple[TableSpec[Any, Any], int, int | None]]) -> None:
        made = [Change(spec, KEYS[spec][pick], value) for spec, pick, value in changes]
        self.store.apply(made, self.now)
        for change in made:
            self.note(change.table, change.key, change.value)

    @rule(spec=specs, pick=picks, value=st.none() | st.integers(0, 9))
    def a_changelog_record_is_restored(self, spec: TableSpec[Any, Any], pick: int, value: int | None) -> None:
        key = KEYS[spec][pick]
        address = spec.dump_key(key).partition(b":")[2]
        self.store.restorer(spec)(address, None if value is None else spec.dump(value), self.now)
        self.note(spec, key, value)

    @rule(ms=st.integers(0, 2 * EXPIRY_MS))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    def due(self, spec: TableSpec[Any, Any]) -> list[tuple[int, Any]]:
        """When what is due was written, and its key."""
        if spec.expiry_ms is None:
            return []
        return [
            (at, key)
            for (table, key), (_, at) in self.model.items()
            if table is spec and at + spec.expiry_ms <= self.now and (table, key) not in self.told
        ]

    @rule(spec=specs, limit=st.integers(1, 4), remove=st.booleans())
    def what_is_due_is_asked_for(self, spec: TableSpec[Any, Any], limit: int, remove: bool) -> None:
        expected = self.due(spec)
        told = self.store.due(spec, self.now, limit)
        assert len(told) == len(set(told)) == min(limit, len(expected))
        written = {key: at for at, key in expected}
        assert set(told) <= set(written)
        assert not set(told) & {key for table, key in self.told if table is spec}  # none twice
        if remove:
            self.store.apply([Change(spec, key, None) for key in told], self.now)
            for key in told:
                self.note(spec, key, None)
        else:
            self.told |= {(spec, key) for key in told}

    @invariant()
    def the_content_is_the_dictionarys(self) -> None:
        for spec in SPECS:
            content = {key: value for (table, key), (value, _) in self.model.items() if table is spec}
            assert dict(self.store.items(spec)) == content
            assert {key: self.store.get(spec, key) for key in KEYS[spec]} == {k: content.get(k) for k in KEYS[spec]}
            assert self.store.size(spec) == len(content)

    @invariant()
    def nothing_is_older_than_the_oldest(self) -> None:
        for spec in SPECS:
            waiting = [
                at for (table, key), (_, at) in self.model.items() if table is spec and (table, key) not in self.told
            ]
            oldest = self.store.oldest_ms(spec)
            if spec.expiry_ms is None or not waiting:
                assert oldest is None
            else:
                assert oldest is not None
                assert oldest <= min(waiting)

    def teardown(self) -> None:
        self.now += 4 * EXPIRY_MS
        for spec in SPECS:
            assert sorted(self.store.due(spec, self.now, 100)) == sorted(key for _, key in self.due(spec))


TestStore = StoreMachine.TestCase


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_longest_due_are_told_first(writes: list[tuple[str, int]]) -> None:
    index, now = TimeIndex(EXPIRY_MS), 0
    written: dict[str, int] = {}
    for key, later in writes:
        now += later
        index.wrote(key, now)
        written[key] = now
    told = []
    while found := index.due(now + EXPIRY_MS, 1):
        told += found
    assert sorted(told) == sorted(written)
    assert [written[key] for key in told] == sorted(written.values())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300)), min_size=1, max_size=12))
def test_a_clock_that_goes_back_may_keep_an_entry_longer_and_never_shorter(writes: list[tuple[str, int]]) -> None:
    """A new owner of a partition may be behind the clock that its changelog was written by."""
    index = TimeIndex(EXPIRY_MS)
    for key, at in writes:
        index.wrote(key, at)
    last = dict(writes)
    told: dict[str, int] = {}
    for now in range(0, 300 + EXPIRY_MS + 1, 10):
        for key in index.due(now, 100):
            assert key not in told
            assert now >= last[key] + EXPIRY_MS
            told[key] = now
    assert set(told) == set(last)


def test_a_key_is_in_the_heap_once_however_often_it_is_written() -> None:
    store = MemoryStore()
    for now in range(10_000):
        store.apply([Change(SHORT, "a", now), Change(SHORT, "b", None if now % 2 else now)], now)
        assert len(store._indexes["short"]._heap) <= 2
    # The one that was written last is not due; asking costs its one entry, which goes back to its new time.
    assert store.due(SHORT, 9_999 + EXPIRY_MS - 1, 100) == []
    assert store.due(SHORT, 9_999 + EXPIRY_MS, 100) == ["a"]
    assert store._indexes["short"]._heap == []
    assert store._indexes["short"]._written == {}


def test_what_is_removed_makes_no_table_look_old() -> None:
    store = MemoryStore()
    store.apply([Change(SHORT, key, 1) for key in "abc"], 5)
    store.apply([Change(SHORT, "a", None), Change(SHORT, "b", None)], 6)
    assert store.oldest_ms(SHORT) == 5
    store.apply([Change(SHORT, "c", None), Change(SHORT, "d", 1)], 50)
    assert store.oldest_ms(SHORT) == 50
    store.apply([Change(SHORT, "a", 1), Change(SHORT, "d", None)], 60)
    assert store.due(SHORT, 60 + EXPIRY_MS, 10) == ["a"]


def test_what_is_not_due_is_not_looked_at() -> None:
    index = TimeIndex(EXPIRY_MS)
    for n in range(1000):
        index.wrote(n, n)
    before = list(index._heap)
    assert index.due(EXPIRY_MS - 1, 100) == []
    assert index._heap == before
    assert index.due(EXPIRY_MS + 4, 100) == [0, 1, 2, 3, 4]
    assert len(index._heap) == 995


def test_keys_of_one_time_need_no_order() -> None:
    index = TimeIndex(EXPIRY_MS)
    for key in ("a", b"a", 1, None):
        index.wrote(key, 5)
    assert set(index.due(5 + EXPIRY_MS, 10)) == {"a", b"a", 1, None}


class Loads(TableSpec[Any, str]):
    """A spec that counts what it decodes."""

    def load(self, data: bytes) -> Any:
        LOADED.append(data)
        return super().load(data)


LOADED: list[bytes] = []


def test_restored_values_are_decoded_when_first_asked_for_and_once() -> None:
    LOADED.clear()
    spec, store = Loads("counted", int), MemoryStore()
    restore = store.restorer(spec)
    for key in (b"a", b"b", b"c"):
        restore(key, b"1", 0)
    restore(b"b", b"not a number", 0)
    restore(b"b", None, 0)
    assert (store.size(spec), LOADED) == (2, [])
    assert (store.get(spec, "a"), store.get(spec, "a"), store.get(spec, "b")) == (1, 1, None)
    assert LOADED == [b"1"]
    assert isinstance(store._tables["counted"]["c"], Encoded)
    assert dict(store.items(spec)) == {"a": 1, "c": 1}
    store.apply([Change(spec, "c", 5)], 0)
    assert store.get(spec, "c") == 5
    assert len(LOADED) == 2


def test_an_unknown_table_is_empty() -> None:
    store = MemoryStore()
    assert (store.get(SHORT, "a"), store.size(SHORT), store.oldest_ms(SHORT)) == (None, 0, None)
    assert list(store.items(SHORT)) == store.due(SHORT, 10**15, 10) == []
