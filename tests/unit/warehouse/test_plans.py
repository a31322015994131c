"""Plans: what is written before an insert is what is read after a crash."""

from __future__ import annotations

import doctest
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.sinking import plans
from warehouse.sinking.plans import (
    METADATA_BYTES,
    Claim,
    Part,
    Pending,
    Plan,
    PlanError,
    batch_of,
    claim_of,
    pending_of,
    torn_of,
)

names = st.text("abc.-", min_size=1, max_size=8)
offsets = st.integers(0, 2**63 - 1)


@st.composite
def planned(draw: st.DrawFn) -> Plan:
    partitions = sorted(draw(st.sets(st.tuples(names, st.integers(0, 1023)), min_size=1, max_size=16)))
    parts = []
    for topic, partition in partitions:
        first, last = sorted((draw(offsets), draw(offsets)))
        parts.append(Part(topic, draw(names), partition, first, last))
    return Plan(draw(st.text(max_size=40)), draw(st.integers(0, 2**45)), tuple(parts))


def claims(plan: Plan) -> list[Claim]:
    found = [claim_of(p.topic, p.topic_id, p.partition, p.first, plan.metadata(p)) for p in plan.parts]
    return [claim for claim in found if claim is not None]


def token(plan: Plan) -> str:
    return plan.token("sink", "d.t", "k")


@given(planned(), st.randoms(use_true_random=False))
def test_what_is_committed_is_the_plan_again(plan: Plan, chance: object) -> None:
    assert all(len(plan.metadata(part).encode()) < METADATA_BYTES for part in plan.parts)
    read = claims(plan)
    chance.shuffle(read)  # type: ignore[attr-defined]
    (pending,) = pending_of(read, {part.place for part in plan.parts})
    assert pending.whole
    assert pending.plan == plan
    assert token(pending.plan) == token(plan)


@given(planned(), st.data())
def test_who_has_the_first_part_makes_all_and_the_others_wait(plan: Plan, data: st.DataObject) -> None:
    read = claims(plan)
    own = data.draw(st.lists(st.sampled_from(read), min_size=1, unique=True))
    others = [claim for claim in read if claim not in own]
    places = {claim.part.place for claim in own}
    leads = plan.parts[0].place in places
    assert torn_of(own, places) == ({plan.batch} if leads and others else set())
    another = replace(read[0], batch=plan.batch + "x")
    (pending,) = pending_of(own, places, [*others, another])
    assert set(pending.parts) == {claim.part for claim in own}
    assert pending.whole == leads
    if leads:
        assert pending.plan == plan
        assert token(pending.plan) == token(plan)
        assert set(pending.elsewhere) == {claim.part for claim in others}
        assert pending.awaits is None
    else:
        assert pending.parts == pending.plan.parts
        assert pending.awaits == plan.parts[0].place


@given(planned(), st.data())
def test_what_is_not_all_there_is_nobodys_whole(plan: Plan, data: st.DataObject) -> None:
    """A claim is missing, or records are: the parts that are left are by themselves. Where the first claim is missing,
    it is settled: whoever did that has made all of it."""
    read = claims(plan)
    places = {claim.part.place for claim in read}
    (pending,) = pending_of(read, places, (), {plan.batch})
    left = Pending(plan, whole=False)
    assert pending == left
    if len(read) > 1:
        lost = data.draw(st.sampled_from(read))
        (pending,) = pending_of([claim for claim in read if claim != lost], places)
        left = Pending(replace(plan, parts=tuple(p for p in plan.parts if p != lost.part)), whole=False)
        assert pending == replace(left, awaits=lost.part.place if lost == read[0] else None)


def test_the_remains_of_a_torn_batch_are_a_members_own_parts() -> None:
    parts = tuple(Part("x", "t", partition, 0, 8) for partition in range(3))
    remains = Pending(Plan("b", 1, parts), whole=True, elsewhere=parts[1:]).remains()
    assert remains == Pending(Plan("b", 1, parts[:1]), whole=False)


@given(planned())
def test_the_name_of_a_batch_is_in_each_commit_of_it(plan: Plan) -> None:
    assert {batch_of(plan.metadata(part)) for part in plan.parts} == {plan.batch}
    assert batch_of("") is batch_of(None) is batch_of('{"v":2}') is batch_of("[]") is None


@given(planned(), planned())
def test_equal_ranges_have_equal_tokens_and_others_have_others(one: Plan, other: Plan) -> None:
    assert (token(one) == token(other)) == (one.parts == other.parts)
    assert token(replace(one, batch=one.batch + "x", at_ms=7)) == token(one)


@pytest.mark.parametrize("change", [{"topic": "y"}, {"topic_id": "u"}, {"partition": 1}, {"first": 1}, {"last": 9}])
def test_any_difference_gives_another_token(change: dict[str, object]) -> None:
    part = Part("x", "t", 0, 0, 8)
    plan = Plan("b", 1, (part,))
    assert token(replace(plan, parts=(replace(part, **change),))) != token(plan)  # type: ignore[arg-type]
    assert (
        len({token(plan), plan.token("s", "d.t", "k"), plan.token("sink", "d.u", "k"), plan.token("sink", "d.t", "l")})
        == 4
    )


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ('{"v":2}', "version 2"),
        ("last=7", "no plan"),
        ("[" * 3000, "no plan"),
        ("7", "no plan"),
        ('{"v":1}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":1}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":1,"first":7}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":1,"first":["x"]}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":1,"first":["x","0"]}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":1,"first":[["x"],0]}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":3,"of":1,"first":["x",0]}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":"9","of":1,"first":["x",0]}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":0,"first":["x",0]}', "damaged"),
    ],
)
def test_what_is_no_plan_of_this_version_is_said(metadata: str, says: str) -> None:
    with pytest.raises(PlanError, match=says) as caught:
        claim_of("leads", "t", 0, 5, metadata)
    assert "kafka-consumer-groups" in str(caught.value)


def test_no_metadata_is_settled() -> None:
    assert claim_of("leads", "t", 0, 5, "") is None
    assert claim_of("leads", "t", 0, 5, None) is None


@given(st.text(max_size=60))
def test_any_metadata_is_a_claim_or_an_error(metadata: str) -> None:
    with suppress(PlanError):
        claim_of("leads", "t", 0, 5, metadata)


@pytest.mark.parametrize(
    "parts",
    [(), (("a", 0), ("a", 0)), (("b", 0), ("a", 1)), (("a", 1), ("a", 0))],
)
def test_a_plan_that_is_none_cannot_be_made(parts: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="plan"):
        Plan("b", 0, tuple(Part(topic, "t", partition, 0, 1) for topic, partition in parts))


def test_a_batch_name_beyond_what_kafka_takes_is_refused() -> None:
    plan = Plan("b" * METADATA_BYTES, 0, (Part("x", "t", 0, 0, 8),))
    with pytest.raises(PlanError, match="more than Kafka takes"):
        plan.metadata(plan.parts[0])


def test_examples() -> None:
    assert doctest.testmod(plans).failed == 0
