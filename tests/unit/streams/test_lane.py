"""A lane under every interleaving: records, steps, answers, commits, crashes and clocks, against plain sets.

Two stages, small enough to be held against a model: one with effects, several of a record at once and one after the
other, and a pure one. What a record does is written in it, by :class:`Errand`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kit.builders import NOW, context, lead_id
from structlog.testing import capture_logs

from schemas.codec import UndecodableError
from schemas.headers import DeadLetter
from schemas.reasons import Reason
from schemas.record import KafkaRecord, Record
from schemas.topics import DEAD_LETTERS, Key, TopicSpec
from streams.changelog import Restoration, records_of
from streams.dead_letter_limit import DeadLetterLimit, DeadLetterLimitError
from streams.execution import Intent
from streams.lane import Lane, Step
from streams.position import Position
from streams.stage import Context, EffectStage, Guarantee, Output, Plan, Stage
from streams.tables import EXPIRED_AT_ONCE, Tables, TableSpec, milliseconds


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Logs go nowhere: another test may have sent them to a stream that is closed by now."""
    with capture_logs():
        yield


OWN = TopicSpec("own", Key.PERSON, "written by another stage")
FROM_OUTSIDE = TopicSpec("from-outside", Key.PERSON, "written by others", external=True)
TOPICS = (OWN, FROM_OUTSIDE)
TOPIC_IDS = {spec.name: f"id-of-{spec.name}" for spec in TOPICS}
KEPT = timedelta(minutes=10)
"""How long the stages' tables keep what is written."""


@dataclass(frozen=True)
class Errand:
    """What a record makes its stage do."""

    who: str | None = None
    """Its order."""
    effects: int = 0
    """How many it asks for at once."""
    follow_ups: int = 0
    """How many follow, one after the other, once those are settled."""
    trouble: str = ""
    """``undecodable``, ``decode``, ``plan`` or ``settle``, of the last result: where it fails."""

    def dump(self) -> bytes:
        return json.dumps([self.who, self.effects, self.follow_ups, self.trouble]).encode()


@dataclass(frozen=True)
class Taken:
    """A record as the stages take it."""

    errand: Errand
    place: str
    lead_id: UUID
    run: int = 0
    received_at: datetime = NOW


@dataclass(frozen=True)
class Call:
    """An effect; ``again`` of them follow it."""

    taken: Taken
    number: int
    again: int


LEFT = TableSpec("left", int)
"""By record, how many of its calls are not settled."""
LAST = TableSpec("last", str, expiry=KEPT)
"""By order, the record that came last."""
IN_HAND = TableSpec("in-hand", int, derived=True)
"""By order, how many calls are not settled: what LEFT comes to."""


def _decode(record: Record) -> Taken:
    errand = Errand(*json.loads(record.value or b""))
    if errand.trouble == "undecodable":
        raise UndecodableError(Reason.VALUE_NOT_JSON)
    if errand.trouble == "decode":
        raise LookupError
    return Taken(errand, f"{record.topic}/{record.offset}", lead_id(record.offset))


def _done(taken: Taken) -> Output:
    return Output("done", taken.place.encode(), b"")


class Errands(EffectStage[Taken, Call, str]):
    """Makes the calls of each record, and says that it is done when the last of them is settled."""

    name = "errands"
    reads = TOPICS
    writes = ()
    tables = (LEFT, LAST, IN_HAND)
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Taken:
        return _decode(record)

    def order(self, arrival: Taken) -> str | None:
        return arrival.errand.who

    def rebuild(self, tables: Tables) -> None:
        for (who, _), left in _left(tables).items():
            tables[IN_HAND][who] = (tables[IN_HAND].get(who) or 0) + left

    def plan(self, arrivals: Sequence[Taken], tables: Tables, context: Context) -> Plan[Call]:
        orders = [taken.errand.who for taken in arrivals if taken.errand.who is not None]
        assert len(orders) == len(set(orders)), "two of one order in a slice"
        plan: Plan[Call] = Plan()
        for taken in arrivals:
            errand = taken.errand
            tables[LAST][str(errand.who)] = taken.place
            if errand.effects:
                self._set(tables, taken, errand.effects + errand.follow_ups)
            if errand.trouble == "plan":
                raise LookupError
            if not errand.effects:
                plan.outputs.append(_done(taken))
            for number in range(errand.effects):
                again = errand.follow_ups if number == 0 else 0
                plan.effects.append((taken, Call(taken, number, again)))
        return plan

    def settle(self, results: Sequence[tuple[Call, str]], tables: Tables, context: Context) -> Plan[Call]:
        plan: Plan[Call] = Plan()
        for call, result in results:
            assert result == f"{call.taken.place} {call.number}", "the result of another call"
            left = tables[LEFT].get(_key(call.taken))
            assert left, "settled, and nothing was left"
            if call.taken.errand.trouble == "settle" and not call.again:
                raise LookupError
            self._set(tables, call.taken, left - 1)
            if call.again:
                following = Call(call.taken, call.number + call.taken.errand.effects, call.again - 1)
                plan.effects.append((call, following))
            elif left == 1:
                plan.outputs.append(_done(call.taken))
        return plan

    def unknown(self, effect: Call) -> str:
        raise NotImplementedError

    def _set(self, tables: Tables, taken: Taken, left: int) -> None:
        before = tables[LEFT].get(_key(taken)) or 0
        if left:
            tables[LEFT][_key(taken)] = left
        else:
            del tables[LEFT][_key(taken)]
        who = str(taken.errand.who)
        if total := (tables[IN_HAND].get(who) or 0) + left - before:
            tables[IN_HAND][who] = total
        else:
            del tables[IN_HAND][who]


class Tally(Stage[Taken]):
    """Says of each record that it is done."""

    name = "tally"
    reads = TOPICS
    writes = ()
    tables = (LEFT, LAST)
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Taken:
        return _decode(record)

    def process(self, arrivals: Sequence[Taken], tables: Tables, context: Context) -> list[Output]:
        for taken in arrivals:
            tables[LAST][str(taken.errand.who)] = taken.place
            if taken.errand.trouble in ("plan", "settle"):
                raise LookupError
        return [_done(taken) for taken in arrivals]


def _key(taken: Taken) -> str:
    return f"{taken.errand.who}|{taken.place}"


def _left(tables: Tables) -> dict[tuple[str, str], int]:
    return {(who, place): left for key, left in tables.store.items(LEFT) for who, place in [key.split("|")]}


def accounts(step: Step) -> Iterator[tuple[str, str]]:
    """The records that a step tells the end of, and which."""
    for output in step.outputs:
        if output.topic == DEAD_LETTERS.name:
            letter = DeadLetter.from_headers(output.headers)
            yield f"{letter.topic}/{letter.offset}", "dead"
        else:
            assert output.key is not None
            yield output.key.decode(), output.topic


def is_done(position: Position | None, offset: int) -> bool:
    if position is None:
        return False
    return offset < position.next or any(first <= offset < end for first, end in position.done)


def log_of(errands: Sequence[Errand], topic: str = OWN.name) -> list[KafkaRecord]:
    return [KafkaRecord(topic, 0, n, 0, b"key", errand.dump()) for n, errand in enumerate(errands)]


errands = st.one_of(
    st.builds(
        Errand,
        st.sampled_from([None, "a", "a", "b", "c"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(["", "", "", "plan", "decode", "undecodable"]),
    ),
    # A record that is dead while others of its calls are under way comes again after a crash; see below.
    st.builds(Errand, st.sampled_from([None, "a", "b"]), st.just(1), st.integers(0, 2), st.just("settle")),
)
NO_LIMIT = 10**9


class LaneMachine(RuleBasedStateMachine):
    """One lane after the other, over one log and one changelog."""

    @initialize(stage=st.sampled_from([Errands(), Errands(), Tally()]), most=st.integers(1, 12))
    def start(self, stage: Stage[Any], most: int) -> None:
        self.stage, self.records_in_hand = stage, most
        self.now = NOW
        self.log: dict[str, list[KafkaRecord]] = {spec.name: [] for spec in TOPICS}
        self.changelog: list[tuple[bytes, bytes | None, int]] = []
        self.accounted: Counter[str] = Counter()
        self.ends: dict[str, str] = {}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.restore()

    def restore(self) -> None:
        restoration = Restoration(self.stage, TOPIC_IDS)
        for record in self.changelog:
            restoration.take(*record)
        self.stored = restoration.finish()
        self.lane = Lane(
            self.stage,
            self.stored.tables,
            self.stored.positions,
            limit=DeadLetterLimit(NO_LIMIT, 1.0, NO_LIMIT),
            records_in_hand=self.records_in_hand,
        )
        self.read = {name: self.lane.next(name) or 0 for name in self.log}
        self.pending: Step | None = None
        self.in_flight: list[Intent] = []
        self.begun: set[str] = set()
        self.positions = dict(self.stored.positions)

    # Records

    @rule(topic=st.sampled_from(TOPICS), found=st.lists(errands, min_size=1, max_size=8), gap=st.integers(0, 3))
    def records_come(self, topic: TopicSpec, found: list[Errand], gap: int) -> None:
        log = self.log[topic.name]
        offset = (log[-1].offset + 1 if log else 0) + gap
        log += [KafkaRecord(topic.name, 0, offset + n, 0, b"key", errand.dump()) for n, errand in enumerate(found)]

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 8))
    def records_are_put(self, topic: TopicSpec, count: int) -> None:
        found = [r for r in self.log[topic.name] if r.offset >= self.read[topic.name]][:count]
        if found:
            self.lane.put(found)
            self.read[topic.name] = found[-1].offset + 1

    @precondition(lambda self: self.pending is None)
    @rule()
    def a_rebalance_leaves_the_lane(self) -> None:
        """What is not begun is dropped, and read again from where the lane says, some of it in hand already."""
        self.lane.discard_waiting()
        assert self.lane.waiting == 0
        self.read = {name: self.lane.next(name) or 0 for name in self.log}

    # Steps

    @precondition(lambda self: self.pending is None)
    @rule(most=st.integers(1, 8))
    def a_step_is_made(self, most: int) -> None:
        before = self.content()
        step = self.lane.step(context(now=self.now), most)
        assert self.content() == before, "a step that is not written has changed something"
        if step is None:
            return
        assert step.records <= most
        assert step.at == self.now
        assert not [change for change in step.changes if change.table.derived]
        assert all(not isinstance(output.value, dict) for output in step.outputs)
        assert len({id(item) for item in step.dead}) == len(step.dead)
        self.pending = step

    @precondition(lambda self: self.pending is not None)
    @rule()
    def the_step_is_written(self) -> None:
        step, self.pending = self.pending, None
        assert step is not None
        at_ms = milliseconds(step.at)
        self.changelog += [(key, value, at_ms) for key, value in records_of(step, TOPIC_IDS)]
        self.positions |= step.positions
        for place, end in accounts(step):
            self.accounted[place] += 1
            self.ends[place] = end
        self.lane.commit(step)
        self.in_flight += step.intents
        orders: defaultdict[str, set[str]] = defaultdict(set)
        for intent in self.in_flight:
            if intent.effect.taken.errand.who is not None:
                orders[intent.effect.taken.errand.who].add(intent.effect.taken.place)
        assert all(len(places) == 1 for places in orders.values()), "effects of one order overlap"

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), count=st.integers(1, 4))
    def answers_come(self, data: st.DataObject, count: int) -> None:
        for intent in data.draw(st.permutations(self.in_flight))[:count]:
            self.answer(intent)

    def answer(self, intent: Intent) -> None:
        self.in_flight.remove(intent)
        assert intent.item.record.offset == int(intent.effect.taken.place.split("/")[1])
        self.lane.give(intent, f"{intent.effect.taken.place} {intent.effect.number}")

    @rule()
    def a_crash(self) -> None:
        """Whatever was under way; a new owner restores and reads on."""
        self.restore()

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What must always be true

    def content(self) -> dict[tuple[str, Any], Any]:
        return {
            (spec.name, key): value for spec in self.stage.tables for key, value in self.lane.tables.store.items(spec)
        }

    @invariant()
    def a_record_is_accounted_once_and_its_position_says_so(self) -> None:
        if not hasattr(self, "log"):
            return
        assert not [place for place, count in self.accounted.items() if count != 1]
        for topic, log in self.log.items():
            done = {f"{topic}/{r.offset}" for r in log if is_done(self.positions.get(topic), r.offset)}
            assert done == {place for place in self.accounted if place.startswith(f"{topic}/")}

    @invariant()
    def the_tables_are_what_the_changelog_says(self) -> None:
        if not hasattr(self, "log") or self.pending is not None:
            return
        restoration = Restoration(self.stage, TOPIC_IDS)
        for record in self.changelog:
            restoration.take(*record)
        found = restoration.finish()
        stored = {
            (spec.name, key): value for spec in self.stage.tables for key, value in found.tables.store.items(spec)
        }
        assert self.content() == stored  # the derived table too, though no record of it is there
        assert found.positions == self.positions

    @invariant()
    def no_more_is_in_hand_than_may_be(self) -> None:
        if not hasattr(self, "log") or not isinstance(self.stage, Errands):
            return
        in_hand = 0
        for topic, log in self.log.items():
            begun = [r.offset for r in log if r.offset >= (self.lane.next(topic) or 0)]
            progress = self.lane._progress[topic]
            newest = max(progress._open, default=-1)
            in_hand += sum(offset <= newest for offset in begun)
        assert in_hand <= self.records_in_hand

    def teardown(self) -> None:
        """Everything is done in the end; and once its time is over, all that expires is gone, without a record more."""
        if not hasattr(self, "log"):
            return
        for _ in range(2000):
            if self.pending is not None:
                self.the_step_is_written()
            for intent in list(self.in_flight):
                self.answer(intent)
            for topic in TOPICS:
                self.records_are_put(topic, 100)
            self.a_step_is_made(8)
            if self.pending is None:
                break
        assert self.lane.idle
        assert (self.lane.waiting, self.lane.in_flight) == (0, 0)
        assert set(self.accounted) == {f"{r.topic}/{r.offset}" for log in self.log.values() for r in log}
        for log in self.log.values():
            for record in log:
                trouble = Errand(*json.loads(record.value or b"")).trouble
                assert self.ends[f"{record.topic}/{record.offset}"] == ("dead" if trouble else "done")
            if log:
                assert self.positions[log[0].topic] == Position(log[-1].offset + 1)
                assert self.lane.next(log[0].topic) == log[-1].offset + 1
        self.a_record_is_accounted_once_and_its_position_says_so()
        self.the_tables_are_what_the_changelog_says()
        self.now += KEPT
        had = self.lane.tables.store.size(LAST)
        self.a_step_is_made(8)
        assert (self.pending is not None) == bool(had)
        if self.pending is not None:
            assert {change.table.name for change in self.pending.changes} == {"last"}
            assert {change.value for change in self.pending.changes} == {None}
            assert (self.pending.outputs, self.pending.positions, self.pending.intents) == ([], {}, [])
            self.the_step_is_written()
        assert self.lane.tables.store.size(LAST) == 0
        latest = {key: value for key, value, _ in self.changelog}
        assert not [key for key, value in latest.items() if key.startswith(b"last:") and value is not None]


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


# One thing at a time


def lane_of(stage: Stage[Any], found: Sequence[Errand], topic: TopicSpec = OWN, **arguments: Any) -> Lane:
    lane = Lane(stage, Tables(), **arguments)
    lane.put(log_of(found, topic.name))
    return lane


def written(lane: Lane, now: datetime = NOW) -> Step:
    step = lane.step(context(now=now))
    assert step is not None
    lane.commit(step)
    return step


def answered(lane: Lane, intent: Intent) -> None:
    lane.give(intent, f"{intent.effect.taken.place} {intent.effect.number}")


def test_an_errand_from_its_record_to_its_end() -> None:
    lane = lane_of(Errands(), [Errand("a", effects=2, follow_ups=1)])
    first = written(lane)
    assert (first.records, first.positions, lane.idle, lane.in_flight) == (1, {"own": Position(0)}, False, 2)
    for intent in first.intents:
        answered(lane, intent)
    second = written(lane)
    assert (second.settled, second.positions, lane.in_flight) == (2, {}, 1)  # a follow-up keeps the record open
    assert lane.next("own") == 0
    answered(lane, *second.intents)
    third = written(lane)
    assert list(accounts(third)) == [("own/0", "done")]
    assert third.positions == {"own": Position(1)}
    assert lane.idle
    assert lane.step(context()) is None


def test_a_second_of_an_order_waits_for_the_first_in_the_order_that_they_came() -> None:
    lane = lane_of(Errands(), [Errand("a", 1), Errand("a"), Errand("b", 1), Errand("a", 1)])
    first = written(lane)
    assert [intent.effect.taken.place for intent in first.intents] == ["own/0", "own/2"]
    assert lane.step(context()) is None
    answered(lane, first.intents[0])
    assert list(accounts(written(lane))) == [("own/0", "done")]
    assert list(accounts(written(lane))) == [("own/1", "done")]  # without effects; its order is free again at once
    assert [intent.effect.taken.place for intent in written(lane).intents] == ["own/3"]


@pytest.mark.parametrize("trouble", ["plan", "settle"])
def test_an_order_is_free_again_after_a_record_that_is_dead(trouble: str) -> None:
    lane = lane_of(Errands(), [Errand("a", 1, 0, trouble), Errand("a", 1)])
    ends, asked = [], []
    while (step := lane.step(context())) is not None:
        lane.commit(step)
        ends += accounts(step)
        for intent in step.intents:
            asked.append(intent.effect.taken.place)
            answered(lane, intent)
    assert ends == [("own/0", "dead"), ("own/1", "done")]
    assert asked == (["own/1"] if trouble == "plan" else ["own/0", "own/1"])
    assert lane.idle


@given(st.integers(1, 4), st.integers(0, 2), st.data())
def test_a_record_has_one_dead_letter_however_many_of_its_calls_fail(
    effects: int, follow_ups: int, data: st.DataObject
) -> None:
    lane = lane_of(Errands(), [Errand("a", effects, follow_ups, "settle"), Errand("a")])
    ends: list[tuple[str, str]] = []
    in_flight: list[Intent] = []
    while (step := lane.step(context())) is not None or in_flight:
        if step is not None:
            lane.commit(step)
            ends += accounts(step)
            in_flight += step.intents
        for intent in data.draw(st.permutations(in_flight))[: data.draw(st.integers(1, 4))]:
            in_flight.remove(intent)
            answered(lane, intent)
    assert ends == [("own/0", "dead"), ("own/1", "done")]
    assert lane.idle
    assert lane.next("own") == 2


def test_a_poisoned_result_leaves_the_tables_as_a_crash_would() -> None:
    lane = lane_of(Errands(), [Errand("a", 1, 0, "settle")])
    (intent,) = written(lane).intents
    before = list(lane.tables.store.items(LEFT))
    answered(lane, intent)
    step = written(lane)
    assert (list(accounts(step)), step.changes) == ([("own/0", "dead")], [])
    assert list(lane.tables.store.items(LEFT)) == before == [("a|own/0", 1)]


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 10), st.integers(1, 10), st.data())
def test_one_stuck_call_holds_up_no_more_than_may_be_in_hand(
    count: int, in_hand: int, most: int, data: st.DataObject
) -> None:
    lane = lane_of(Errands(), [Errand(effects=1)] * count, records_in_hand=in_hand)
    stuck: Intent | None = None
    while step := lane.step(context(), most):
        lane.commit(step)
        assert lane.in_flight <= in_hand
        for intent in step.intents:
            if stuck is None:
                stuck = intent
            else:
                answered(lane, intent)
    assert lane.waiting == max(0, count - in_hand)
    assert lane.next("own") == 0
    assert stuck is not None
    answered(lane, stuck)
    while step := lane.step(context(), most):
        lane.commit(step)
        for intent in step.intents:
            answered(lane, intent)
    assert lane.idle
    assert lane.next("own") == count


@given(st.integers(2, 12), st.integers(1, 12), st.data())
def test_a_restart_with_a_smaller_hand_goes_on(before: int, after: int, data: st.DataObject) -> None:
    """A release may take fewer records in hand than its predecessor had done above its position."""
    found = [Errand(effects=1)] * 30
    lane = lane_of(Errands(), found, records_in_hand=before)
    step, positions = written(lane), dict[str, Position]()
    for intent in data.draw(st.permutations(step.intents[1:])):
        answered(lane, intent)
        positions |= written(lane).positions
    successor = Lane(Errands(), lane.tables, positions, records_in_hand=after)
    successor.put(log_of(found))
    done = 0
    while step := successor.step(context()):
        successor.commit(step)
        done += sum(end == "done" for _, end in accounts(step))
        assert successor.in_flight <= after
        for intent in step.intents:
            answered(successor, intent)
    assert successor.idle
    assert successor.next("own") == 30
    assert done == 30 - (before - 1)


def test_a_step_that_is_not_written_leaves_nothing_behind() -> None:
    tables = Tables()
    lane = Lane(Errands(), tables)
    lane.put(log_of([Errand("a", 1), Errand("b"), Errand("c", 1, 0, "plan")]))
    step = lane.step(context())
    assert step is not None
    assert step.changes
    assert [list(tables.store.items(spec)) for spec in Errands.tables] == [[], [], []]


# Time


def test_what_is_due_goes_while_nothing_comes_a_bounded_number_a_step() -> None:
    lane = lane_of(Tally(), [Errand(f"{n}") for n in range(2 * EXPIRED_AT_ONCE + 10)])
    while lane.waiting:
        written(lane)
    assert lane.step(context(now=NOW + KEPT - timedelta(milliseconds=1))) is None
    removed = []
    while step := lane.step(context(now=NOW + KEPT)):
        lane.commit(step)
        assert (step.records, step.outputs, step.positions) == (0, [], {})
        assert all(change.encoded() is None for change in step.changes)
        removed.append(len(step.changes))
    assert removed == [EXPIRED_AT_ONCE, EXPIRED_AT_ONCE, 10]
    assert lane.tables.store.size(LAST) == 0


def test_what_is_due_and_written_in_one_step_stays() -> None:
    lane = lane_of(Tally(), [Errand("a"), Errand("b")])
    written(lane)
    lane.put([KafkaRecord("own", 0, 2, 0, b"key", Errand("a").dump())])
    step = written(lane, NOW + KEPT)
    assert {change.key: change.value for change in step.changes} == {"a": "own/2", "b": None}
    assert dict(lane.tables.store.items(LAST)) == {"a": "own/2"}
    assert lane.step(context(now=NOW + KEPT + KEPT - timedelta(seconds=1))) is None


def test_entries_expire_by_when_they_were_written_across_a_restart() -> None:
    lane, changelog = lane_of(Tally(), [Errand("a")]), []
    step = written(lane)
    changelog += [(key, value, milliseconds(step.at)) for key, value in records_of(step, TOPIC_IDS)]
    restoration = Restoration(Tally(), TOPIC_IDS)
    for record in changelog:
        restoration.take(*record)
    found = restoration.finish()
    successor = Lane(Tally(), found.tables, found.positions)
    assert successor.step(context(now=NOW + KEPT - timedelta(milliseconds=1))) is None
    assert [change.value for change in written(successor, NOW + KEPT).changes] == [None]


# Dead letters


def limit() -> DeadLetterLimit:
    return DeadLetterLimit(run=5, share=0.5, window=20)


@pytest.mark.parametrize("stage", [Errands(), Tally()], ids=["effects", "pure"])
@pytest.mark.parametrize(
    ("trouble", "topic", "stops"),
    [
        ("plan", OWN, True),
        ("decode", OWN, True),
        ("undecodable", OWN, True),
        ("plan", FROM_OUTSIDE, True),
        ("decode", FROM_OUTSIDE, True),
        ("undecodable", FROM_OUTSIDE, False),
    ],
)
def test_when_nearly_all_are_dead_a_lane_stops_before_anything_of_it_is_written(
    stage: Stage[Any], trouble: str, topic: TopicSpec, stops: bool
) -> None:
    lane = lane_of(stage, [Errand(), Errand(trouble=trouble)], topic, limit=limit())
    written(lane)
    following = lane.next(topic.name)
    content = dict(lane.tables.store.items(LAST))
    bad = [KafkaRecord(topic.name, 0, 2 + n, 0, b"key", Errand(f"{n}", trouble=trouble).dump()) for n in range(100)]
    lane.put(bad)
    if not stops:
        assert len(written(lane).dead) == 100
        assert lane.next(topic.name) == 102
        return
    with pytest.raises(DeadLetterLimitError):
        lane.step(context())
    assert dict(lane.tables.store.items(LAST)) == content
    # Its position was written with the step before. Who starts from it finds every one of them.
    assert following == 2
    successor = Lane(stage, Tables(), {topic.name: Position(2)}, limit=DeadLetterLimit(NO_LIMIT, 1.0, NO_LIMIT))
    successor.put(bad)
    assert len(written(successor).dead) == 100


def test_results_that_nearly_all_fail_stop_a_lane_too() -> None:
    """The offers were fine, and each is dead once its answer is there: the topic would be emptied all the same."""
    lane = lane_of(Errands(), [Errand(effects=1, trouble="settle")] * 100, limit=limit())
    step, dead = written(lane), 0
    for intent in step.intents:
        answered(lane, intent)
        if dead == limit().run - 1:
            break
        dead += len(written(lane).dead)
    with pytest.raises(DeadLetterLimitError):
        lane.step(context())
    assert lane.tables.store.size(LEFT) == 100


def test_results_that_fail_now_and_then_stop_nothing() -> None:
    found = [Errand(effects=1, trouble="settle" if n % 3 == 0 else "") for n in range(300)]
    lane = lane_of(Errands(), found, limit=limit())
    for intent in written(lane).intents:
        answered(lane, intent)
        written(lane)
    assert lane.idle


def test_a_record_that_waits_for_its_turn_counts_when_that_comes() -> None:
    lane = lane_of(Errands(), [Errand("a", 1), *[Errand("a", trouble="plan")] * 10], limit=limit())
    answered(lane, *written(lane).intents)
    written(lane)
    for _ in range(limit().run - 1):
        assert len(written(lane).dead) == 1
    with pytest.raises(DeadLetterLimitError):
        lane.step(context())


# Offsets


def test_a_topic_that_is_read_from_the_middle_starts_there() -> None:
    lane = Lane(Tally(), Tables())
    assert lane.next("own") is None
    lane.put([KafkaRecord("own", 0, n, 0, b"key", Errand().dump()) for n in (17, 19)])
    assert written(lane).positions == {"own": Position(20)}
    assert lane.next("from-outside") is None


@pytest.mark.parametrize("stage", [Errands(), Tally()], ids=["effects", "pure"])
def test_records_that_come_twice_are_taken_once(stage: Stage[Any]) -> None:
    lane, log = Lane(stage, Tables()), log_of([Errand()] * 10)
    ends: list[tuple[str, str]] = []
    for first, last in ((0, 4), (0, 4), (2, 7), (5, 10), (0, 10)):
        lane.put(log[first:last])
        if step := lane.step(context(), 3):
            lane.commit(step)
            ends += accounts(step)
    while step := lane.step(context(), 3):
        lane.commit(step)
        ends += accounts(step)
    assert ends == [(f"own/{n}", "done") for n in range(10)]
