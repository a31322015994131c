"""Positions: records begun in order, finished in any, and a restart that offers exactly what is not done."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.record import KafkaRecord
from streams.position import Position, Progress

offset_lists = st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True).map(sorted)
"""Offsets with gaps, as transaction markers and compaction leave them."""


def covers(position: Position, offset: int) -> bool:
    """Whether a position says of an offset that it is done."""
    return offset < position.next or any(first <= offset < end for first, end in position.done)


def assert_well_formed(position: Position) -> None:
    edges = [edge for span in position.done for edge in span]
    assert edges == sorted(set(edges)), "ranges touch, overlap, are empty or out of order"
    assert all(first > position.next for first, _ in position.done)


def records(offsets: list[int]) -> list[KafkaRecord]:
    return [KafkaRecord("leads", 0, offset, 0, None, None) for offset in offsets]


class ProgressMachine(RuleBasedStateMachine):
    """A log with gaps, against a set of the offsets that are done."""

    @initialize(offsets=offset_lists)
    def start(self, offsets: list[int]) -> None:
        self.log = offsets
        self.progress = Progress()
        self.read = 0
        self.open: set[int] = set()
        self.done: set[int] = set()
        self.stored: Position | None = None
        self.done_when_stored: set[int] = set()

    @precondition(lambda self: self.read < len(self.log))
    @rule(count=st.integers(1, 6))
    def records_come(self, count: int) -> None:
        for offset in self.log[self.read : self.read + count]:
            assert self.progress.admit(offset, offset * 10) == (offset not in self.done)
            if offset not in self.done:
                self.open.add(offset)
        self.read = min(self.read + count, len(self.log))

    @precondition(lambda self: self.read)
    @rule(data=st.data())
    def records_come_again(self, data: st.DataObject) -> None:
        """A rebalance seeks back over what is in hand."""
        for offset in self.log[data.draw(st.integers(0, self.read - 1)) : self.read]:
            assert not self.progress.admit(offset)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def one_is_finished(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.progress.finish(offset)
        self.open.remove(offset)
        self.done.add(offset)

    @rule()
    def the_position_is_stored(self) -> None:
        position = self.progress.settle()
        assert (position is None) == (self.progress.next is None)
        if position is None:
            return
        assert_well_formed(position)
        assert position.next == self.progress.next
        assert not self.open or position.next == min(self.open)
        # A restart that has read less than this life tells of offsets that it has not come to yet.
        assert [o for o in self.log if covers(position, o)] == sorted(self.done)
        self.stored, self.done_when_stored = Position.load(position.dump()), set(self.done)
        assert self.stored == position

    @rule(data=st.data())
    def a_restart(self, data: st.DataObject) -> None:
        """From what was stored; the log may be read from any offset up to the position's."""
        self.progress = Progress(self.stored)
        self.done, self.open = set(self.done_when_stored), set()
        following = 0 if self.stored is None else self.stored.next
        assert self.progress.next == (None if self.stored is None else following)
        at = next((n for n, offset in enumerate(self.log) if offset >= following), len(self.log))
        if self.stored is not None:
            at = data.draw(st.integers(0, at))
            assert not any(self.progress.admit(offset) for offset in self.log[:at] if offset < following)
        self.read = at if self.stored is None else max(at, sum(offset < following for offset in self.log))

    @invariant()
    def what_is_in_hand_is_counted(self) -> None:
        if not hasattr(self, "progress"):
            return
        assert self.progress.idle == (not self.open)
        assert self.progress.oldest_ms == (min(self.open) * 10 if self.open else None)
        assert self.progress.span >= len(self.open)

    def teardown(self) -> None:
        """To the end of the log, in whatever order: every record was begun, and the position is one number."""
        if not hasattr(self, "progress"):
            return
        for offset in self.log[self.read :]:
            if self.progress.admit(offset):
                self.open.add(offset)
        for offset in sorted(self.open, reverse=True):
            self.progress.finish(offset)
        if self.open or self.read < len(self.log):
            position = self.progress.settle()
            assert position is not None
            assert all(covers(position, offset) for offset in self.log)
            assert position.done == ()
            assert self.progress.span == 0


TestProgress = ProgressMachine.TestCase


@given(offset_lists, st.data())
def test_a_restart_from_any_position_offers_exactly_the_records_that_are_not_done(
    offsets: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(offsets))
    progress, done = Progress(), set[int]()
    assert all(progress.admit(offset) for offset in offsets)
    for offset in order:
        progress.finish(offset)
        done.add(offset)
        position = progress.settle()
        assert position is not None
        assert_well_formed(position)
        restarted = Progress(Position.load(position.dump()))
        again = [o for o in offsets if o >= position.next and restarted.admit(o)]
        assert again == [o for o in offsets if o not in done]
        for o in again:
            restarted.finish(o)
        assert restarted.settle() in (None, Position(offsets[-1] + 1), Position(position.next))
    assert progress.settle() == Position(offsets[-1] + 1)


@given(offset_lists, st.lists(st.integers(1, 5)), st.data())
def test_passing_over_takes_each_record_once_and_a_restart_only_the_rest(
    offsets: list[int], cuts: list[int], data: st.DataObject
) -> None:
    """For a lane that finishes what it takes, whole slices at a time, some of them read twice."""
    progress, taken, at = Progress(), list[int](), 0
    assert progress.settle() is None
    for size in [*cuts, len(offsets)]:
        first = data.draw(st.integers(max(0, at - 3), at))
        slice_ = records(offsets[first : at + size])
        if not slice_:
            break
        fresh = [r.offset for r in progress.pass_over(slice_)]
        assert fresh == offsets[at : at + size]
        taken += fresh
        at += size
        assert progress.settle() == Position(offsets[min(at, len(offsets)) - 1] + 1)
        assert progress.next == progress.settle().next  # type: ignore[union-attr]
        restarted = Progress(progress.settle())
        assert [r.offset for r in restarted.pass_over(records(offsets))] == offsets[at:]
    assert taken == offsets


@given(offset_lists, st.data())
def test_passing_over_leaves_out_what_another_kind_of_lane_has_done(offsets: list[int], data: st.DataObject) -> None:
    """A stage that had effects and has none any more finds done offsets above its position."""
    done = data.draw(st.sets(st.sampled_from(offsets)))
    before = Progress()
    for offset in offsets:
        before.admit(offset)
    for offset in done:
        before.finish(offset)
    progress = Progress(before.settle())
    assert [r.offset for r in progress.pass_over(records(offsets))] == [o for o in offsets if o not in done]
    assert progress.settle() == Position(offsets[-1] + 1)


@given(st.integers(0, 2**62), st.lists(st.integers(1, 9), max_size=8).filter(lambda steps: len(steps) % 2 == 0))
def test_a_position_is_read_back_as_it_was_written(following: int, steps: list[int]) -> None:
    edges, edge = [], following
    for step in steps:
        edge += step
        edges.append(edge)
    position = Position(following, tuple(zip(edges[::2], edges[1::2], strict=True)))
    assert Position.load(position.dump()) == position
    assert json.loads(position.dump())[0] == following


def test_a_position_is_short_however_much_is_done_above_it() -> None:
    progress = Progress()
    for offset in range(2000):
        progress.admit(offset)
    for offset in range(1, 2000):
        progress.finish(offset)
    position = progress.settle()
    assert position == Position(0, ((1, 2000),))
    assert len(position.dump()) < 20


def test_only_what_is_in_hand_can_be_finished() -> None:
    progress = Progress()
    progress.admit(3)
    with pytest.raises(KeyError):
        progress.finish(4)
    progress.finish(3)
    with pytest.raises(KeyError):
        progress.finish(3)
