"""Ids are functions of what they name, and pseudonyms need their key."""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import texts

from schemas.identity import Step, event_id, idempotency_key, lead_id_at, person

places = st.tuples(st.sampled_from(["leads", "leads.validated"]), st.integers(0, 99), st.integers(0, 2**40))
events = st.tuples(st.sampled_from(Step), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))


def test_released_ids_never_change() -> None:
    """A replay after an upgrade must give the ids that the warehouse already has."""
    lead = lead_id_at("leads", 3, 42)
    assert lead == UUID("dbb86089-193e-52ec-817f-4ac441e06d59")
    assert event_id(lead, Step.ROUTING, 1, 2) == UUID("6f185003-a288-596c-88d3-f085378ebaf3")
    assert idempotency_key(lead, "sunpath-west") == UUID("cd8b1d99-387f-58aa-a868-9cf7475e9c9a")
    assert person(b"k" * 16, phone="+14045550123", email=None) == "da55f2e051e181f98706594647475d41"


@given(places, places)
def test_a_place_has_one_id(one: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    assert (lead_id_at(*one) == lead_id_at(*other)) == (one == other)


@given(st.uuids(), events, st.uuids(), events)
def test_an_event_has_one_id(
    lead: UUID, one: tuple[Step, int, int], lead_2: UUID, other: tuple[Step, int, int]
) -> None:
    assert (event_id(lead, *one) == event_id(lead_2, *other)) == ((lead, *one) == (lead_2, *other))
    assert (event_id(lead, *one) == event_id(lead, *other)) == (one == other)


@given(st.uuids(), texts, texts)
def test_a_post_has_one_key_and_no_event_has_it(lead: UUID, one: str, other: str) -> None:
    assert (idempotency_key(lead, one) == idempotency_key(lead, other)) == (one == other)
    assert all(idempotency_key(lead, "0:0") != event_id(lead, step) for step in Step)


def test_a_person_is_known_by_phone_else_by_email() -> None:
    key, other = b"k" * 16, b"K" * 16
    by_phone = person(key, phone="+14045550123", email="ada@example.com")
    assert by_phone == person(key, phone="+14045550123", email=None)
    assert by_phone != person(other, phone="+14045550123", email=None)
    assert person(key, phone=None, email="ada@example.com") == person(key, phone="", email="ada@example.com")
    assert person(key, phone="x", email=None) != person(key, phone=None, email="x")
    with pytest.raises(ValueError, match="a phone or an email"):
        person(key, phone="", email=None)


def test_a_pseudonym_is_no_plain_hash_and_holds_nothing() -> None:
    pseudonym = person(b"k" * 16, phone="+14045550123", email=None)
    assert len(pseudonym) == 32
    assert int(pseudonym, 16) >= 0
    assert pseudonym not in hashlib.sha256(b"phone:+14045550123").hexdigest()


@given(st.uuids(), st.sampled_from(Step), st.integers(0, 2**31 - 1), st.integers(0, 2**16 - 1), st.text())
def test_ids_are_uuids_by_name_of_the_standard(lead: UUID, step: Step, run: int, attempt: int, name: str) -> None:
    made = event_id(lead, step, run, attempt)
    assert made == uuid5(lead, f"{step}:{run}:{attempt}")
    assert (made.version, made.is_safe, str(made)) == (5, lead.is_safe, str(UUID(str(made))))
    assert idempotency_key(lead, name) == uuid5(lead, f"post:{name}")
