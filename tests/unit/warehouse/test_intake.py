"""What a member has in memory: what is planned, recovered and settled, and when."""

from __future__ import annotations

import time

import pytest

from schemas.record import KafkaRecord
from warehouse.sinking.abandoned import Abandoned
from warehouse.sinking.intake import LONG_AGO_MS, ROW_BYTES, Batch, Intake, Partition
from warehouse.sinking.plans import Part, Pending, Plan

IDS = {"x": "id-x", "y": "id-y"}
X, Y = ("x", 0), ("y", 0)


def record(topic: str, partition: int, offset: int, value: bytes = b"12345") -> KafkaRecord:
    return KafkaRecord(topic, partition, offset, 0, None, value)


def intake(*pending: Pending, x: int = 0, y: int = 0) -> Intake:
    return Intake({("x", 0): x, ("x", 1): 0, ("y", 0): y, ("y", 1): 0}, pending)


def add(to: Intake, *places: tuple[str, int, int]) -> None:
    for place in places:
        to.add(record(*place))


def places(batch: Batch) -> list[tuple[str, int, int]]:
    return [(one.topic, one.partition, one.offset) for one in batch.records]


def is_due(one: Intake, now: float) -> bool:
    return one.due(now, rows=3, size=10_000, seconds=1.0)


def planned(one: Intake, name: str = "b", rows: int = 1_000, size: int = 1_000_000) -> Plan:
    return one.plan(name, 5, IDS, rows=rows, size=size)


def begun(one: Intake, now: float = 0.0, rows: int = 1_000) -> Batch:
    return one.begin(planned(one, rows=rows), now)


def pending(*parts: tuple[str, int, int, int], whole: bool = True) -> Pending:
    made = tuple(Part(topic, f"id-{topic}", partition, first, last) for topic, partition, first, last in parts)
    return Pending(Plan(f"old-{parts[0]}", 0, made), whole)


def test_a_batch_is_in_the_order_of_places_and_its_plan_names_its_ends() -> None:
    one = intake()
    add(one, ("y", 0, 3), ("x", 1, 0), ("y", 0, 9), ("x", 0, 1), ("x", 1, 2))
    plan = planned(one)
    assert plan.parts == (
        Part("x", "id-x", 0, 1, 1), Part("x", "id-x", 1, 0, 2), Part("y", "id-y", 0, 3, 9)
    )  # fmt: skip
    batch = one.begin(plan, 0.0)
    assert places(batch) == [("x", 0, 1), ("x", 1, 0), ("x", 1, 2), ("y", 0, 3), ("y", 0, 9)]
    assert batch.fresh
    assert batch.pending == Pending(plan, whole=True)
    assert (one.rows, one.held, batch.bytes) == (0, batch.bytes, 5 * (ROW_BYTES + 5))


def test_an_idle_sink_plans_its_first_record_at_once_and_then_gathers() -> None:
    one = intake()
    assert not is_due(one, 100.0)
    add(one, ("x", 0, 0))
    assert is_due(one, 100.0)
    begun(one, 100.0)
    add(one, ("y", 0, 0))
    assert not is_due(one, 100.9)
    assert is_due(one, 101.0)
    add(one, ("y", 1, 0), ("y", 0, 1))
    assert is_due(one, 100.0), "so many rows wait for nothing"


def test_bytes_make_a_batch_too() -> None:
    one = intake()
    add(one, ("y", 0, 0))
    begun(one, 0.0)
    one.add(record("x", 0, 0, bytes(10_000 - ROW_BYTES)))
    assert is_due(one, 0.0)
    one.add(record("x", 1, 0))
    assert [part.partition for part in planned(one, size=10_000).parts] == [0]


def test_a_partition_is_in_one_batch_at_a_time_and_others_are_planned_beside_it() -> None:
    one = intake()
    add(one, ("x", 0, 0))
    first = begun(one, 0.0)
    add(one, *(("x", 0, n) for n in range(1, 9)))
    assert not is_due(one, 200.0)
    assert not one.waits
    add(one, ("x", 1, 0))
    assert is_due(one, 200.0)
    second = begun(one, 200.0)
    assert places(second) == [("x", 1, 0)]
    assert set(one.in_flight) == {first, second}
    assert one.finish(first)
    assert is_due(one, 200.0)
    assert len(begun(one, 200.0).records) == 8


def test_a_batch_is_as_large_as_what_came_while_the_one_before_was_inserted() -> None:
    """Adaptive: one record where little comes, and more the longer inserts take."""
    one = intake()
    sizes = []
    for now, came in enumerate((1, 2, 7, 40, 3)):
        begin = one.positions[X]
        add(one, *(("x", 0, begin + n) for n in range(came)))
        assert is_due(one, now)
        batch = begun(one, now)
        sizes.append(len(batch.records))
        one.finish(batch)
    assert sizes == [1, 2, 7, 40, 3]


def test_what_is_far_behind_keeps_nothing_else_waiting() -> None:
    """Whole partitions up to the limit, first those that were in no plan for longest, the small ones of them."""
    one = intake()
    came = []
    for n in range(6):
        add(one, *(("x", p, n * 50 + m) for p in (0, 1) for m in range(50)), ("y", 0, n), ("y", 1, n))
        batch = begun(one, rows=50)
        came.append({(record.topic, record.partition) for record in batch.records})
        one.finish(batch)
    assert came == [{Y, ("y", 1), X}, {("x", 1)}] * 3


def test_what_is_held_is_what_waits_and_what_is_being_inserted() -> None:
    one = intake()
    one.add(KafkaRecord("x", 0, 0, 500, None, b"12345"))
    one.add(KafkaRecord("y", 0, 0, 300, None, None))
    assert (one.rows, one.held, one.oldest) == (2, 2 * ROW_BYTES + 5, 300)
    batch = begun(one)
    assert (batch.bytes, batch.oldest) == (2 * ROW_BYTES + 5, 300)
    one.add(KafkaRecord("x", 0, 1, 900, None, b"1"))
    assert (one.rows, one.held, one.oldest) == (1, 3 * ROW_BYTES + 6, 300)
    one.finish(batch)
    assert (one.held, one.oldest) == (ROW_BYTES + 1, 900)
    assert intake().oldest is None


def test_offsets_that_are_passed_over_are_settled_at_once() -> None:
    one = Intake({X: 10, Y: 5}, [], {X: 4, Y: 5})
    assert one.unsettled() == {X: 10}, "or they would count as lag until something follows"
    assert one.done() == {X: 10, Y: 5}
    one.settled({X: 10})
    assert one.unsettled() == {}


def test_what_is_settled_is_what_is_in_the_tables_and_the_ends_of_logs() -> None:
    one = intake()
    add(one, ("x", 0, 0), ("x", 0, 1))
    one.reached_end("y", 0, 4)
    assert one.unsettled() == {Y: 4}, "rows that wait settle nothing"
    batch = begun(one)
    assert one.unsettled() == {Y: 4}
    one.settled({Y: 4})
    one.reached_end("x", 0, 3)  # a marker after the batch, while it is under way
    assert one.unsettled() == {}
    add(one, ("x", 0, 7))
    one.finish(batch)
    assert one.unsettled() == {X: 2}, "up to the batch's last: the next record waits"
    one.settled({X: 2})
    assert one.unsettled() == {}


def test_all_parts_of_a_batch_are_to_be_settled_together() -> None:
    """Were one left out, it would look like a batch of which this member has but some."""
    one = intake()
    add(one, ("x", 0, 0), ("x", 1, 0), ("y", 1, 0))
    one.finish(begun(one))
    add(one, ("x", 0, 1))
    (part,) = planned(one).parts
    assert part.topic == "x"
    assert one.unsettled() == {X: 1, ("x", 1): 1, ("y", 1): 1}


def test_a_record_that_was_read_already_or_is_another_members_is_left_out() -> None:
    one = intake(x=5)
    add(one, ("x", 0, 4), ("x", 0, 5), ("x", 0, 5), ("x", 0, 6), ("x", 2, 0), ("z", 0, 0))
    one.reached_end("z", 0, 9)
    one.reached_end("x", 0, 3)
    assert one.rows == 2
    assert one.positions[X] == 7


def test_a_batch_of_an_assignment_before_finishes_nothing() -> None:
    before, one = intake(), intake()
    for each in (before, one):
        add(each, ("x", 0, 0))
    stale, batch = begun(before), begun(one)
    assert not one.finish(stale)
    assert one.unsettled() == {}
    assert one.finish(batch)
    assert not one.finish(batch)


def full(one: Intake, rows: int) -> set[Partition]:
    return one.full(rows=rows, size=10_000)


def test_a_partition_is_full_by_rows_or_bytes() -> None:
    one = intake()
    add(one, ("x", 0, 0), ("x", 0, 1), ("y", 0, 0))
    one.add(record("y", 1, 0, bytes(10_000)))
    assert full(one, 2) == {X, ("y", 1)}
    assert full(one, 0) == set(one.positions), "all of them, whatever waits"


def test_a_pending_batch_is_made_again_once_it_is_all_there() -> None:
    old = pending(("x", 0, 0, 2), ("y", 0, 5, 5))
    one = intake(old, y=5)
    add(one, ("x", 0, 0), ("x", 0, 2), ("x", 0, 3))
    assert one.recovered() == []
    assert not is_due(one, 100.0)
    assert X in full(one, 1)
    assert Y not in full(one, 0), "not to be paused, whatever else waits"
    one.reached_end("y", 0, 5)
    assert one.recovered() == []
    add(one, ("y", 0, 5))
    (batch,) = one.recovered()
    assert places(batch) == [("x", 0, 0), ("x", 0, 2), ("y", 0, 5)]
    assert batch.bytes == 3 * (ROW_BYTES + 5)
    assert not batch.fresh
    assert batch.pending == old
    assert one.unsettled() == {}
    assert one.held == 4 * (ROW_BYTES + 5)
    one.finish(batch)
    assert one.unsettled() == {X: 3, Y: 6}
    assert not one.recovering
    assert one.rows == 1


def test_what_is_not_of_a_pending_batch_does_not_wait_for_it() -> None:
    one = intake(pending(("x", 0, 0, 9)))
    add(one, ("x", 0, 0), ("y", 0, 0))
    assert is_due(one, 0.0)
    assert places(begun(one)) == [("y", 0, 0)]


def test_several_pending_batches_are_made_again_as_they_are_read() -> None:
    one = intake(pending(("x", 0, 0, 0), whole=False), pending(("x", 1, 0, 1)), pending(("y", 0, 0, 0), ("y", 1, 0, 0)))
    assert one.recovering == 3
    add(one, ("x", 0, 0), ("x", 1, 0), ("y", 0, 0), ("y", 1, 0))
    first, third = one.recovered()
    assert places(first) == [("x", 0, 0)]
    assert places(third) == [("y", 0, 0), ("y", 1, 0)]
    one.finish(first)
    assert one.unsettled() == {X: 1}, "the others' fate is not known yet"
    add(one, ("x", 1, 1))
    (second,) = one.recovered()
    assert places(second) == [("x", 1, 0), ("x", 1, 1)]


def test_what_is_gone_from_the_log_is_not_waited_for() -> None:
    one = intake(pending(("x", 0, 0, 2), whole=False))
    one.reached_end("x", 0, 3)
    (batch,) = one.recovered()
    assert batch.records == ()
    assert (batch.bytes, batch.oldest) == (0, None)


def test_a_member_that_stood_still_has_abandoned_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    one = Intake({X: 0}, abandoned=Abandoned(6.0))
    add(one, ("x", 0, 0))
    batch = begun(one)
    now = 105.9
    assert not batch.abandoned.is_set()
    one.abandoned.renew()
    now = 111.8
    assert not batch.abandoned.is_set()
    now = 112.0
    assert batch.abandoned.is_set(), "whichever of its threads goes on first"


def test_a_member_that_stood_still_for_too_long_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other thread may have given a batch up already, that nobody would make any more."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    abandoned = Abandoned(6.0)
    now = 106.0
    abandoned.renew()
    assert abandoned.is_set()


def test_what_is_read_again_is_planned_as_an_old_batch() -> None:
    """The tables may have it, though no commit says so."""
    one = Intake({X: 0, Y: 0}, known={X: 2})
    add(one, ("x", 0, 0), ("x", 0, 1), ("x", 0, 2), ("y", 0, 0))
    plan = planned(one)
    assert plan.at_ms == LONG_AGO_MS
    batch = one.begin(plan, 0.0)
    assert not batch.fresh
    assert one.finish(batch)
    add(one, ("x", 0, 3), ("y", 0, 1))
    assert planned(one).at_ms != LONG_AGO_MS
    assert begun(one).fresh


def test_what_waits_for_another_member_goes_on_when_that_has_settled() -> None:
    plan = Plan("old", 7, (Part("x", "id-x", 0, 0, 1),))
    one = intake(Pending(plan, whole=False, awaits=Y))
    add(one, ("x", 0, 0), ("x", 0, 1))
    assert one.awaited == {"old": Y}
    assert (one.recovered(), one.recovering) == ([], 1)
    one.go_on("old")
    (batch,) = one.recovered()
    assert places(batch) == [("x", 0, 0), ("x", 0, 1)]


def test_keys_and_headers_take_memory_too() -> None:
    one = intake()
    one.add(record("x", 0, 0)._replace(key=bytes(1_000), headers=(("name", bytes(500)), ("n", b""))))
    assert one.held == ROW_BYTES + 5 + 1_000 + 505


def test_what_is_dropped_is_abandoned_at_once() -> None:
    one = intake()
    add(one, ("x", 0, 0))
    batch = begun(one)
    assert not batch.abandoned.is_set()
    one.abandoned.set()
    assert batch.abandoned.is_set()
    assert batch.abandoned.wait(60), "who waits to try again hears of it"
