"""Plans: what is written before an insert is what is read after a crash."""

from __future__ import annotations

import doctest
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.sinking import plans
from warehouse.sinking.plans import METADATA_BYTES, Claim, Part, Plan, PlanError, claim_of, pending_of

names = st.text("abc.-", min_size=1, max_size=8)
offsets = st.integers(0, 2**63 - 1)


@st.composite
def planned(draw: st.DrawFn) -> Plan:
    lane = draw(st.integers(0, 1023))
    topics = sorted(draw(st.sets(names, min_size=1, max_size=16)))
    parts = []
    for topic in topics:
        first, last = sorted((draw(offsets), draw(offsets)))
        parts.append(Part(topic, draw(names), lane, first, last))
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
    (pending,) = pending_of(read)
    assert pending.whole
    assert pending.plan == plan
    assert token(pending.plan) == token(plan)


@given(planned())
def test_a_member_with_some_of_the_parts_knows_that_it_is_not_all(plan: Plan) -> None:
    if len(plan.parts) > 1:
        (pending,) = pending_of(claims(plan)[1:])
        assert not pending.whole
        assert pending.plan.parts == plan.parts[1:]


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
        ('{"v":1,"batch":"b","at":1,"last":3,"of":1}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":"9","of":1}', "damaged"),
        ('{"v":1,"batch":"b","at":1,"last":9,"of":0}', "damaged"),
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
    [(), (("a", 0), ("a", 0)), (("b", 0), ("a", 0)), (("a", 0), ("b", 1))],
)
def test_a_plan_that_is_none_cannot_be_made(parts: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="plan"):
        Plan("b", 0, tuple(Part(topic, "t", lane, 0, 1) for topic, lane in parts))


def test_a_batch_name_beyond_what_kafka_takes_is_refused() -> None:
    plan = Plan("b" * METADATA_BYTES, 0, (Part("x", "t", 0, 0, 8),))
    with pytest.raises(PlanError, match="more than Kafka takes"):
        plan.metadata(plan.parts[0])


def test_examples() -> None:
    assert doctest.testmod(plans).failed == 0
