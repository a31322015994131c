"""The rules of validation: raw text in, a normalised lead or every reason it failed out.

Checked in this order, which is the order of the reasons: the standard fields, the vertical's fields, its filters and
the source's, consent. A rule never quotes what was typed: its reason and detail are free of personal data.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.config.vertical import Vertical
from schemas.events import Lead, Rejection
from schemas.reasons import Reason
from streams.validation.consent import consent_faults, read_consent
from streams.validation.contacts import parse_email, parse_phone
from streams.validation.field_types import is_true
from streams.validation.folding import folded
from streams.validation.places import parse_zip, place_of, states_of_area_code, zip_digits
from streams.validation.states import state_code
from streams.validation.vertical_rules import Findings, VerticalRules

NAME_LIMIT: Final = 100
TEST_FLAGS: Final = ("test", "lp_test", "test_mode", "testMode", "is_test")
STANDARD_RULES: Final = VerticalRules(Vertical(name="standard"))
"""What every vertical asks."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The normalised lead, or None and all the reasons; and what is odd about it in either case. ``texts`` are the
    fields that could be read."""

    lead: Lead | None
    rejections: list[Rejection]
    warnings: list[Rejection]
    texts: Mapping[str, str]


def validate(
    raw: Mapping[str, str],
    received_at: datetime,
    rules: VerticalRules = STANDARD_RULES,
    source: str = "",
    *,
    test: bool = False,
) -> Verdict:
    """Judge raw fields. ``source`` is whose filters are asked besides the vertical's, and ``test`` says that what it
    sends are test leads.

    A lead needs both names, a phone or an email (each valid where given) and a ZIP code; its state may be left out,
    but must be the ZIP code's where it is given. Its vertical's rules come on top.
    """
    findings = Findings()
    _name(raw, "first_name", Reason.FIRST_NAME_MISSING, findings)
    _name(raw, "last_name", Reason.LAST_NAME_MISSING, findings)
    _contacts(raw, rules, findings)
    test_zip = _place(raw, rules, findings)
    rules.check_standard(findings)
    rules.read_fields(raw, findings)
    texts = findings.texts
    test = test or test_zip or _is_test(raw)
    findings.values.update(source=source, test=test)
    rules.compute(received_at.date(), findings)
    rules.filter(findings, source)
    consent, invalid = read_consent(raw, received_at)
    if rules.consent is not None:
        findings.rejections += consent_faults(rules.consent, consent, invalid, received_at)
    for part in sorted(invalid):
        findings.warn(Reason.CONSENT_INVALID, f"consent.{part}")
    if findings.rejections:
        return Verdict(None, findings.rejections, findings.warnings, texts)
    extra = {name: text for name, text in raw.items() if name not in rules.read_here}
    extra.update((name, texts[name]) for name in rules.own_names if name in texts)
    lead = Lead.trusted(
        {
            "first_name": texts["first_name"],
            "last_name": texts["last_name"],
            "phone": texts.get("phone"),
            "email": texts.get("email"),
            "zip": texts["zip"],
            "state": texts["state"],
            "extra": extra,
            "test": test,
            "consent": consent,
        }
    )
    return Verdict(lead, [], findings.warnings, texts)


def _keep(findings: Findings, field_name: str, text: str) -> None:
    findings.texts[field_name] = findings.values[field_name] = text


def _name(raw: Mapping[str, str], field_name: str, missing: Reason, findings: Findings) -> None:
    text = folded(raw.get(field_name, ""))
    # Mixed case is how its owner writes it (McDonald, de la Cruz); one case throughout is how a keyboard was left.
    if text.islower() or text.isupper():
        text = unicodedata.normalize("NFKC", text.title())
    if not text:
        findings.reject(missing, field_name)
    elif len(text) > NAME_LIMIT:
        findings.reject(Reason.NAME_INVALID, field_name, f"longer than {NAME_LIMIT} characters")
    elif not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
        findings.reject(Reason.NAME_INVALID, field_name, "control characters")
    elif not any(c.isalpha() for c in text):
        findings.reject(Reason.NAME_INVALID, field_name, "no letters")
    else:
        _keep(findings, field_name, text)


def _contacts(raw: Mapping[str, str], rules: VerticalRules, findings: Findings) -> None:
    phone, email = folded(raw.get("phone", "")), folded(raw.get("email", ""))
    if phone:
        if number := parse_phone(phone):
            _keep(findings, "phone", number)
        else:
            findings.reject(Reason.PHONE_INVALID, "phone", "not a valid North American phone number")
    if email:
        if address := parse_email(email):
            _keep(findings, "email", address)
        else:
            findings.reject(Reason.EMAIL_INVALID, "email", "not an email address")
    for name in rules.contacts_required:
        if not (phone if name == "phone" else email):
            findings.reject(Reason.FIELD_MISSING, name)
    if not phone and not email and not rules.contacts_required:
        findings.reject(Reason.CONTACT_MISSING, "phone", "neither a phone nor an email")


def _place(raw: Mapping[str, str], rules: VerticalRules, findings: Findings) -> bool:
    """Whether it is one of the vertical's magic test ZIP codes; such a place may be nowhere."""
    zip_text, state_text = folded(raw.get("zip", "")), folded(raw.get("state", ""))
    state = state_code(state_text) if state_text else None
    test = bool(rules.test_zips) and zip_digits(zip_text) in rules.test_zips
    zip_code = zip_digits(zip_text) if test else parse_zip(zip_text)
    place = place_of(zip_code) if zip_code else None
    if state_text and state is None:
        findings.reject(Reason.STATE_UNKNOWN, "state", "not a US state or territory")
    elif not state_text and (rules.state_required or (test and place is None)):
        findings.reject(Reason.STATE_MISSING, "state")
    if not zip_text:
        findings.reject(Reason.ZIP_MISSING, "zip")
    elif zip_code is None:
        findings.reject(Reason.ZIP_UNKNOWN, "zip", "not a US ZIP code")
    else:
        _keep(findings, "zip", zip_code)
    if place is not None and state is not None and state != place.state:
        findings.reject(Reason.STATE_ZIP_MISMATCH, "state", "not the state of the ZIP code")
    elif "state" not in findings.faulty and (found := place.state if place else state):
        _keep(findings, "state", found)
        _area_code(found, findings)
    else:
        findings.faulty.add("state")  # it would have followed from the ZIP code
    return test


def _area_code(state: str, findings: Findings) -> None:
    # People keep a number when they move, so this says something about a lead but is no fault of it.
    if phone := findings.texts.get("phone"):
        states = states_of_area_code(phone[2:5])
        if states and state not in states:
            findings.warn(Reason.AREA_CODE_ELSEWHERE, "phone", "the area code is not one of the lead's state")


def _is_test(raw: Mapping[str, str]) -> bool:
    return any(name in raw and is_true(raw[name]) for name in TEST_FLAGS) or raw.get("lp_action") == "test"
