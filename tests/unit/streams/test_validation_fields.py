"""Typed fields: what people type, what is kept of it, and what expressions compare."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.config.field import PARTS, SAMPLES, Field, FieldType
from schemas.reasons import Reason
from streams.validation.contacts import parse_email, parse_phone
from streams.validation.field_types import Fault, Read, read
from streams.validation.folding import folded
from streams.validation.parts import parts_of

CHOICES = {"single_family": ("house", "detached home"), "condo": ()}


def field_of(kind: str, **options: Any) -> Field:
    if kind == "choice":
        options.setdefault("choices", CHOICES)
    return Field(name="asked", type=FieldType(kind), **options)


DAY = datetime(1980, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "typed", "text", "value"),
    [
        ("text", "  two\u00a0 words ", "two words", "two words"),
        ("phone", "(404) 555-0123", "+14045550123", "+14045550123"),
        ("email", " Ada@Example.COM", "ada@example.com", "ada@example.com"),
        ("us_zip", "30303-1234", "30303", "30303"),
        ("us_state", "georgia", "GA", "GA"),
        ("date", "1980-02-03", "1980-02-03", DAY),
        ("date", "2/3/1980", "1980-02-03", DAY),
        ("date", "02-03-1980", "1980-02-03", DAY),
        ("date", "1980-02-03T04:05:06Z", "1980-02-03", DAY),
        ("age", "035", "35", 35),
        ("number", "$1,234.50", "1234.5", 1234.5),
        ("number", "-0", "0", 0.0),
        ("number", ".5", "0.5", 0.5),
        ("number", "+12", "12", 12.0),
        ("money", "$1,234.5", "1234.50", 1234.5),
        ("money", "150", "150.00", 150.0),
        ("money", "0.1234", "0.1234", 0.1234),
        ("boolean", "YES", "true", True),
        ("boolean", "0", "false", False),
        ("choice", "Single-Family", "single_family", "single_family"),
        ("choice", "detached  HOME", "single_family", "single_family"),
        ("ip", "2001:0db8::0001", "2001:db8::1", "2001:db8::1"),
        ("ip", "203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("url", "HTTPS://Ada:Pw@Example.com:8443/A?b=C#D", "https://Ada:Pw@example.com:8443/A?b=C#D", None),
    ],
)
def test_row_44_typed_fields_with_normalisation(kind: str, typed: str, text: str, value: object) -> None:
    found = read(field_of(kind), typed)
    assert found == Read(text, text if value is None else value)


@pytest.mark.parametrize(
    ("kind", "typed", "reason"),
    [
        ("text", "x" * 1001, Reason.FIELD_TOO_LONG),
        ("phone", "404", Reason.PHONE_INVALID),
        ("email", "ada@", Reason.EMAIL_INVALID),
        ("us_zip", "00000", Reason.ZIP_UNKNOWN),
        ("us_state", "Ontario", Reason.STATE_UNKNOWN),
        ("date", "1980-02-30", Reason.FIELD_INVALID),
        ("date", "31/12/1980", Reason.FIELD_INVALID),
        ("date", "2/3/80", Reason.FIELD_INVALID),
        ("age", "-1", Reason.FIELD_INVALID),
        ("age", "131", Reason.FIELD_INVALID),
        ("age", "thirty", Reason.FIELD_INVALID),
        ("number", "1,23", Reason.FIELD_INVALID),
        ("number", "100-150", Reason.FIELD_INVALID),
        ("number", "1e9", Reason.FIELD_INVALID),
        ("number", "NaN", Reason.FIELD_INVALID),
        ("number", ".", Reason.FIELD_INVALID),
        ("number", "1234567890123456", Reason.FIELD_INVALID),
        ("money", "0.12345", Reason.FIELD_INVALID),
        ("boolean", "maybe", Reason.FIELD_INVALID),
        ("choice", "castle", Reason.FIELD_CHOICE_UNKNOWN),
        ("ip", "256.1.1.1", Reason.FIELD_INVALID),
        ("url", "javascript:alert(1)", Reason.FIELD_INVALID),
        ("url", "https://exa mple.com", Reason.FIELD_INVALID),
    ],
)
def test_what_is_none_of_its_type(kind: str, typed: str, reason: Reason) -> None:
    found = read(field_of(kind), typed)
    assert isinstance(found, Fault)
    assert found.reason is reason
    assert typed not in found.detail


@pytest.mark.parametrize(
    ("kind", "options", "typed", "reason"),
    [
        ("number", {"minimum": 10}, "10", None),
        ("number", {"minimum": 10}, "9.99", Reason.FIELD_OUT_OF_RANGE),
        ("money", {"maximum": "100.50"}, "$100.51", Reason.FIELD_OUT_OF_RANGE),
        ("age", {"minimum": 18, "maximum": 80}, "17", Reason.FIELD_OUT_OF_RANGE),
        ("age", {"minimum": 18, "maximum": 80}, "80", None),
        ("date", {"minimum": "2000-01-01"}, "12/31/1999", Reason.FIELD_OUT_OF_RANGE),
        ("date", {"formats": ("%d.%m.%Y", "%d %B %Y")}, "3 February 1980", None),
        ("date", {"formats": ("%d.%m.%Y",)}, "2/3/1980", Reason.FIELD_INVALID),
        ("text", {"pattern": "[A-Z]{2}[0-9]+"}, "AB12", None),
        ("text", {"pattern": "[A-Z]{2}[0-9]+"}, "AB12x", Reason.FIELD_INVALID),
        ("text", {"maximum_length": 3}, "abcd", Reason.FIELD_TOO_LONG),
    ],
)
def test_options_of_a_field(kind: str, options: dict[str, Any], typed: str, reason: Reason | None) -> None:
    found = read(field_of(kind, **options), typed)
    assert (found.reason if isinstance(found, Fault) else None) is reason


def test_nothing_typed_is_nothing_read() -> None:
    assert all(read(field_of(kind), " \u200b ") is None for kind in FieldType)


written = st.one_of(
    st.text(max_size=20),
    st.text("0123456789-/.:,$+ ()T", max_size=20),
    st.from_regex(r"https?://[a-zA-Z0-9.\-]{1,12}[/?#]?[^\s]{0,8}", fullmatch=True),
    st.dates().map(str),
    st.decimals(allow_nan=False).map(str),
    st.ip_addresses().map(str),
    st.emails(),
    st.sampled_from(["House", "single family", "Georgia", "30303", "4045550123", "Yes"]),
)


@settings(max_examples=300)
@given(st.sampled_from(FieldType), written)
@example(FieldType.TEXT, "\u00a8x")
@example(FieldType.URL, "http://K.com")
def test_normalising_twice_is_normalising_once_and_never_raises(kind: FieldType, typed: str) -> None:
    found = read(field_of(kind), typed)
    if isinstance(found, Read):
        assert read(field_of(kind), found.text) == found
        assert type(found.value) is type(SAMPLES[kind])
        assert set(parts_of(kind, found.text, date(2026, 3, 4))) == set(PARTS.get(kind, {}))


plainly = st.builds(
    lambda prefix, area, left, exchange, line: f"{prefix}{left}{area:03}{')' if left else '-'}{exchange:03}-{line:04}",
    st.sampled_from(["", "1-", "+1 ", "1", "+1"]),
    st.integers(0, 999),
    st.sampled_from(["", "("]),
    st.integers(0, 999),
    st.integers(0, 9999),
)


@settings(max_examples=1500)
@given(plainly | st.integers(2_000_000_000, 9_999_999_999).map(str))
def test_the_short_way_of_a_phone_agrees_with_the_long_one(typed: str) -> None:
    try:
        number = phonenumbers.parse(typed, "US")
        valid = number.country_code == 1 and phonenumbers.is_valid_number(number)
    except phonenumbers.NumberParseException:
        valid = False
    expected = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else None
    assert parse_phone(typed) == expected


@settings(max_examples=600)
@given(
    st.emails()
    | st.from_regex(r"[a-zA-Z0-9.+'_-]{1,70}@([a-zA-Z0-9-]{1,66}\.){1,3}[a-zA-Z]{1,22}", fullmatch=True)
    | st.sampled_from(["a@b.test", "a@xn--bcher-kva.example", "a@b.LOCAL", f"{'a' * 65}@b.com", "a@a--b.com"])
)
def test_the_short_way_of_an_email_agrees_with_the_long_one(typed: str) -> None:
    try:
        expected = validate_email(typed, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        expected = None
    assert parse_email(typed) == expected


@given(st.text(max_size=20))
def test_folding_twice_is_folding_once(typed: str) -> None:
    assert folded(folded(typed)) == folded(typed)


def test_parts_of_a_phone_a_zip_code_and_a_date() -> None:
    on = date(2026, 3, 4)
    assert parts_of(FieldType.PHONE, "+14045550123", on) == {"area_code": "404", "exchange": "555", "line": "0123"}
    place = parts_of(FieldType.US_ZIP, "30303", on)
    assert (place["state"], place["city"], place["county"]) == ("GA", "Atlanta", "Fulton County")
    assert place["time_zone"] == "America/New_York"
    assert (round(place["latitude"]), round(place["longitude"])) == (34, -84)
    assert parts_of(FieldType.US_ZIP, "09001", on)["time_zone"] is None  # military mail is nowhere


@pytest.mark.parametrize(
    ("born", "years"),
    [("1980-03-04", 46), ("1980-03-05", 45), ("2000-02-29", 26), ("2026-03-04", 0), ("2026-03-05", None)],
)
def test_age_is_taken_on_the_day_the_lead_came(born: str, years: int | None) -> None:
    assert parts_of(FieldType.DATE, born, date(2026, 3, 4)) == {"age": years}
