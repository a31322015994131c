"""A sandbox buyer's decisions are functions of its configuration and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.behaviour import Buyer, Failure, Mode, SandboxConfigError, Status, answer, load

keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
failures = st.builds(Failure, mode=st.sampled_from(Mode), rate=st.floats(0, 1), first_sights=st.integers(1, 3))
buyers = st.builds(
    Buyer,
    acceptance=st.floats(0, 1),
    latency_ms=st.floats(0, 100) | st.tuples(st.floats(0, 50), st.floats(50, 100)),
    failures=st.lists(failures, max_size=3).map(tuple),
    honours_idempotency_key=st.booleans(),
    price=st.none() | st.floats(0, 100),
)


@given(buyers, keys, st.integers(1, 6))
def test_the_same_arrival_always_gets_the_same_decision(buyer: Buyer, key: str, sights: int) -> None:
    assert answer("b", buyer, key, sights) == answer("b", buyer, key, sights)


@given(buyers, keys, st.integers(1, 6), st.integers(1, 6))
def test_every_arrival_of_a_key_gets_one_answer(buyer: Buyer, key: str, one: int, other: int) -> None:
    first, second = answer("b", buyer, key, one).answer, answer("b", buyer, key, other).answer
    assert first.status == second.status
    assert (first.reference == second.reference) is (buyer.honours_idempotency_key or one == other)


@given(buyers, keys)
def test_failures_end_after_their_first_sights(buyer: Buyer, key: str) -> None:
    assert answer("b", buyer, key, 4).failure is None


@given(buyers, keys, st.integers(1, 6))
def test_only_an_acceptance_is_lied_about_and_only_it_has_a_price(buyer: Buyer, key: str, sights: int) -> None:
    decision = answer("b", buyer, key, sights)
    if decision.failure is Mode.LYING_500:
        assert decision.answer.status is Status.ACCEPTED
    if decision.answer.status is not Status.ACCEPTED:
        assert decision.answer.price is None
        assert decision.answer.reason
    assert decision.records is (decision.failure not in (Mode.ERROR_500, Mode.ERROR_503))


@given(buyers, keys, st.integers(1, 6))
def test_latency_is_within_its_range(buyer: Buyer, key: str, sights: int) -> None:
    least, most = buyer.latency_ms if isinstance(buyer.latency_ms, tuple) else (buyer.latency_ms, buyer.latency_ms)
    assert least <= answer("b", buyer, key, sights).latency_ms <= most


@pytest.mark.parametrize(("acceptance", "status"), [(1.0, Status.ACCEPTED), (0.0, Status.REJECTED)])
def test_the_ends_of_acceptance_are_certain(acceptance: float, status: Status) -> None:
    buyer = Buyer(acceptance=acceptance)
    assert {answer("b", buyer, f"key-{n}", 1).answer.status for n in range(2000)} == {status}


def test_shares_come_out() -> None:
    buyer = Buyer(acceptance=0.7, duplicates=0.1, failures=(Failure(mode=Mode.CUT, rate=0.05),))
    decisions = [answer("b", buyer, f"key-{n}", 1) for n in range(20_000)]
    assert sum(d.answer.status is Status.ACCEPTED for d in decisions) == pytest.approx(14_000, rel=0.03)
    assert sum(d.answer.status is Status.DUPLICATE for d in decisions) == pytest.approx(2_000, rel=0.1)
    assert sum(d.failure is Mode.CUT for d in decisions) == pytest.approx(1_000, rel=0.15)


@pytest.mark.parametrize(
    "text",
    [
        "buyers: {b: {acceptance: 1.5}}",
        "buyers: {b: {acceptance: 0.9, duplicates: 0.2}}",
        "buyers: {b: {latency_ms: [9, 2]}}",
        "buyers: {b: {failures: [{mode: explode, rate: 1}]}}",
        "buyers: {b: {aceptance: 1}}",
        "buyers: [",
        "",
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sandbox.yaml"
    path.write_text(text)
    with pytest.raises(SandboxConfigError, match=r"sandbox\.yaml"):
        load(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SandboxConfigError, match="--config"):
        load(tmp_path / "none.yaml")
