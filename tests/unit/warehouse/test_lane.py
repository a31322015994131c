"""A lane in memory: what is planned, recovered and settled, and when."""

from __future__ import annotations

from schemas.record import KafkaRecord
from warehouse.sinking.lane import ROW_BYTES, Lane
from warehouse.sinking.plans import Part, Pending, Plan

IDS = {"x": "id-x", "y": "id-y"}


def record(topic: str, offset: int, value: bytes = b"12345") -> KafkaRecord:
    return KafkaRecord(topic, 0, offset, 0, None, value)


def lane(*pending: Pending, x: int = 0, y: int = 0) -> Lane:
    return Lane(0, {"x": x, "y": y}, list(pending))


def add(to: Lane, *places: tuple[str, int]) -> None:
    for topic, offset in places:
        to.add(record(topic, offset))


def places(records: tuple[KafkaRecord, ...]) -> list[tuple[str, int]]:
    return [(one.topic, one.offset) for one in records]


def is_due(one: Lane, now: float) -> bool:
    return one.due(now, rows=3, size=10_000, seconds=1.0)


def test_a_batch_is_in_topic_and_offset_order_and_its_plan_names_its_ends() -> None:
    one = lane()
    add(one, ("y", 3), ("x", 0), ("y", 9), ("x", 2))
    plan = one.plan("b", 5, IDS)
    assert plan.parts == (Part("x", "id-x", 0, 0, 2), Part("y", "id-y", 0, 3, 9))
    batch = one.begin(plan)
    assert places(batch.records) == [("x", 0), ("x", 2), ("y", 3), ("y", 9)]
    assert batch.fresh
    assert batch.pending == Pending(plan, whole=True)
    assert (one.rows, one.bytes) == (0, 0)


def test_an_idle_lane_is_due_at_once_and_a_busy_one_gathers() -> None:
    one = lane()
    assert not is_due(one, 100.0)
    add(one, ("x", 0))
    assert is_due(one, 100.0)
    one.begin(one.plan("b", 0, IDS))
    add(one, ("x", 1), ("x", 2), ("x", 3), ("x", 4))
    assert not is_due(one, 200.0), "one batch of a lane at a time"
    one.finish(200.0)
    assert is_due(one, 200.0), "so many rows wait for nothing"
    one.begin(one.plan("c", 0, IDS))
    one.finish(300.0)
    add(one, ("y", 0))
    assert not is_due(one, 300.5)
    assert is_due(one, 301.0)


def test_a_batch_is_as_large_as_what_came_while_the_one_before_was_inserted() -> None:
    """Adaptive: one record where little comes, and more the longer inserts take."""
    one = lane()
    sizes = []
    for now, came in enumerate((1, 2, 7, 40, 3)):
        add(one, *(("x", one.positions["x"] + n) for n in range(came)))
        assert is_due(one, now)
        sizes.append(len(one.begin(one.plan("b", 0, IDS)).records))
        one.finish(now)
    assert sizes == [1, 2, 7, 40, 3]


def test_what_is_held_is_what_waits_and_what_is_being_inserted() -> None:
    one = lane()
    one.add(KafkaRecord("x", 0, 0, 500, None, b"12345"))
    one.add(KafkaRecord("y", 0, 0, 300, None, None))
    assert (one.held, one.oldest) == (2 * ROW_BYTES + 5, 300)
    one.begin(one.plan("b", 0, IDS))
    one.add(KafkaRecord("x", 0, 1, 900, None, b"1"))
    assert (one.bytes, one.held) == (ROW_BYTES + 1, 3 * ROW_BYTES + 6)
    assert one.oldest == 300
    one.finish(0.0)
    assert (one.held, one.oldest) == (ROW_BYTES + 1, 900)
    assert lane().oldest is None


def test_offsets_that_are_passed_over_are_settled_at_once() -> None:
    one = Lane(0, {"x": 10, "y": 5}, [], {"x": 4, "y": 5})
    assert one.unsettled() == {"x": 10}, "or they would count as lag until something follows"
    assert one.done() == {"x": 10, "y": 5}
    one.settled({"x": 10})
    assert one.unsettled() == {}


def test_bytes_make_a_batch_too() -> None:
    one = lane()
    one.flushed_at = 0.0
    one.add(record("x", 0, bytes(10_000 - ROW_BYTES)))
    assert is_due(one, 0.0)


def test_what_is_settled_is_what_is_in_the_tables_and_the_ends_of_logs() -> None:
    one = lane()
    add(one, ("x", 0), ("x", 1))
    one.reached_end("y", 4)
    assert one.unsettled() == {"y": 4}, "rows that wait settle nothing"
    one.begin(one.plan("b", 0, IDS))
    assert one.unsettled() == {"y": 4}
    one.settled({"y": 4})
    one.reached_end("x", 3)  # a marker after the batch, while it is under way
    assert one.unsettled() == {}
    add(one, ("x", 7))
    one.finish(0.0)
    assert one.unsettled() == {"x": 2}, "up to the batch's last: the next record waits"
    one.settled({"x": 2})
    assert one.unsettled() == {}


def test_a_record_that_was_read_already_is_left_out() -> None:
    one = lane(x=5)
    add(one, ("x", 4), ("x", 5), ("x", 5), ("x", 6), ("z", 0))
    assert one.rows == 2


def test_a_pending_batch_comes_first_and_only_when_it_is_all_there() -> None:
    plan = Plan("old", 0, (Part("x", "id-x", 0, 0, 2), Part("y", "id-y", 0, 5, 5)))
    one = lane(Pending(plan, whole=True), y=5)
    add(one, ("x", 0), ("x", 2), ("x", 3))
    assert one.recovered() is None
    assert not is_due(one, 100.0)
    assert not one.wants("x")
    assert one.wants("y"), "not to be paused, whatever else waits"
    one.reached_end("y", 5)
    assert one.recovered() is None
    add(one, ("y", 5))
    batch = one.recovered()
    assert batch is not None
    assert places(batch.records) == [("x", 0), ("x", 2), ("y", 5)]
    assert not batch.fresh
    assert batch.pending.plan == plan
    assert one.unsettled() == {}
    one.finish(0.0)
    assert one.unsettled() == {"x": 3, "y": 6}
    assert not one.recovering
    assert one.rows == 1


def test_several_pending_batches_come_one_after_the_other() -> None:
    first = Pending(Plan("1", 0, (Part("x", "id-x", 0, 0, 0),)), whole=False)
    second = Pending(Plan("2", 0, (Part("y", "id-y", 0, 0, 0),)), whole=False)
    one = lane(first, second)
    add(one, ("x", 0), ("y", 0))
    batch = one.recovered()
    assert batch is not None
    assert places(batch.records) == [("x", 0)]
    assert one.recovered() is None
    one.finish(0.0)
    assert one.unsettled() == {"x": 1}, "the other's fate is not known yet"
    batch = one.recovered()
    assert batch is not None
    assert places(batch.records) == [("y", 0)]


def test_what_is_gone_from_the_log_is_not_waited_for() -> None:
    plan = Plan("old", 0, (Part("x", "id-x", 0, 0, 2),))
    one = lane(Pending(plan, whole=False))
    one.reached_end("x", 3)
    batch = one.recovered()
    assert batch is not None
    assert batch.records == ()
