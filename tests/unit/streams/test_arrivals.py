"""What has arrived and waits: in order, each record once, bounded, and nobody starves behind a full partition."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.partition_reader import Batch, Place
from schemas.record import KafkaRecord
from streams.engine.arrivals import (
    BYTES_PER_SLICE,
    RECORDS_PER_SLICE,
    RECORDS_WAITING,
    Arrivals,
)

HERE, THERE = ("topic", 0), ("topic", 1)


def records(place: Place, first: int, count: int, size: int = 1) -> list[KafkaRecord]:
    return [KafkaRecord(*place, offset, offset, None, b"x" * size) for offset in range(first, first + count)]


def arrived(place: Place, first: int, count: int, size: int = 1) -> Batch:
    return Batch({place: records(place, first, count, size)})


def test_a_slice_holds_all_that_has_arrived_when_it_is_taken() -> None:
    arrivals = Arrivals({HERE: 5})
    arrivals.add(arrived(HERE, 5, 3))
    arrivals.add(arrived(HERE, 8, 2))
    found = arrivals.take(HERE)
    assert (found.follows, [record.offset for record in found.records]) == (5, [5, 6, 7, 8, 9])
    assert arrivals.take(HERE) == type(found)(10, [])


def test_a_slice_says_what_it_follows_over_gaps() -> None:
    arrivals = Arrivals({HERE: None})
    arrivals.add(arrived(HERE, 100, 1))
    arrivals.add(arrived(HERE, 200, 1))
    assert arrivals.take(HERE).follows is None
    arrivals.add(arrived(HERE, 300, 1))
    assert arrivals.take(HERE).follows == 201


def test_a_record_larger_than_a_slice_comes_alone() -> None:
    arrivals = Arrivals({HERE: 0})
    arrivals.add(arrived(HERE, 0, 3, BYTES_PER_SLICE + 1))
    assert [len(arrivals.take(HERE).records) for _ in range(4)] == [1, 1, 1, 0]


def test_reading_stops_while_every_partition_has_enough_and_one_is_full() -> None:
    arrivals = Arrivals({HERE: 0, THERE: 0})
    arrivals.add(arrived(HERE, 0, RECORDS_WAITING))
    arrivals.add(arrived(THERE, 0, 1))
    assert not arrivals.make_room()
    assert not arrivals.paused
    arrivals.take(HERE)
    assert arrivals.make_room()


def test_a_full_partition_is_left_out_while_another_has_nothing() -> None:
    arrivals = Arrivals({HERE: 0, THERE: 0})
    arrivals.add(arrived(HERE, 0, RECORDS_WAITING))
    assert arrivals.make_room()
    assert arrivals.paused == {HERE}
    while len(arrivals.take(HERE).records) == RECORDS_PER_SLICE:
        assert arrivals.make_room()
        if HERE in arrivals.waiting:
            assert arrivals.paused == {HERE}, "what was fetched ahead would be thrown away slice by slice"
    assert not arrivals.paused


def test_only_what_is_done_to_the_end_is_committed_behind_markers() -> None:
    arrivals = Arrivals({HERE: 0})
    arrivals.add(Batch({HERE: records(HERE, 0, 3)}, reached={HERE: 9}, ends={HERE: 9}))
    assert arrivals.end(HERE) == 9
    assert arrivals.committable(HERE, 0) == 0
    arrivals.take(HERE)
    assert [arrivals.committable(HERE, done) for done in (0, 2, 3)] == [0, 2, 9]
    arrivals.add(arrived(HERE, 9, 1))
    assert arrivals.committable(HERE, 3) == 3


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE]), st.integers(0, 2500)), max_size=40), st.booleans())
def test_every_record_is_taken_once_in_order_and_never_too_many_wait(
    moves: list[tuple[Place, int]], small: bool
) -> None:
    """A move adds so many records, if there is room for them, or takes a slice when it adds none."""
    arrivals, written, seen = Arrivals({HERE: 0, THERE: 0}), Counter[Place](), Counter[Place]()

    def take(place: Place) -> int:
        found = arrivals.take(place)
        assert len(found.records) <= RECORDS_PER_SLICE
        assert found.follows == seen[place]
        assert [r.offset for r in found.records] == list(range(seen[place], seen[place] + len(found.records)))
        seen[place] += len(found.records)
        return len(found.records)

    for place, count in moves:
        if count == 0 or small:
            take(place)
        if count and arrivals.make_room() and place not in arrivals.paused:
            arrivals.add(arrived(place, written[place], count))
            written[place] += count
        assert all(written[place] - seen[place] < RECORDS_WAITING + 2500 for place in written)
    for place in written:
        while take(place):
            pass
    assert seen == written
    assert not arrivals.waiting
