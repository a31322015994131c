"""Recovery: the table of its cases, and a model in which everything may happen at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.record import KafkaRecord
from warehouse.sinking.intake import Batch, Intake
from warehouse.sinking.plans import Part, Partition, Pending, Plan, batch_of, claim_of, pending_of
from warehouse.sinking.recovery import Action, Decision, Place, derived_token, recover

A, B, C = ("x", 0, 1), ("x", 3, 2), ("y", 0, 7)
ALL = frozenset({A, B, C})
PLAN = Plan("b", 0, (Part("x", "i", 0, 1, 1), Part("x", "i", 3, 2, 2), Part("y", "j", 0, 7, 7)))
NONE: frozenset[Place] = frozenset()
SOME = frozenset({A})
REST = ALL - SOME
COUNT, SKIP = Decision(Action.COUNT), Decision(Action.SKIP, views_in_doubt=True)
WHOLE = Decision(Action.INSERT, ALL)
REMAINDER = Decision(Action.INSERT_MISSING, REST, views_in_doubt=True)


@pytest.mark.parametrize(
    ("whole", "age", "present", "decision"),
    [
        # young and whole: the engine knows the token, whatever is there
        (True, 0.0, None, WHOLE),
        (True, 59.9, None, WHOLE),
        (True, 1.0, SOME, WHOLE),
        (True, 1.0, ALL, WHOLE),
        # old
        (True, 60.0, None, COUNT),
        (True, 60.0, NONE, WHOLE),
        (True, 60.0, SOME, REMAINDER),
        (True, 60.0, ALL, SKIP),
        # clocks differ
        (True, -0.1, None, COUNT),
        (True, -0.1, ALL, SKIP),
        # records of it are gone: nobody can make the block of the plan's token
        (False, 1.0, None, COUNT),
        (False, 1.0, NONE, Decision(Action.INSERT_MISSING, ALL)),
        (False, 1.0, SOME, REMAINDER),
        (False, 1.0, ALL, SKIP),
        (False, 99.0, None, COUNT),
    ],
)
def test_every_case(whole: bool, age: float, present: frozenset[Place] | None, decision: Decision) -> None:
    assert recover(Pending(PLAN, whole), ALL, present, age_seconds=age, safe_seconds=60.0) == decision


@pytest.mark.parametrize(
    ("present", "decision"),
    [
        (None, COUNT),
        (ALL, Decision(Action.SKIP)),
        # as where a row was merged away, or a commit was set by hand
        (SOME, REMAINDER),
        (NONE, Decision(Action.INSERT_MISSING, ALL)),
    ],
)
@pytest.mark.parametrize("age", [1.0, 99.0])
def test_what_another_member_has_made_and_settled(
    age: float, present: frozenset[Place] | None, decision: Decision
) -> None:
    """It is in the tables, and in their views."""
    pending = Pending(PLAN, whole=False, awaits=("w", 0))
    assert recover(pending, ALL, present, age_seconds=age, safe_seconds=60.0) == decision


@pytest.mark.parametrize("whole", [True, False])
def test_a_batch_without_rows_for_a_table_is_skipped(whole: bool) -> None:
    decision = recover(Pending(PLAN, whole), NONE, None, age_seconds=1e6, safe_seconds=60.0)
    assert decision == Decision(Action.SKIP)


def test_what_else_the_table_has_does_not_count() -> None:
    present = SOME | {("z", 0, 1)}
    assert recover(Pending(PLAN, whole=True), ALL, present, age_seconds=99, safe_seconds=60) == REMAINDER


def test_a_derived_token_is_of_its_places() -> None:
    assert derived_token("t", ALL) == derived_token("t", frozenset(sorted(ALL, reverse=True)))
    assert len({"t", derived_token("t", ALL), derived_token("t", SOME), derived_token("u", ALL)}) == 4


PARTITIONS: tuple[Partition, ...] = (("x", 0), ("x", 1), ("y", 0), ("y", 1))
IDS = {"x": "id-x", "y": "id-y"}
SAFE, WINDOW = 10, 25


@dataclass
class Table:
    """Rows by place, its materialized view's, and the tokens that both remember for a while. Even offsets and odd ones
    are different partitions of the table: an insert has a block and a token in each, first in the table and then in the
    view, and may be cut off between any two of them. ``in_doubt``: the view may lack rows, and that was said."""

    topics: frozenset[str]
    rows: Counter[Place] = field(default_factory=Counter)
    view: Counter[Place] = field(default_factory=Counter)
    tokens: dict[tuple[str, int, bool], int] = field(default_factory=dict)
    in_doubt: bool = False

    def insert(self, token: str, places: frozenset[Place], now: int, steps: int) -> None:
        blocks = sorted({offset % 2 for _, _, offset in places})
        for block, in_view in [(block, in_view) for block in blocks for in_view in (False, True)][:steps]:
            if now - self.tokens.get((token, block, in_view), -WINDOW) >= WINDOW:
                (self.view if in_view else self.rows).update(place for place in places if place[2] % 2 == block)
                self.tokens[token, block, in_view] = now


@dataclass
class Work:
    """A batch on its way: with what is elsewhere, how many tables have it, and what the next one was seen to have."""

    batch: Batch
    pending: Pending
    places: frozenset[Place]
    tables: int = 0
    present: frozenset[Place] | None = None


@dataclass
class Member:
    """What one sink holds in memory."""

    intake: Intake
    running: list[Work] = field(default_factory=list)


class Crashes(RuleBasedStateMachine):
    """Two members. A rebalance may give each partition to either; a crash forgets all that was in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[Partition, list[int]] = {at: [] for at in PARTITIONS}
        self.starts = dict.fromkeys(PARTITIONS, 0)
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.produced: set[Place] = set()
        self.commits: dict[Partition, tuple[int, str]] = dict.fromkeys(PARTITIONS, (0, ""))
        self.tables = [Table(frozenset({"x", "y"})), Table(frozenset({"y"}))]
        self.batches = 0
        self.now = 10 * WINDOW
        self.members: list[Member] = []
        self.assign([0] * len(PARTITIONS))

    @rule(records=st.lists(st.integers(0, 3), min_size=4, max_size=4), gap=st.integers(0, 2))
    def produce(self, records: list[int], gap: int) -> None:
        for at, count in zip(PARTITIONS, records, strict=True):
            new = range(self.ends[at], self.ends[at] + count)
            self.log[at] += new
            self.produced |= {(*at, offset) for offset in new}
            self.ends[at] += count + gap  # a transaction's marker

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 1), most=st.sampled_from([9, 2, 1]))
    def read(self, number: int, most: int) -> None:
        """Some of what follows, or that nothing does; what was read comes again too, and what is another member's. Then
        make the pending batches that are all there and await nobody."""
        if any(position < self.starts[at] for at, position in self.members[number].intake.positions.items()):
            self.members[number] = self._begin(list(self.members[number].intake.positions))
        member = self.members[number]
        intake = member.intake
        for at in PARTITIONS:
            position = intake.positions.get(at, 0)
            coming = [offset for offset in self.log[at] if offset >= position - 1]
            for offset in coming[: most + 1]:
                intake.add(KafkaRecord(*at, offset, 0, None, None))
            if not coming[most + 1 :]:
                intake.reached_end(*at, self.ends[at])
        for batch, first in list(intake.awaited.items()):
            if batch_of(self.commits[first][1]) != batch:
                intake.go_on(batch)
        member.running += map(self._gather, intake.recovered())

    def _gather(self, batch: Batch) -> Work:
        """What is elsewhere too, if all of that is there."""
        pending = batch.pending
        places = [(record.topic, record.partition, record.offset) for record in batch.records]
        assert places == sorted(set(places))
        if any(part.first < self.starts[part.place] for part in pending.elsewhere):
            pending = pending.remains()
        for part in pending.elsewhere:
            places += [(*part.place, at) for at in self.log[part.place] if part.first <= at <= part.last]
        if not pending.whole and pending.awaits is None:
            self._doubt()
        return Work(batch, pending, frozenset(places))

    def _doubt(self) -> None:
        for table in self.tables:
            table.in_doubt = True

    @rule(number=st.integers(0, 1), rows=st.sampled_from([100, 4, 1]))
    def plan(self, number: int, rows: int) -> None:
        member = self.members[number]
        if not member.intake.waits:
            return
        plan = member.intake.plan(self._name(), self.now, IDS, rows=rows, size=1 << 30)
        planned = {part.place for part in plan.parts}
        settled = {at: offset for at, offset in member.intake.unsettled().items() if at not in planned}
        self.commits |= {part.place: (part.first, plan.metadata(part)) for part in plan.parts}
        self.commits |= {at: (offset, "") for at, offset in settled.items()}
        member.intake.settled(settled)
        member.running.append(self._gather(member.intake.begin(plan, self.now)))

    @rule(number=st.integers(0, 1), which=st.integers(0, 3))
    def count(self, number: int, which: int) -> None:
        """Look what a table has of a batch; the other member may do anything before this one does what follows."""
        if running := self.members[number].running:
            work = running[which % len(running)]
            work.present = work.places & set(self.tables[work.tables].rows)

    @rule(number=st.integers(0, 1), which=st.integers(0, 3), steps=st.sampled_from([4, 4, 4, 1, 2, 3]))
    def insert(self, number: int, which: int, steps: int = 4) -> None:
        """Into one table. With less than four steps it is cut off, and the sink is gone with it."""
        member = self.members[number]
        if not member.running:
            return
        work = member.running.pop(which % len(member.running))
        self._insert(work, self.tables[work.tables], steps)
        work.present = None
        work.tables += 1
        if steps < 4:
            self.members[number] = self._begin(list(member.intake.positions))
        elif work.tables == len(self.tables):
            assert member.intake.finish(work.batch)
        else:
            member.running.append(work)

    def _insert(self, work: Work, table: Table, steps: int) -> None:
        pending, plan = work.pending, work.pending.plan
        expected = frozenset(place for place in work.places if place[0] in table.topics)
        token = plan.token("sink", "t", "k")
        if work.batch.fresh:
            table.insert(token, expected, self.now, steps)
            return

        def decide(present: frozenset[Place] | None) -> Decision:
            return recover(pending, expected, present, age_seconds=self.now - plan.at_ms, safe_seconds=SAFE)

        decision = decide(None)
        if decision.action is Action.COUNT:
            decision = decide(expected & (set(table.rows) if work.present is None else work.present))
        if decision.views_in_doubt:
            assert table.in_doubt or self.now - plan.at_ms >= SAFE, "a young batch that is all there leaves no doubt"
            table.in_doubt = True
        if decision.action is Action.INSERT:
            table.insert(token, expected, self.now, steps)
        elif decision.action is Action.INSERT_MISSING:
            assert table.in_doubt or pending.awaits is None, "what another member has settled is there"
            table.insert(derived_token(token, decision.missing), decision.missing, self.now, steps)

    @rule(number=st.integers(0, 1))
    def settle(self, number: int) -> None:
        intake = self.members[number].intake
        settled = intake.unsettled()
        self.commits |= {at: (offset, "") for at, offset in settled.items()}
        intake.settled(settled)

    @rule(owners=st.lists(st.integers(0, 1), min_size=len(PARTITIONS), max_size=len(PARTITIONS)))
    def assign(self, owners: list[int]) -> None:
        """A crash or a rebalance: everyone forgets, and ``owners`` have the partitions."""
        self.members = [
            self._begin([at for at, owner in zip(PARTITIONS, owners, strict=True) if owner == number])
            for number in (0, 1)
        ]

    def _begin(self, owned: list[Partition]) -> Member:
        """As :func:`warehouse.sinking.resuming.resume` does."""
        found = {at: claim_of(at[0], IDS[at[0]], at[1], *commit) for at, commit in self.commits.items()}
        positions = {at: max(self.commits[at][0], self.starts[at]) for at in owned}
        claims = [claim for at in owned if (claim := found[at]) is not None]
        gone = {claim.batch for claim in claims if claim.part.first < positions[claim.part.place]}
        if gone:
            self._doubt()
        claims = [claim for claim in claims if claim.part.last >= positions[claim.part.place]]
        elsewhere = [claim for at, claim in found.items() if claim is not None and at not in owned]
        pending = pending_of(claims, owned, elsewhere, gone)
        return Member(Intake(positions, pending, {at: self.commits[at][0] for at in owned}))

    def _name(self) -> str:
        self.batches += 1
        return f"b{self.batches}"

    @invariant()
    def nothing_is_there_twice(self) -> None:
        for table in self.tables:
            assert set(table.rows.values()) | set(table.view.values()) <= {1}

    @invariant()
    def nothing_below_a_commit_is_missing(self) -> None:
        for at, (offset, _) in self.commits.items():
            for table in self.tables:
                if at[0] in table.topics:
                    assert all((*at, one) in table.rows for one in self.log[at] if one < offset)

    def teardown(self) -> None:
        """Nobody waits for ever, and in the end all is there."""
        self.assign([0, 1, 1, 0])
        for number in [0, 1] * 200:
            self.read(number, 4)
            while self.members[number].running:
                self.insert(number, 0)
            self.settle(number)
            self.plan(number, 3)
        assert self.commits == {at: (end, "") for at, end in self.ends.items()}, "nothing counts as lag"
        for table in self.tables:
            there = {(*at, one) for at in PARTITIONS for one in self.log[at] if at[0] in table.topics}
            assert there <= set(table.rows) <= self.produced
            assert table.in_doubt or table.view == table.rows
        self.nothing_is_there_twice()


class LosingCrashes(Crashes):
    """Logs lose their first records too, read or not."""

    @rule(at=st.sampled_from(PARTITIONS), records=st.integers(1, 2))
    def lose(self, at: Partition, records: int) -> None:
        self.starts[at] = self.log[at][records] if len(self.log[at]) > records else self.ends[at]
        self.log[at] = self.log[at][records:]


MODEL_SETTINGS = settings(max_examples=300, stateful_step_count=50, deadline=None)
Crashes.TestCase.settings = MODEL_SETTINGS
LosingCrashes.TestCase.settings = MODEL_SETTINGS
TestCrashes: Any = Crashes.TestCase
TestLosingCrashes: Any = LosingCrashes.TestCase


@pytest.mark.parametrize("seconds", [0, SAFE, WINDOW])
@pytest.mark.parametrize("inserts", [0, 1, 2])
def test_a_batch_is_torn_apart_and_is_torn_another_way(inserts: int, seconds: int) -> None:
    """Before any table has it, after one, after all but not settled."""
    world = Crashes()
    world.produce([2, 2, 2, 2], 1)
    world.read(0, 9)
    world.plan(0, 100)
    for _ in range(inserts):
        world.insert(0, 0)
    for owners in ([0, 1, 0, 1], [0, 0, 1, 1]):
        world.assign(owners)
        world.time_passes(seconds)
        for number in (0, 1):
            world.read(number, 9)
            world.insert(number, 0)
            world.nothing_is_there_twice()
    world.nothing_below_a_commit_is_missing()
    world.teardown()


@pytest.mark.parametrize("seconds", [0, SAFE, WINDOW])
def test_one_member_makes_a_torn_batch_and_the_other_waits_until_it_is_settled(seconds: int) -> None:
    """Two that made it at once would each count what the other is about to add."""
    world = Crashes()
    world.produce([2, 2, 2, 2], 1)
    world.read(0, 9)
    world.plan(0, 100)
    world.insert(0, 0, steps=1)
    world.assign([0, 0, 1, 1])
    world.time_passes(seconds)
    first, other = world.members
    for _ in world.tables:
        world.read(0, 9)
        world.read(1, 9)
        assert (len(first.running), len(other.running)) == (1, 0)
        world.insert(0, 0)
    world.read(1, 9)
    assert not other.running
    world.settle(0)
    world.read(1, 9)
    assert len(other.running) == 1
    for table in world.tables:
        assert len(table.rows) == 4 * len(table.topics)
        assert seconds or table.view == table.rows
    world.teardown()
