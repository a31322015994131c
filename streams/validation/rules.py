"""The rules of validation: raw text in, a normalised lead or every reason it failed out.

A rule never quotes what was typed: its reason and detail are free of personal data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import phonenumbers
import zipcodes
from email_validator import EmailNotValidError, validate_email

from schemas.events import Lead, Rejection
from schemas.reasons import Reason
from streams.validation.states import state_code

NAME_LIMIT: Final = 100
TYPED_FIELDS: Final = frozenset({"first_name", "last_name", "phone", "email", "zip", "state"})
ENVELOPE_FIELDS: Final = frozenset({"lead_id", "vertical", "source"})
ZIP: Final = re.compile(r"([0-9]{5})(?:-?[0-9]{4})?")


@dataclass
class Findings:
    """The reasons found so far; every rule adds its own and none stops the others."""

    rejections: list[Rejection] = field(default_factory=list)

    def add(self, reason: Reason, field_name: str, detail: str = "") -> None:
        """Note one reason."""
        self.rejections.append(Rejection(reason=reason, field=field_name, detail=detail))


def validate(raw: Mapping[str, str]) -> tuple[Lead | None, list[Rejection]]:
    """The normalised lead of raw fields, or None and all the reasons.

    A lead needs both names, a phone or an email (each valid where given) and a ZIP code; its state may be left out,
    but must be the ZIP code's where it is given.
    """
    findings = Findings()
    first_name = _name(raw, "first_name", Reason.FIRST_NAME_MISSING, findings)
    last_name = _name(raw, "last_name", Reason.LAST_NAME_MISSING, findings)
    phone = _phone(_typed(raw, "phone"), findings)
    email = _email(_typed(raw, "email"), findings)
    if not _typed(raw, "phone") and not _typed(raw, "email"):
        findings.add(Reason.CONTACT_MISSING, "phone", "neither a phone nor an email")
    zip_code, state = _place(_typed(raw, "zip"), _typed(raw, "state"), findings)
    if findings.rejections:
        return None, findings.rejections
    extra = {name: text for name, text in raw.items() if name not in TYPED_FIELDS | ENVELOPE_FIELDS}
    lead = Lead(
        first_name=first_name, last_name=last_name, phone=phone, email=email, zip=zip_code, state=state, extra=extra
    )
    return lead, []


def _typed(raw: Mapping[str, str], name: str) -> str:
    """A field as typed, with exotic spaces and invisible characters folded away."""
    visible = "".join(c for c in raw.get(name, "") if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def _name(raw: Mapping[str, str], field_name: str, missing: Reason, findings: Findings) -> str:
    text = _typed(raw, field_name)
    # Mixed case is how its owner writes it (McDonald, de la Cruz); one case throughout is how a keyboard was left.
    if text.islower() or text.isupper():
        text = unicodedata.normalize("NFKC", text.title())
    if not text:
        findings.add(missing, field_name)
    elif len(text) > NAME_LIMIT:
        findings.add(Reason.NAME_INVALID, field_name, f"longer than {NAME_LIMIT} characters")
    elif not any(c.isalpha() for c in text) or any(unicodedata.category(c) == "Cc" for c in text):
        findings.add(Reason.NAME_INVALID, field_name, "no letters, or control characters")
    return text


def _phone(text: str, findings: Findings) -> str | None:
    if not text:
        return None
    try:
        number = phonenumbers.parse(text, "US")
    except phonenumbers.NumberParseException:
        findings.add(Reason.PHONE_INVALID, "phone", "not a phone number")
        return None
    if number.country_code != 1 or not phonenumbers.is_valid_number(number):
        findings.add(Reason.PHONE_INVALID, "phone", "not a valid North American number")
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _email(text: str, findings: Findings) -> str | None:
    if not text:
        return None
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        findings.add(Reason.EMAIL_INVALID, "email", "not an email address")
        return None


def _place(zip_text: str, state_text: str, findings: Findings) -> tuple[str, str]:
    state = state_code(state_text) if state_text else None
    if state_text and state is None:
        findings.add(Reason.STATE_UNKNOWN, "state", "not a US state or territory")
    if not zip_text:
        findings.add(Reason.ZIP_MISSING, "zip")
        return "", ""
    match = ZIP.fullmatch(zip_text.replace(" ", ""))
    zip_code = match[1] if match else ""
    zip_state = _states_of_zips().get(zip_code)
    if zip_state is None:
        findings.add(Reason.ZIP_UNKNOWN, "zip", "not a US ZIP code")
    elif state is not None and state != zip_state:
        findings.add(Reason.STATE_ZIP_MISMATCH, "state", f"the ZIP code is in {zip_state}")
    return zip_code, zip_state or ""


@cache
def _states_of_zips() -> dict[str, str]:
    # One look-up in the package takes half a millisecond, more than all other rules together.
    rows = zipcodes.list_all()  # type: ignore[no-untyped-call]  # the package has no types
    return {str(row["zip_code"]): str(row["state"]) for row in rows}
