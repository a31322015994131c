"""Who is erased, asked of the records of a replay."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from kit.events import LEAD, MOMENT, event

from schemas.codec import encode
from schemas.events import Event, LeadUnique, LeadValidated
from schemas.identity import lead_id_at, person
from schemas.record import KafkaRecord
from streams.replay.erased import Erased
from streams.tables import milliseconds

SECRET = b"a key for tests only"
PHONE, EMAIL = "+14155550123", "ada@analytical.com"
ASKED_AT = MOMENT + timedelta(hours=1)
BY_PHONE = Erased(frozenset(), {person(SECRET, phone=PHONE, email=None): ASKED_AT}, SECRET)
BY_EMAIL = Erased(frozenset(), {person(SECRET, phone=None, email=EMAIL): ASKED_AT}, SECRET)


def raw(value: bytes, *, after: timedelta = timedelta(0), headers: tuple[tuple[str, bytes], ...] = ()) -> KafkaRecord:
    return KafkaRecord("leads", 2, 9, milliseconds(MOMENT + after), None, value, headers)


def lead(**fields: object) -> KafkaRecord:
    return raw(json.dumps(fields).encode())


def of(sent: Event) -> KafkaRecord:
    return KafkaRecord(sent.TOPIC.name, 2, 9, 0, b"key", encode(sent))


def test_nobody_is_erased_at_first() -> None:
    assert not Erased()
    assert not Erased().has(lead(phone=PHONE))
    assert not Erased(secret=SECRET).has(raw(b"no lead"))


def test_right_to_erasure_by_the_lead_s_id() -> None:
    known = uuid4()
    erased = Erased(frozenset({known, lead_id_at("leads", 2, 9)}))
    assert erased.has(lead(lead_id=str(known)))
    assert erased.has(raw(b"not even JSON"))  # its place in the log is its id
    assert erased.has(raw(b"{}", headers=(("leadline-lead-id", str(known).encode()),)))
    assert not erased.has(lead(lead_id=str(uuid4()), phone=PHONE))
    for model in (LeadValidated, LeadUnique):
        assert erased.has(of(event(model, known)))
        assert not erased.has(of(event(model)))


@pytest.mark.parametrize(
    "fields",
    [
        {"phone": PHONE},
        {"Mobile": "(415) 555-0123"},
        {"phone": 4155550123},
        {"tel": " 1.415.555.0123 "},
        {"tel": "４１５ 555 0123"},
        {"tel": "415-555-0123 ext. 4"},
        {"tel": "+1/415/555/0123"},
        {"comment": "call 4155550124 or 415-555-0123, please"},
        {"contact": {"phones": ["212-555-0100", "+1 415 555 0123"]}},
    ],
)
def test_right_to_erasure_by_a_phone_that_was_never_validated(fields: dict[str, object]) -> None:
    assert BY_PHONE.has(lead(**fields))
    assert not BY_EMAIL.has(lead(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"email": EMAIL},
        {"E-Mail": " Ada@Analytical.COM"},
        {"phone": "+12125550100", "email": EMAIL},
        {"comment": "Ada <ada@analytical.com>."},
        {"contact": {"email": EMAIL, "name": "Ada"}},
    ],
)
def test_right_to_erasure_by_an_email_that_was_never_validated(fields: dict[str, object]) -> None:
    assert BY_EMAIL.has(lead(**fields))
    assert not BY_PHONE.has(lead(**fields))


@pytest.mark.parametrize("fields", [{}, {"phone": "+14155550124", "email": "bob@analytical.com"}, {"zip": "94110"}])
def test_others_pass(fields: dict[str, object]) -> None:
    assert not BY_PHONE.has(lead(**fields))
    assert not BY_EMAIL.has(lead(**fields))


def test_who_comes_again_after_the_erasure_is_a_new_matter() -> None:
    value = json.dumps({"phone": PHONE}).encode()
    assert BY_PHONE.has(raw(value, after=timedelta(hours=1)))
    assert not BY_PHONE.has(raw(value, after=timedelta(hours=1, milliseconds=1)))
    later = event(LeadUnique, person=next(iter(BY_PHONE.persons)), received_at=ASKED_AT + timedelta(seconds=1))
    assert not BY_PHONE.has(of(later))


@pytest.mark.parametrize("model", [LeadValidated, LeadUnique])
def test_right_to_erasure_of_what_was_validated(model: type[Event]) -> None:
    hers = LEAD.model_copy(update={"phone": PHONE, "email": EMAIL})
    by_person = Erased(frozenset(), {"pseudonym": ASKED_AT}, SECRET)
    assert by_person.has(of(event(model, person="pseudonym")))
    assert not by_person.has(of(event(model, person="another", lead=hers)))
    for erased in (BY_PHONE, BY_EMAIL):  # whoever is known by the email may have been routed by the phone
        assert erased.has(of(event(model, UUID(int=1), lead=hers)))
        assert not erased.has(of(event(model, UUID(int=1))))


def test_it_does_not_show_the_key() -> None:
    assert "key for tests" not in repr(BY_PHONE)
