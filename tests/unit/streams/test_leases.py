"""Leases: what a deterministic stage has begun under a release it ends under that release, whoever goes on with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import NOW, SECRET, campaign, configuration

from schemas.config.history import UnknownReleaseError
from schemas.config.release import Configuration
from schemas.record import KafkaRecord, Record
from schemas.topics import Key, TopicSpec
from streams.changelog import Restoration, entries_of
from streams.engine.exits import Exit, detail_of, exit_of
from streams.lane import Lane, Step
from streams.leases import LEASE_OFFSETS, LEASES_KEPT, Lease, Leases, ReleaseGoneError
from streams.stage import Context, Output, Stage
from streams.tables import Tables

IN, MORE, OUT = "letters", "more", "read"
A, B, C = (configuration(*(campaign(f"c{n}") for n in range(count))) for count in (1, 2, 3))
NAMES = {A.release: "A", B.release: "B", C.release: "C"}


def configuration_of(release: str) -> Configuration:
    for known in (A, B, C):
        if known.release == release:
            return known
    raise UnknownReleaseError(release)


class Read(Stage[Any]):
    """Says of each record by which release it was read; a record that has a value names its release itself."""

    name = "read"
    reads = (TopicSpec(IN, Key.ANY, "to read"), TopicSpec(MORE, Key.ANY, "to read too"))
    writes = (TopicSpec(OUT, Key.ANY, "what was read"),)

    def decode(self, record: Record) -> Record:
        return record

    def release_of(self, arrival: Record) -> str | None:
        return (arrival.value or b"").decode() or None

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        by = NAMES[context.configuration.release]
        return [Output(OUT, None, f"{record.offset}{by}".encode()) for record in arrivals]


class Owners:
    """One lane after the other, on one changelog."""

    def __init__(self) -> None:
        self.changelog: list[Any] = []
        self.lane = self.open()

    def open(self, *, ends: dict[str, int] | None = None) -> Lane:
        stage = Read()
        restoration = Restoration(stage, {spec.name: "id" for spec in stage.reads})
        for key, value in self.changelog:
            restoration.take(key, value, 0)
        topic_ids = {spec.name: "id" for spec in stage.reads}
        self.lane = Lane(stage, restoration.finish().tables, topic_ids=topic_ids, ends=ends or {})
        return self.lane

    def step(self, release: Configuration, most: int = 1000) -> Step | None:
        return self.lane.step(Context(NOW, release, SECRET, "test", configuration_of), most)

    def write(self, step: Step) -> None:
        self.changelog += entries_of(step)
        self.lane.commit(step)

    def run(self, release: Configuration, most: int = 1000) -> list[str]:
        """What is read until nothing waits."""
        found = []
        while (step := self.step(release, most)) is not None:
            assert not step.outputs or step.records
            found += said(step)
            self.write(step)
        return found


def said(step: Step) -> list[str]:
    return [(output.value or b"").decode() for output in step.outputs if isinstance(output.value, bytes)]


def records(first: int, end: int, topic: str = IN, value: bytes = b"") -> list[KafkaRecord]:
    return [KafkaRecord(topic, 0, offset, 0, None, value) for offset in range(first, end)]


def test_a_lease_is_durable_before_anything_decided_under_it_is_written() -> None:
    owners = Owners()
    owners.lane.put(records(0, 3))
    first = owners.step(A)
    assert first is not None
    assert (first.records, first.outputs, first.positions) == (0, [], {})
    assert len(first.changes) == 1
    owners.write(first)
    second = owners.step(A)
    assert second is not None
    assert (said(second), second.changes) == (["0A", "1A", "2A"], [])


def test_what_was_decided_before_a_crash_is_decided_alike_after_it() -> None:
    owners = Owners()
    owners.lane.put(records(0, 5))
    first = owners.step(A)
    assert first is not None
    owners.write(first)
    lost = owners.step(A)  # its outputs are written, and the worker ends before its position is committed
    assert lost is not None
    assert said(lost) == ["0A", "1A", "2A", "3A", "4A"]
    owners.open(ends={IN: 5})
    owners.lane.put(records(0, 8))
    assert owners.run(B) == ["0A", "1A", "2A", "3A", "4A", "5B", "6B", "7B"]
    owners.open(ends={IN: 8})
    owners.lane.put(records(0, 8))
    assert owners.run(A) == ["0A", "1A", "2A", "3A", "4A", "5B", "6B", "7B"]


def test_a_new_release_decides_from_the_next_slice_on() -> None:
    owners = Owners()
    owners.lane.put(records(0, 4))
    assert owners.run(A) == ["0A", "1A", "2A", "3A"]
    owners.lane.put(records(4, 6))
    assert owners.run(B) == ["4B", "5B"]
    owners.lane.put(records(6, 8))
    assert owners.run(A) == ["6A", "7A"]
    owners.open(ends={IN: 8})
    owners.lane.put(records(2, 10))
    assert owners.run(C) == ["2A", "3A", "4B", "5B", "6A", "7A", "8C", "9C"]


def test_where_the_end_of_the_log_is_not_known_a_new_release_waits_for_the_end_of_the_lease() -> None:
    owners = Owners()
    owners.lane.put(records(0, 1))
    owners.run(A)
    owners.open()
    owners.lane.put(records(1, LEASE_OFFSETS + 2))
    found = owners.run(B)
    assert found[LEASE_OFFSETS - 3 :] == [
        f"{LEASE_OFFSETS - 2}A",
        f"{LEASE_OFFSETS - 1}A",
        f"{LEASE_OFFSETS}B",
        f"{LEASE_OFFSETS + 1}B",
    ]


def test_leases_are_extended_ahead_by_steps_that_are_written_anyway() -> None:
    owners = Owners()
    count = 10 * LEASE_OFFSETS
    owners.lane.put(records(0, count))
    steps = []
    while (step := owners.step(A)) is not None:
        steps.append(step)
        owners.write(step)
    assert sum(step.records for step in steps) == count
    assert [step.records for step in steps].count(0) == 1
    assert sum(len(step.changes) for step in steps) <= 1 + count // (LEASE_OFFSETS // 2)


def test_each_topic_has_its_own_and_a_step_has_one_release() -> None:
    owners = Owners()
    owners.lane.put(records(0, 2))
    owners.run(A)
    owners.open(ends={IN: 4})
    owners.lane.put(records(2, 4))
    owners.lane.put(records(0, 2, MORE))
    owners.lane.put(records(4, 6))
    assert owners.run(B) == ["2A", "3A", "0B", "1B", "4B", "5B"]


def test_an_arrival_that_names_its_release_is_decided_by_it() -> None:
    owners = Owners()
    owners.lane.put([*records(0, 2, value=C.release.encode()), *records(2, 3), *records(3, 4, value=b"gone")])
    assert owners.run(A) == ["0C", "1C", "2A", "3A"]


def test_a_release_that_is_gone_is_named_with_the_next_command() -> None:
    owners = Owners()
    owners.lane.put(records(0, 2))
    owners.run(A)
    owners.open(ends={IN: 2})
    owners.lane.put(records(1, 2))

    def gone(release: str) -> Configuration:
        raise UnknownReleaseError(f"no release {release!r}")

    with pytest.raises(ReleaseGoneError, match=f"release {A.release}.*`leadline config history`") as raised:
        owners.lane.step(Context(NOW, B, SECRET, "test", gone))
    assert exit_of(raised.value) is Exit.CONFIGURATION
    assert "`leadline config apply`" in detail_of(raised.value)


def test_a_topic_that_was_made_anew_has_no_leases() -> None:
    owners = Owners()
    owners.lane.put(records(0, 2))
    owners.run(A)
    restoration = Restoration(Read(), {IN: "other", MORE: "id"})
    for key, value in owners.changelog:
        restoration.take(key, value, 0)
    owners.lane = Lane(Read(), restoration.finish().tables, topic_ids={IN: "other", MORE: "id"})
    owners.lane.put(records(0, 2))
    assert owners.run(B) == ["0B", "1B"]


@given(
    st.integers(0, 2 * LEASE_OFFSETS),
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 2 * LEASE_OFFSETS)), max_size=LEASES_KEPT),
)
def test_renewing_changes_nothing_that_may_be_decided(floor: int, steps: list[tuple[str, int]]) -> None:
    held, offset = Leases((Lease("A", floor),) if floor else ()), 0
    for release, forward in steps:
        offset += forward
        renewed = held.renewed(release, offset, floor)
        ends = [lease.end for lease in renewed.held]
        assert ends == sorted(set(ends))
        assert all(one.release != other.release for one, other in pairwise(renewed.held))
        assert renewed.end - offset >= LEASE_OFFSETS // 2
        assert renewed.held[-1].release == release
        assert _release(renewed, offset) == release or offset < floor
        decided = {0, offset - 1, floor - 1, *(lease.end - 1 for lease in held.held)}
        for place in decided & set(range(min(max(offset, floor), held.end))):
            assert _release(renewed, place) == _release(held, place)
        held = renewed


def _release(leases: Leases, offset: int) -> str | None:
    lease: Lease | None = leases.at(offset)
    return None if lease is None else lease.release
