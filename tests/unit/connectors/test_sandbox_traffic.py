"""Generated traffic is what it says, by the libraries that validation uses."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import phonenumbers
import pytest
import zipcodes
from email_validator import EmailNotValidError, validate_email

from connectors.sandbox.territory import CAPPED, DECLINED, OUT_OF_AREA, SERVED, STATE_NAMES
from connectors.sandbox.traffic import DEFAULT_MIX, Expected, Kind, Mix, Traffic, generate
from schemas.codec import UndecodableError, decode_raw_lead
from schemas.reasons import Reason

CODES = {name.lower(): code for code, name in STATE_NAMES.items()}


@pytest.fixture(scope="module", params=[1, 7, 2026])
def traffic(request: pytest.FixtureRequest) -> Traffic:
    return generate(request.param)


def leads(traffic: Traffic, *kinds: Kind) -> list[dict[str, Any]]:
    pairs = zip(traffic.records, traffic.kinds, strict=True)
    return [json.loads(value) for value, kind in pairs if kind in kinds]


def state(lead: dict[str, Any]) -> str | None:
    text = lead["state"].strip()
    return text.upper() if text.upper() in STATE_NAMES else CODES.get(text.lower())


def phone(lead: dict[str, Any]) -> str | None:
    if "phone" not in lead:
        return None
    try:
        number = phonenumbers.parse(lead["phone"], "US")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def email(lead: dict[str, Any]) -> str | None:
    if "email" not in lead:
        return None
    try:
        return validate_email(lead["email"].strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return None


def zip_state(lead: dict[str, Any]) -> str | None:
    rows = zipcodes.matching(lead["zip"].strip())
    return rows[0]["state"] if rows else None


def is_good(lead: dict[str, Any]) -> bool:
    contacts = [(name in lead, read(lead)) for name, read in (("phone", phone), ("email", email))]
    return (
        any(given for given, _ in contacts)
        and all(read is not None for given, read in contacts if given)
        and bool(lead["first_name"].strip() and lead["last_name"].strip())
        and lead["vertical"] in SERVED
        and state(lead) is not None
        and state(lead) == zip_state(lead)
    )


def test_a_seed_gives_identical_bytes() -> None:
    assert generate(5) == generate(5)
    assert set(generate(5).records).isdisjoint(
        set(generate(6).records) - {b"", b"null", b'"lead"', b"[" * 20_000 + b"]" * 20_000}
    )


def test_counts(traffic: Traffic) -> None:
    assert len(traffic.records) == 1000
    assert Counter(traffic.kinds) == {
        Kind.SELLABLE: 780,
        Kind.DUPLICATES: 70,
        Kind.INVALID: 60,
        Kind.OUT_OF_AREA: 40,
        Kind.CAPPED: 25,
        Kind.DECLINED: 15,
        Kind.MALFORMED: 10,
    }
    assert traffic.expected == Expected(
        raw=1000, rejected=60, duplicate=70, unrouted=40, delivered=790, undelivered=30, dead=10
    )


def test_good_leads_are_good_and_in_their_place(traffic: Traffic) -> None:
    for lead in leads(traffic, Kind.SELLABLE, Kind.DUPLICATES):
        assert is_good(lead), lead
        assert state(lead) in SERVED[lead["vertical"]]
    for lead in leads(traffic, Kind.OUT_OF_AREA):
        assert is_good(lead), lead
        assert state(lead) in OUT_OF_AREA
    for kind, place in ((Kind.CAPPED, CAPPED), (Kind.DECLINED, DECLINED)):
        for lead in leads(traffic, kind):
            assert is_good(lead), lead
            assert (lead["vertical"], state(lead)) == place


def test_phones_are_of_the_state(traffic: Traffic) -> None:
    for lead in leads(traffic, Kind.SELLABLE, Kind.OUT_OF_AREA, Kind.CAPPED, Kind.DECLINED):
        if number := phone(lead):
            row = zipcodes.matching(lead["zip"].strip())[0]
            assert number[2:5] in row["area_codes"]
            assert phonenumbers.region_code_for_number(phonenumbers.parse(number)) == "US"


def test_lead_ids_are_unique_canonical_and_version_4(traffic: Traffic) -> None:
    everyone = leads(traffic, *(kind for kind in Kind if kind is not Kind.MALFORMED))
    assert len({lead["lead_id"] for lead in everyone}) == len(everyone) == 990
    assert all(lead["lead_id"] == lead["lead_id"].lower() and lead["lead_id"][14] == "4" for lead in everyone)


def test_persons_are_unique_but_for_duplicates(traffic: Traffic) -> None:
    persons = leads(traffic, Kind.SELLABLE, Kind.OUT_OF_AREA, Kind.CAPPED, Kind.DECLINED, Kind.INVALID)
    phones = [number for lead in persons if (number := phone(lead))]
    emails = [address for lead in persons if (address := email(lead))]
    assert len(phones) == len(set(phones))
    assert len(emails) == len(set(emails))
    only_email = [lead for lead in leads(traffic, Kind.SELLABLE) if "phone" not in lead]
    assert 30 <= len(only_email) <= 100
    assert any("+" in lead["email"] for lead in persons if "email" in lead)


def test_duplicates_follow_their_original_and_are_typed_anew(traffic: Traffic) -> None:
    first: dict[tuple[str | None, str | None], tuple[int, dict[str, Any]]] = {}
    copies = 0
    repeated = []
    for index, (value, kind) in enumerate(zip(traffic.records, traffic.kinds, strict=True)):
        if kind not in (Kind.SELLABLE, Kind.DUPLICATES):
            continue
        lead = json.loads(value)
        identity = phone(lead), email(lead)
        if kind is Kind.SELLABLE:
            first[identity] = index, lead
            continue
        place, original = first[identity]
        assert place < index
        assert (lead["vertical"], state(lead), lead["zip"].strip()) == (
            original["vertical"],
            state(original),
            original["zip"].strip(),
        )
        same = {**lead, "lead_id": ""} == {**original, "lead_id": ""}
        copies += same
        assert same or any(lead.get(name) != original.get(name) for name in ("phone", "email"))
        repeated.append(identity)
    assert len(set(repeated)) == len(repeated) == 70
    assert 1 <= copies <= 35


def test_invalid_leads_fail_for_their_reason(traffic: Traffic) -> None:
    failing = {
        Reason.CONTACT_MISSING: lambda lead: "phone" not in lead and "email" not in lead,
        Reason.PHONE_INVALID: lambda lead: phone(lead) is None and "email" not in lead,
        Reason.EMAIL_INVALID: lambda lead: email(lead) is None and "phone" not in lead,
        Reason.FIRST_NAME_MISSING: lambda lead: not lead["first_name"].strip(),
        Reason.LAST_NAME_MISSING: lambda lead: not lead["last_name"].strip(),
        Reason.ZIP_UNKNOWN: lambda lead: zip_state(lead) is None,
        Reason.STATE_UNKNOWN: lambda lead: state(lead) is None,
        Reason.STATE_ZIP_MISMATCH: lambda lead: state(lead) and zip_state(lead) and state(lead) != zip_state(lead),
        Reason.VERTICAL_UNKNOWN: lambda lead: lead["vertical"] not in SERVED,
    }
    invalid = leads(traffic, Kind.INVALID)
    assert {lead["lead_id"] for lead in invalid} == set(traffic.rejections)
    assert set(traffic.rejections.values()) == set(failing)
    for lead in invalid:
        assert not is_good(lead)
        assert failing[traffic.rejections[lead["lead_id"]]](lead), lead


def test_malformed_records_are_undecodable_each_in_its_way(traffic: Traffic) -> None:
    reasons = []
    for value, kind in zip(traffic.records, traffic.kinds, strict=True):
        if kind is Kind.MALFORMED:
            with pytest.raises(UndecodableError) as caught:
                decode_raw_lead(value)
            reasons.append(caught.value.reason)
        else:
            decode_raw_lead(value)
    assert set(reasons) == {
        Reason.VALUE_EMPTY,
        Reason.VALUE_NOT_UTF8,
        Reason.VALUE_NOT_JSON,
        Reason.VALUE_NOT_OBJECT,
        Reason.VALUE_TOO_DEEP,
        Reason.SCHEMA_UNKNOWN,
    }


def test_people_type_in_many_ways(traffic: Traffic) -> None:
    everyone = leads(traffic, Kind.SELLABLE)
    shapes = {"".join("9" if c.isdigit() else c for c in lead["phone"].strip()) for lead in everyone if "phone" in lead}
    assert {"999-999-9999", "(999) 999-9999", "+9 (999) 999-9999", "999.999.9999", "9999999999"} <= shapes
    assert any(len(lead["state"].strip()) > 2 for lead in everyone)
    names = "".join(lead["first_name"] + lead["last_name"] for lead in everyone)
    assert {"'", "-", "é"} <= set(names)


@pytest.mark.parametrize("total", [0, 1, 7, 100, 999, 1000, 1001, 20_000])
def test_a_scaled_mix_has_the_total(total: int) -> None:
    mix = DEFAULT_MIX.scaled(total)
    assert mix.total == total
    assert mix.sellable == pytest.approx(total * 0.78, abs=1)
    assert Expected.of(mix).raw == total


def test_the_cap_is_reached_once() -> None:
    expected = Expected.of(Mix(sellable=0, duplicates=0, invalid=0, out_of_area=0, capped=250, declined=0, malformed=0))
    assert (expected.delivered, expected.undelivered) == (10, 240)


def test_impossible_mixes_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicates"):
        Mix(sellable=1, duplicates=2)
    with pytest.raises(ValueError, match="negative"):
        Mix(invalid=-1)
    with pytest.raises(ValueError, match="add up"):
        Expected(raw=2, rejected=1, duplicate=0, unrouted=0, delivered=0, undelivered=0, dead=0)
