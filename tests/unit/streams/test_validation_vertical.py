"""A vertical's own rules: fields, computed fields, filters, test leads and consent."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, configuration, context, lead_id, raw_fields

from schemas.config.vertical import Vertical
from schemas.events import LeadRejected, LeadValidated
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from streams.validation.rules import Verdict, validate
from streams.validation.stage import Validation
from streams.validation.vertical_rules import VerticalRules

SOLAR: dict[str, Any] = {
    "name": "solar",
    "fields": [
        {"name": "bill", "type": "money", "required": True},
        {"name": "homeowner", "type": "boolean"},
        {"name": "date_of_birth", "type": "date"},
        {"name": "roof", "type": "choice", "choices": {"tile": ["tiles"], "metal": []}},
    ],
    "computed": [
        {"name": "applicant_age", "type": "age", "value": "{{ date_of_birth | age }}"},
        {"name": "phone_hash", "type": "text", "value": "{{ phone | phone:'national10' | md5 }}"},
    ],
    "filters": [
        {"name": "adult", "reject_unless": "applicant_age >= 18", "detail": "adults only"},
        {"name": "bill", "reject_unless": "bill > 100 && homeowner", "detail": "owners with a bill above 100"},
        {"name": "eastern", "reject_unless": "zip_time_zone == 'America/New_York'"},
    ],
}
GOOD = {"bill": "$1,234.50", "homeowner": "Y", "date_of_birth": "2/3/1980", "roof": "Tiles"}


def judge(typed: dict[str, str], **changes: Any) -> Verdict:
    return validate(raw_fields(**typed), NOW, VerticalRules(Vertical.model_validate(SOLAR | changes)), "quoteharbor")


def reasons(verdict: Verdict) -> list[tuple[str, str]]:
    assert (verdict.lead is None) == bool(verdict.rejections)
    return [(r.reason, r.field) for r in verdict.rejections]


def test_row_44_canonical_text_is_kept_in_the_lead() -> None:
    verdict = judge(GOOD | {"sub_id": " A1 "})
    assert verdict.lead is not None, verdict.rejections
    assert verdict.lead.extra == {
        "sub_id": " A1 ",
        "bill": "1234.50",
        "homeowner": "true",
        "date_of_birth": "1980-02-03",
        "roof": "tile",
        "applicant_age": "46",
        "phone_hash": hashlib.md5(b"4045550123").hexdigest(),
    }


def test_row_44_the_raw_value_stays_in_the_event() -> None:
    release = configuration(verticals=[Vertical.model_validate(SOLAR)])
    fields = raw_fields(**GOOD)
    arrival = RawArrival(fields, lead_id("a"), True, 0, NOW, None)
    (output,) = Validation().process([arrival], None, context(release))  # type: ignore[arg-type]
    assert isinstance(output.value, LeadValidated)
    assert output.value.raw == fields


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"date_of_birth": "3/5/2008"}, [(Reason.CRITERION_NOT_MET, "adult")]),
        ({"date_of_birth": "3/4/2008"}, []),
        ({"date_of_birth": ""}, [(Reason.CRITERION_UNDECIDED, "adult")]),
        ({"bill": "100"}, [(Reason.CRITERION_NOT_MET, "bill")]),
        ({"homeowner": ""}, [(Reason.CRITERION_UNDECIDED, "bill")]),
        ({"zip": "90001", "state": "CA"}, [(Reason.CRITERION_NOT_MET, "eastern")]),
    ],
)
def test_row_45_computed_fields_and_expressions_as_filters(
    fields: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    verdict = judge(GOOD | fields)
    assert reasons(verdict) == expected


def test_row_45_regex_as_filter() -> None:
    rules = [{"name": "company", "reject_unless": "!email.matches('@example[.]com$')", "detail": "private people only"}]
    (rejection,) = judge(GOOD, filters=rules).rejections
    assert (rejection.reason, rejection.field, rejection.detail) == (
        Reason.CRITERION_NOT_MET,
        "company",
        "private people only",
    )
    assert judge(GOOD | {"email": "ada@example.org"}, filters=rules).lead


def test_a_filter_says_nothing_of_a_field_that_is_faulty_already() -> None:
    assert reasons(judge(GOOD | {"date_of_birth": "soon", "bill": ""})) == [
        (Reason.FIELD_MISSING, "bill"),
        (Reason.FIELD_INVALID, "date_of_birth"),
    ]


def test_a_computed_field_that_is_none_of_its_type_is_a_warning() -> None:
    verdict = judge(GOOD, computed=[{"name": "n", "type": "number", "value": "{{ first_name }}"}], filters=[])
    assert [(w.reason, w.field) for w in verdict.warnings] == [(Reason.COMPUTED_INVALID, "n")]
    assert verdict.lead is not None
    assert "n" not in verdict.lead.extra


def test_what_is_sent_under_a_computed_name_is_not_used() -> None:
    verdict = judge(GOOD | {"phone_hash": "forged"})
    assert verdict.lead is not None
    assert verdict.lead.extra["phone_hash"] != "forged"


def test_the_check_order_is_the_order_of_the_reasons() -> None:
    """Request format first, then standard fields, the vertical's, filters, consent: all of them at once."""
    vertical = Vertical.model_validate(SOLAR | {"consent": {"required": ["certificate"]}})
    fields = raw_fields(first_name="", phone="n/a", zip="90001", state="GA", roof="straw", **{"lead_id": "42"})
    fields |= {"date_of_birth": "1/1/2020"}
    arrival = RawArrival(fields, lead_id("a"), False, 0, NOW, None)
    (output,) = Validation().process([arrival], None, context(configuration(verticals=[vertical])))  # type: ignore[arg-type]
    assert isinstance(output.value, LeadRejected)
    assert [(r.reason, r.field) for r in output.value.reasons] == [
        (Reason.LEAD_ID_INVALID, "lead_id"),
        (Reason.FIRST_NAME_MISSING, "first_name"),
        (Reason.PHONE_INVALID, "phone"),
        (Reason.STATE_ZIP_MISMATCH, "state"),
        (Reason.FIELD_MISSING, "bill"),
        (Reason.FIELD_CHOICE_UNKNOWN, "roof"),
        (Reason.CRITERION_NOT_MET, "adult"),
        (Reason.CRITERION_NOT_MET, "eastern"),
        (Reason.CONSENT_MISSING, "consent.certificate"),
    ]


def test_each_release_has_its_own_rules() -> None:
    stage, arrival = Validation(), RawArrival(raw_fields(**GOOD), lead_id("a"), True, 0, NOW, None)
    for bound in (*range(1000, 1010), 1000):
        filters = [{"name": "bill", "reject_unless": f"bill > {bound + 230}"}]
        release = configuration(verticals=[Vertical.model_validate(SOLAR | {"filters": filters})])
        (output,) = stage.process([arrival], None, context(release))  # type: ignore[arg-type]
        assert isinstance(output.value, LeadValidated if bound + 230 < 1234.5 else LeadRejected)


def test_a_vertical_may_ask_more_of_a_standard_field() -> None:
    plain = {"computed": [], "filters": []}
    assert reasons(judge({"email": ""}, fields=[{"name": "email", "type": "email", "required": True}], **plain)) == [
        (Reason.FIELD_MISSING, "email")
    ]
    assert reasons(judge({"state": ""}, fields=[{"name": "state", "type": "us_state", "required": True}], **plain)) == [
        (Reason.STATE_MISSING, "state")
    ]
    pattern = [{"name": "last_name", "type": "text", "pattern": "[A-Za-z]+"}]
    assert reasons(judge({"last_name": "O'Neil"}, fields=pattern, **plain)) == [(Reason.FIELD_INVALID, "last_name")]


def test_an_area_code_of_another_state_is_a_warning() -> None:
    warnings = judge(GOOD | {"phone": "212-555-0123"}).warnings
    assert [(w.reason, w.field) for w in warnings] == [(Reason.AREA_CODE_ELSEWHERE, "phone")]
    assert judge(GOOD | {"phone": "800-555-0123"}).warnings == []  # in no state
    assert judge(GOOD).warnings == []


# Test leads


@pytest.mark.parametrize(
    ("fields", "test"),
    [
        ({}, False),
        ({"test": "1"}, True),
        ({"lp_test": "true"}, True),
        ({"test_mode": " Yes "}, True),
        ({"testMode": "1"}, True),
        ({"lp_action": "test"}, True),
        ({"test": "0"}, False),
        ({"test": ""}, False),
        ({"zip": "99999", "state": "GA"}, True),
        ({"zip": "30301"}, True),
    ],
)
def test_row_4_lead_level_test_flag_or_magic_test_input(fields: dict[str, str], test: bool) -> None:
    lead = judge(GOOD | fields, test_zips=["99999", "30301"], filters=[]).lead
    assert lead is not None
    assert lead.test is test


def test_row_4_a_test_lead_is_validated_like_any_other() -> None:
    assert reasons(judge(GOOD | {"test": "1", "bill": "free"})) == [(Reason.FIELD_INVALID, "bill")]
    nowhere = judge(GOOD | {"zip": "99999", "state": ""}, test_zips=["99999"], filters=[])
    assert reasons(nowhere) == [(Reason.STATE_MISSING, "state")]


# Consent

TRUSTEDFORM = "https://cert.trustedform.com/" + "0a" * 20
JORNAYA = "0A1B2C3D-0A1B-0A1B-0A1B-0A1B2C3D4E5F"
CONSENT = {
    "tcpa_text": "I agree  to be called.",
    "landing_page": "https://Quotes.example/solar",
    "ip_address": "203.0.113.9",
    "consent_at": "2026-03-04T16:30:00+00:00",
    "consent_sellers": "Sunpath Energy, Inc. | Lumen Ridge",
    "xxTrustedFormCertUrl": TRUSTEDFORM,
    "universal_leadid": JORNAYA.lower(),
}


def test_the_consent_record_is_read_from_the_usual_names() -> None:
    lead = judge(GOOD | CONSENT).lead
    assert lead is not None
    assert lead.consent is not None
    assert lead.consent.model_dump() == {
        "text_hash": hashlib.sha256(b"I agree to be called.").hexdigest(),
        "url": "https://quotes.example/solar",
        "ip": "203.0.113.9",
        "at": datetime(2026, 3, 4, 16, 30, tzinfo=UTC),
        "sellers": ["Sunpath Energy, Inc.", "Lumen Ridge"],
        "trustedform_cert_url": TRUSTEDFORM,
        "jornaya_lead_id": JORNAYA,
    }
    without = judge(GOOD).lead
    assert without is not None
    assert without.consent is None


ALL_PARTS = ["text", "url", "ip", "at", "sellers", "trustedform", "jornaya", "certificate"]


@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        ({"required": ALL_PARTS, "maximum_age_hours": 1}, {}, []),
        ({"required": ["text"]}, {"tcpa_text": " "}, [(Reason.CONSENT_MISSING, "consent.text")]),
        ({"required": ["ip"]}, {"ip_address": "1.2.3"}, [(Reason.CONSENT_INVALID, "consent.ip")]),
        ({"required": ["at"]}, {"consent_at": "yesterday"}, [(Reason.CONSENT_INVALID, "consent.at")]),
        ({"required": ["at"]}, {"consent_at": "2026-03-05T00:00:00Z"}, [(Reason.CONSENT_INVALID, "consent.at")]),
        ({"required": ["at"]}, {"consent_at": str(round(NOW.timestamp()))}, []),
        ({"required": ["text"], "maximum_age_hours": 0.25}, {}, [(Reason.CONSENT_EXPIRED, "consent.at")]),
        (
            {"required": ["text"], "maximum_age_hours": 1},
            {"consent_at": ""},
            [(Reason.CONSENT_MISSING, "consent.at")],
        ),
        ({"required": ["certificate"]}, {"universal_leadid": ""}, []),
        ({"required": ["certificate"]}, {"xxTrustedFormCertUrl": ""}, []),
        (
            {"required": ["certificate"]},
            {"xxTrustedFormCertUrl": "https://evil.example/cert", "universal_leadid": ""},
            [(Reason.CONSENT_INVALID, "consent.certificate")],
        ),
    ],
)
def test_a_vertical_says_what_proof_of_consent_it_needs(
    rule: dict[str, Any], fields: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert reasons(judge(GOOD | CONSENT | fields, consent=rule)) == expected


def test_an_invalid_part_that_nobody_requires_is_a_warning() -> None:
    verdict = judge(GOOD | {"ip_address": "1.2.3"})
    assert verdict.lead is not None
    assert [(w.reason, w.field) for w in verdict.warnings] == [(Reason.CONSENT_INVALID, "consent.ip")]


# Properties

NAMES = [*GOOD, *CONSENT, "test", "phone", "email", "zip", "state", "first_name", "phone_hash"]
RULES = VerticalRules(
    Vertical.model_validate(
        SOLAR | {"consent": {"required": ALL_PARTS, "maximum_age_hours": 1}, "test_zips": ["99999"]}
    )
)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(NAMES), st.builds("{}Xq7{}".format, st.text(max_size=9), st.text(max_size=9))))
def test_no_text_makes_it_raise_and_none_is_quoted(fields: dict[str, str]) -> None:
    verdict = validate(raw_fields(**GOOD) | fields, NOW, RULES)
    for said in (*verdict.rejections, *verdict.warnings):
        assert "xq7" not in said.model_dump_json().lower()
        assert said.reason in set(Reason)


@given(st.timedeltas(timedelta(0), timedelta(days=1000)))
def test_the_same_lead_at_the_same_time_is_judged_the_same(later: timedelta) -> None:
    one, two = (validate(raw_fields(**GOOD | CONSENT), NOW + later, RULES) for _ in range(2))
    assert one == two
    if one.lead and two.lead:
        assert list(one.lead.extra.items()) == list(two.lead.extra.items())
