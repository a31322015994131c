"""Phones and emails. What is plainly written takes a short way, which agrees with the libraries' long one."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from phonenumbers.phonemetadata import PhoneMetadata

PLAIN_PHONE: Final = re.compile(
    r"(?:\+?1[ .-]?)?(?:\(([2-9][0-9]{2})\) ?|([2-9][0-9]{2})[ .-]?)([0-9]{3})[ .-]?([0-9]{4})"
)
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
PLAIN_EMAIL: Final = re.compile(
    rf"(?=[^@]{{1,64}}@.{{1,180}}\Z){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+([A-Za-z]{{2,20}})"
)


@cache
def _american() -> re.Pattern[str]:
    metadata = PhoneMetadata.metadata_for_region("US", None)
    lines = metadata and metadata.fixed_line
    return re.compile((lines and lines.national_number_pattern) or r"(?!)")  # without it, all take the long way


def parse_phone(text: str) -> str | None:
    """The E.164 form of a valid number of the North American plan, or None; ``text`` is folded."""
    match = PLAIN_PHONE.fullmatch(text)
    if match is not None:
        national = f"{match[1] or match[2]}{match[3]}{match[4]}"
        if _american().fullmatch(national):
            return f"+1{national}"
    try:
        number = phonenumbers.parse(text, "US")
    except phonenumbers.NumberParseException:
        return None
    if number.country_code != 1 or not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def parse_email(text: str) -> str | None:
    """The lower-case form of an address, or None; ``text`` is folded."""
    match = PLAIN_EMAIL.fullmatch(text)
    if match is not None and "--" not in text and match[1].lower() not in SPECIAL_USE_DOMAIN_NAMES:
        return text.lower()
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return None
