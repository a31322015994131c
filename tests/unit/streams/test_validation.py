"""The rules of validation: what people type, and what becomes of it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import zipcodes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kit.builders import NOW, SECRET, configuration, context, lead_id, raw_fields

from schemas.events import LeadRejected, LeadValidated
from schemas.identity import lead_id_at, person
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from streams.stage import Output
from streams.validation.rules import validate
from streams.validation.stage import Validation
from streams.validation.states import NAMES, state_code


def lead_of(**changes: str) -> Any:
    verdict = validate(raw_fields(**changes), NOW)
    assert verdict.lead is not None, verdict.rejections
    return verdict.lead


def reasons_of(**changes: str) -> list[str]:
    verdict = validate(raw_fields(**changes), NOW)
    assert (verdict.lead is None) == bool(verdict.rejections)
    return [rejection.reason for rejection in verdict.rejections]


@pytest.mark.parametrize(
    "typed",
    [
        "404-555-0123",
        "(404) 555-0123",
        "404.555.0123",
        "4045550123",
        "1-404-555-0123",
        "+1 (404) 555-0123",
        "+14045550123",
        "001-404-555-0123"[2:],
        " 404 555 0123 ",
        "404-555-0123 ext. 7",
        "404\u2011555\u20110123",  # hyphens that do not break
        "\u202d404-555-0123\u202c",  # as copied from an address book
        "４０４-５５５-０１２３",
        "404\u00a0555\u00a00123",
    ],
)
def test_phones_as_people_type_them(typed: str) -> None:
    assert lead_of(phone=typed).phone == "+14045550123"


@pytest.mark.parametrize("typed", ["+1 416 555 0123", "(787) 555-0123"])
def test_the_whole_north_american_plan_is_valid(typed: str) -> None:
    assert lead_of(phone=typed).phone.startswith("+1")


@pytest.mark.parametrize(
    "typed",
    ["555-0123", "404-555-01", "(123) 456-7890", "000-000-0000", "call me", "n/a", "+44 20 7946 0958", "9" * 300, "١"],
)
def test_phones_that_are_none(typed: str) -> None:
    assert reasons_of(phone=typed) == [Reason.PHONE_INVALID]


@pytest.mark.parametrize(
    ("typed", "email"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada@Example.COM ", "ada@example.com"),
        ("ada+solar@example.com", "ada+solar@example.com"),
        ("ada.lovelace@mail.example.co.uk", "ada.lovelace@mail.example.co.uk"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("zoë@example.com", "zoë@example.com"),
        ("ada@bücher.example", "ada@bücher.example"),
        ("\u200bada@example.com\ufeff", "ada@example.com"),
        ("ada＠example.com", "ada@example.com"),
    ],
)
def test_emails_as_people_type_them(typed: str, email: str) -> None:
    assert lead_of(email=typed).email == email


@pytest.mark.parametrize(
    "typed",
    ["jane.example.com", "jane@", "@example.com", "jane doe@example.com", "a@@b.com", "n/a", "a@localhost", "a@b..com"],
)
def test_emails_that_are_none(typed: str) -> None:
    assert reasons_of(email=typed) == [Reason.EMAIL_INVALID]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ada", "Ada"),
        ("ADA", "Ada"),
        ("McDonald", "McDonald"),
        ("de la Cruz", "de la Cruz"),
        ("o'neil", "O'Neil"),
        ("  mary   ann ", "Mary Ann"),
        ("JEAN-LUC", "Jean-Luc"),
        ("zoë", "Zoë"),
        ("zoe\u0308", "Zoë"),
        ("李", "李"),
        ("Nguyễn", "Nguyễn"),
        ("أحمد", "أحمد"),
        ("X Æ A-12", "X Æ A-12"),
        ("J.", "J."),
    ],
)
def test_names_as_people_type_them(typed: str, name: str) -> None:
    assert lead_of(first_name=typed).first_name == name


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", Reason.FIRST_NAME_MISSING),
        (" \u00a0\u200b ", Reason.FIRST_NAME_MISSING),
        ("123", Reason.NAME_INVALID),
        ("--", Reason.NAME_INVALID),
        ("a\x00b", Reason.NAME_INVALID),
        ("a" * 101, Reason.NAME_INVALID),
    ],
)
def test_names_that_are_none(typed: str, reason: Reason) -> None:
    assert reasons_of(first_name=typed) == [reason]


@pytest.mark.parametrize("typed", ["30303", "30303-1234", "303031234", " 30303 ", "30303 - 1234", "３０３０３"])
def test_zip_codes_as_people_type_them(typed: str) -> None:
    lead = lead_of(zip=typed)
    assert (lead.zip, lead.state) == ("30303", "GA")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", Reason.ZIP_MISSING),
        ("3030", Reason.ZIP_UNKNOWN),
        ("00000", Reason.ZIP_UNKNOWN),
        ("K1A 0B1", Reason.ZIP_UNKNOWN),
        ("30303-12", Reason.ZIP_UNKNOWN),
        ("٣٠٣٠٣", Reason.ZIP_UNKNOWN),
        ("3030३", Reason.ZIP_UNKNOWN),
        ("30303; DROP", Reason.ZIP_UNKNOWN),
    ],
)
def test_zip_codes_that_are_none(typed: str, reason: Reason) -> None:
    assert reasons_of(zip=typed) == [reason]


@pytest.mark.parametrize("typed", ["GA", "ga", " Ga ", "Georgia", "GEORGIA", "G.A.", ""])
def test_states_as_people_type_them(typed: str) -> None:
    assert lead_of(state=typed).state == "GA"


@pytest.mark.parametrize("typed", ["ZZ", "Ontario", "N/A", "Atlanta"])
def test_states_that_are_none(typed: str) -> None:
    assert reasons_of(state=typed) == [Reason.STATE_UNKNOWN]


def test_a_state_that_is_not_its_zip_codes() -> None:
    assert reasons_of(state="Alabama") == [Reason.STATE_ZIP_MISMATCH]


def test_every_state_goes_by_its_code_and_its_name() -> None:
    assert all(state_code(code) == state_code(name) == code for code, name in NAMES.items())
    assert len(set(NAMES.values())) == len(NAMES)


@cache
def zip_of_each_state() -> Mapping[str, str]:
    return {row["state"]: row["zip_code"] for row in zipcodes.list_all()}  # type: ignore[no-untyped-call]


def test_whatever_state_a_zip_code_is_in_can_be_typed() -> None:
    """Military and island ZIP codes too: a lead must not pass without its state and fail with it."""
    for state, zip_code in zip_of_each_state().items():
        assert lead_of(zip=zip_code, state=state).state == lead_of(zip=zip_code, state="").state == state


def test_either_contact_is_enough_but_each_must_be_valid() -> None:
    assert lead_of(phone="").phone is None
    assert lead_of(email="").email is None
    assert reasons_of(phone="", email=" ") == [Reason.CONTACT_MISSING]
    assert reasons_of(phone="", email="n/a") == [Reason.EMAIL_INVALID]
    assert reasons_of(phone="n/a") == [Reason.PHONE_INVALID]


def test_all_reasons_are_given_at_once() -> None:
    verdict = validate({"phone": "n/a", "email": "n/a", "zip": "0", "state": "ZZ"}, NOW)
    assert {r.reason for r in verdict.rejections} == {
        Reason.FIRST_NAME_MISSING,
        Reason.LAST_NAME_MISSING,
        Reason.PHONE_INVALID,
        Reason.EMAIL_INVALID,
        Reason.ZIP_UNKNOWN,
        Reason.STATE_UNKNOWN,
    }


def test_every_other_field_is_kept_as_it_came() -> None:
    assert lead_of(roof_age=" 12 ", sub_id="").extra == {"roof_age": " 12 ", "sub_id": ""}


# Properties

anything = st.text(max_size=15)
letters = st.text(st.characters(categories=["L", "M", "Cf", "Zs", "Pd"]), max_size=20)
digits = st.text(st.characters(categories=["Nd", "Pd", "Zs"]) | st.sampled_from("0123456789"), max_size=12)
emails = st.builds("{}@{}.com".format, letters, st.sampled_from(["example", "BÜCHER", "ｍail", "İx"]))
hostile = st.fixed_dictionaries(
    {},
    optional={
        "first_name": letters | anything,
        "last_name": letters | anything,
        "phone": digits | anything,
        "email": emails | anything,
        "zip": digits | anything,
        "state": anything | st.sampled_from(sorted(NAMES)),
        "vertical": anything,
        "lead_id": anything,
    },
)


@settings(max_examples=600)
@given(hostile, st.dictionaries(anything, anything, max_size=2))
def test_no_text_makes_validation_raise(raw: dict[str, str], more: dict[str, str]) -> None:
    verdict = validate(more | raw, NOW)
    assert (verdict.lead is None) == bool(verdict.rejections)


@settings(max_examples=600)
@given(hostile)
@example({"first_name": "ŉ" * 60})
@example({"first_name": "ΐ" * 40})
@example({"first_name": "a\u200d\u0301"})
@example({"email": "İ@example.com"})
def test_a_normalised_lead_is_as_normal_as_it_gets(raw: dict[str, str]) -> None:
    for name in raw:  # one hostile field at a time, else nothing would pass
        lead = validate(raw_fields(state="", **{name: raw[name]} if name != "state" else {}), NOW).lead
        if lead is not None:
            normal = lead.model_dump(exclude={"extra", "test", "consent"}, exclude_none=True)
            again = validate(normal, NOW)
            assert again.lead == lead.model_copy(update={"extra": {}}), again.rejections
            for text in (lead.first_name, lead.last_name):
                assert unicodedata.is_normalized("NFKC", text)


marked = st.builds("{}Xq7{}".format, anything, anything)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("first_name", "last_name", "phone", "email", "zip", "state", "vertical", "source"), marked
        ),
    ),
    st.sampled_from(["", "Xq7"]),
)
def test_nothing_typed_is_in_a_reason(raw: dict[str, str], lead_id_text: str) -> None:
    event = through({**raw_fields(), **raw, "lead_id": lead_id_text})
    if isinstance(event, LeadRejected):
        for rejection in event.reasons:
            assert "xq7" not in rejection.model_dump_json().lower()
            assert rejection.reason in set(Reason)
        assert "xq7" not in event.vertical.lower()


# The stage

STAGE = Validation()


def through(fields: dict[str, str], *headers: tuple[str, bytes], offset: int = 7) -> Any:
    timestamp = round(NOW.timestamp() * 1000)
    record = KafkaRecord("leads", 0, offset, timestamp, None, json.dumps(fields).encode(), headers)
    (output,) = STAGE.process([STAGE.decode(record)], None, context(configuration()))  # type: ignore[arg-type]
    assert isinstance(output, Output)
    event = output.value
    assert isinstance(event, LeadValidated | LeadRejected)
    assert output.topic == event.TOPIC.name
    assert output.key == (event.person if isinstance(event, LeadValidated) else str(event.lead_id)).encode()
    return event


def test_a_valid_lead_is_keyed_by_its_person() -> None:
    event = through(raw_fields(lead_id=str(lead_id("a"))))
    assert event.person == person(SECRET, phone="+14045550123", email=None)
    assert event.lead_id == lead_id("a")
    assert event.received_at == NOW
    assert event.raw == raw_fields(lead_id=str(lead_id("a")))


def test_one_person_typed_in_two_ways_is_one_person() -> None:
    ways = [raw_fields(), raw_fields(phone="+1 (404) 555-0123", email="", first_name="Augusta")]
    assert len({through(fields).person for fields in ways}) == 1


def test_a_vertical_must_be_configured() -> None:
    assert [r.reason for r in through(raw_fields(vertical=" ")).reasons] == [Reason.VERTICAL_MISSING]
    unknown = through(raw_fields(vertical="ada@example.com"))
    assert [r.reason for r in unknown.reasons] == [Reason.VERTICAL_UNKNOWN]
    assert unknown.vertical == ""


def test_a_lead_id_that_is_none_is_rejected_under_its_place() -> None:
    event = through(raw_fields(lead_id="42"))
    assert [r.reason for r in event.reasons] == [Reason.LEAD_ID_INVALID]
    assert event.lead_id == lead_id_at("leads", 0, 7)


def test_a_replay_has_its_run_and_the_first_arrival() -> None:
    event = through(raw_fields(), ("leadline-run", b"3"), ("leadline-received-at", b"1000"))
    assert event.run == 3
    assert event.received_at.timestamp() == 1
    assert event.event_id != through(raw_fields()).event_id
