"""Recovery: the table of its cases, and a model in which everything may happen at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from warehouse.sinking.plans import Part, Pending, Plan, claim_of, pending_of, replanned
from warehouse.sinking.recovery import Action, Decision, Place, derived_token, recover

A, B, C = ("x", 1), ("x", 2), ("y", 7)
ALL = frozenset({A, B, C})
PLAN = Plan("b", 0, (Part("x", "i", 0, 1, 2), Part("y", "j", 0, 7, 7)))
NONE: frozenset[Place] = frozenset()
SOME = frozenset({A})
REST = ALL - SOME
COUNT, SKIP = Decision(Action.COUNT), Decision(Action.SKIP, views_in_doubt=True)
WHOLE = Decision(Action.INSERT, ALL)
REMAINDER = Decision(Action.INSERT_MISSING, REST, views_in_doubt=True)


@pytest.mark.parametrize(
    ("whole", "age", "present", "decision"),
    [
        # young and owned whole: the engine knows the token, whatever is there
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
        # its parts went to several members: nobody can make the block of the plan's token
        (False, 1.0, None, COUNT),
        (False, 1.0, NONE, Decision(Action.INSERT_MISSING, ALL)),
        (False, 1.0, SOME, REMAINDER),
        (False, 1.0, ALL, SKIP),
        (False, 99.0, None, COUNT),
    ],
)
def test_every_case(whole: bool, age: float, present: frozenset[Place] | None, decision: Decision) -> None:
    assert recover(Pending(PLAN, whole), ALL, present, age_seconds=age, safe_seconds=60.0) == decision


@pytest.mark.parametrize("whole", [True, False])
def test_a_batch_without_rows_for_a_table_is_skipped(whole: bool) -> None:
    decision = recover(Pending(PLAN, whole), NONE, None, age_seconds=1e6, safe_seconds=60.0)
    assert decision == Decision(Action.SKIP)


def test_what_else_the_table_has_does_not_count() -> None:
    present = SOME | {("z", 1)}
    assert recover(Pending(PLAN, whole=True), ALL, present, age_seconds=99, safe_seconds=60) == REMAINDER


def test_a_derived_token_is_of_its_places() -> None:
    assert derived_token("t", ALL) == derived_token("t", frozenset(sorted(ALL, reverse=True)))
    assert len({"t", derived_token("t", ALL), derived_token("t", SOME), derived_token("u", ALL)}) == 4


TOPICS = ("x", "y", "z")
SAFE, WINDOW = 10, 25


@dataclass
class Table:
    """Rows by place, and the tokens it remembers for a while. A topic stands for a partition of the table: an insert
    has a block and a token in each, and may be cut off between two of them."""

    rows: Counter[Place] = field(default_factory=Counter)
    tokens: dict[tuple[str, str], int] = field(default_factory=dict)

    def insert(self, token: str, places: frozenset[Place], now: int, blocks: int) -> None:
        for topic in sorted({topic for topic, _ in places})[:blocks]:
            if now - self.tokens.get((token, topic), -WINDOW) >= WINDOW:
                self.rows.update(place for place in places if place[0] == topic)
                self.tokens[token, topic] = now


@dataclass
class Member:
    """What one sink holds in memory: the topics of the lane it owns, where it reads, and its batch."""

    owned: set[str] = field(default_factory=set)
    batch: Pending | None = None
    recovered: bool = False
    inserted: bool = False
    later: list[Pending] = field(default_factory=list)


class Crashes(RuleBasedStateMachine):
    """One lane. A rebalance may give its topics to any members; a crash forgets all that was in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        self.ends = dict.fromkeys(TOPICS, 0)
        self.commits: dict[str, tuple[int, str]] = dict.fromkeys(TOPICS, (0, ""))
        self.table, self.batches = Table(), 0
        self.now = 10 * WINDOW  # a plan of time zero is old
        self.members = [Member(set(TOPICS)), Member()]

    @rule(topic=st.sampled_from(TOPICS), records=st.integers(1, 3), gap=st.integers(0, 2))
    def produce(self, topic: str, records: int, gap: int) -> None:
        for _ in range(records):
            self.log[topic].append(self.ends[topic])
            self.ends[topic] += 1
        self.ends[topic] += gap  # a transaction's marker

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 1), most=st.integers(1, 4))
    def plan(self, number: int, most: int) -> None:
        member = self.members[number]
        if member.batch is not None and not member.inserted:
            return
        if member.later:
            member.batch, member.inserted, member.recovered = member.later.pop(), False, True
            if not member.batch.whole:
                self.batches += 1
                plan = replanned(member.batch, f"b{self.batches}")
                self.commits |= {part.topic: (part.first, plan.metadata(part)) for part in plan.parts}
            return
        settled = {part.topic: part.last + 1 for part in member.batch.plan.parts} if member.batch else {}
        parts = []
        for topic in sorted(member.owned):
            begin = settled.get(topic, self.commits[topic][0])
            ready = [offset for offset in self.log[topic] if offset >= begin][:most]
            if ready:
                parts.append(Part(topic, f"id-{topic}", 0, ready[0], ready[-1]))
        self.commits |= {topic: (offset, "") for topic, offset in settled.items()}
        member.batch = None
        if parts:
            self.batches += 1
            plan = Plan(f"b{self.batches}", self.now, tuple(parts))
            self.commits |= {part.topic: (part.first, plan.metadata(part)) for part in parts}
            member.batch, member.inserted, member.recovered = Pending(plan, whole=True), False, False

    @rule(number=st.integers(0, 1), cut_off=st.booleans())
    def insert(self, number: int, cut_off: bool) -> None:
        """``cut_off``: after one of its blocks, and the sink is gone with it."""
        member = self.members[number]
        if member.batch is None or member.inserted:
            return
        self._insert(member.batch, blocks=1 if cut_off else len(TOPICS))
        if cut_off:
            self.assign(list(member.owned), number)
            return
        member.inserted = True
        if member.recovered:  # its parts are settled at once, other batches of the lane may still be pending
            self.commits |= {part.topic: (part.last + 1, "") for part in member.batch.plan.parts}
            member.batch = None

    def _insert(self, batch: Pending, blocks: int) -> None:
        plan = batch.plan
        expected = frozenset((p.topic, o) for p in plan.parts for o in self.log[p.topic] if p.first <= o <= p.last)
        token = plan.token("sink", "t", "k")
        present: frozenset[Place] | None = None
        while True:
            decision = recover(batch, expected, present, age_seconds=self.now - plan.at_ms, safe_seconds=SAFE)
            if decision.action is not Action.COUNT:
                break
            present = expected & set(self.table.rows)
        if decision.action is Action.INSERT:
            self.table.insert(token, expected, self.now, blocks)
        elif decision.action is Action.INSERT_MISSING:
            self.table.insert(derived_token(token, decision.missing), decision.missing, self.now, blocks)

    @rule(moved=st.lists(st.sampled_from(TOPICS), unique=True), number=st.integers(0, 1))
    def assign(self, moved: list[str], number: int) -> None:
        """A crash or a rebalance: everyone forgets, and ``number`` has what moved."""
        for index, member in enumerate(self.members):
            owned = set(moved) if index == number else set(TOPICS) - set(moved)
            claims = [claim_of(topic, f"id-{topic}", 0, *self.commits[topic]) for topic in owned]
            member.owned, member.batch, member.inserted = owned, None, False
            member.later = pending_of(claim for claim in claims if claim is not None)

    @invariant()
    def nothing_is_there_twice(self) -> None:
        assert all(count == 1 for count in self.table.rows.values())

    @invariant()
    def nothing_below_a_commit_is_missing(self) -> None:
        for topic, (offset, _) in self.commits.items():
            assert all((topic, one) in self.table.rows for one in self.log[topic] if one < offset)

    def teardown(self) -> None:
        self.assign(list(TOPICS), 0)
        for _ in range(200):
            self.plan(0, 4)
            self.insert(0, cut_off=False)
        assert set(self.table.rows) == {(topic, offset) for topic in TOPICS for offset in self.log[topic]}
        self.nothing_is_there_twice()


Crashes.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestCrashes: Any = Crashes.TestCase
