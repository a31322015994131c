"""Values of a list's row in the form that leads have after validation, quickly for what is written plainly.

The quick forms ask less than validation does, such as whether an area code is in use: a row that no lead can ever
match does no harm, and a number of an area code newer than our tables is suppressed all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from schemas.config.suppression import Hashed, ListField

PLAIN_PHONE: Final = re.compile(
    r"[ ]*(?:\+?1[-. ]?)?(?:\(([2-9][0-9]{2})\) ?|([2-9][0-9]{2})[-. ]?)([2-9][0-9]{2})[-. ]?([0-9]{4})[ ]*"
)
_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
PLAIN_EMAIL: Final = re.compile(
    rf"{_ATOM}(?:\.{_ATOM})*@(?:(?!xn--)[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.)+(?!xn--)[a-z][a-z0-9-]*[a-z0-9]"
)
PLAIN_ZIP: Final = re.compile(r"([0-9]{5})(?:-?[0-9]{4})?")
DIGEST: Final = re.compile(r"[0-9a-f]+")
DIGEST_LENGTH: Final = {Hashed.MD5: 32, Hashed.SHA1: 40, Hashed.SHA256: 64}
US_DATE: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?:[ T].*)?")


class InvalidValueError(ValueError):
    """A value is not what its column holds; the message has nothing of it."""


def phone(text: str) -> str:
    """E.164 of a North American number.

    Raises:
        InvalidValueError: it is none.
    """
    if plain := PLAIN_PHONE.fullmatch(text):
        return f"+1{plain[1] or plain[2]}{plain[3]}{plain[4]}"
    try:
        number = phonenumbers.parse(folded(text), "US")
    except phonenumbers.NumberParseException:
        raise InvalidValueError("not a phone number") from None
    if number.country_code != 1 or not phonenumbers.is_valid_number(number):
        raise InvalidValueError("not a valid North American number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def email(text: str) -> str:
    """The address in lower case.

    Raises:
        InvalidValueError: it is none.
    """
    lowered = text.strip().lower()
    if PLAIN_EMAIL.fullmatch(lowered):
        return lowered
    try:
        return validate_email(folded(text), check_deliverability=False).normalized.lower()
    except (EmailNotValidError, UnicodeError):
        raise InvalidValueError("not an email address") from None


def name(text: str) -> str:
    """A name to compare: of any case and spacing.

    Raises:
        InvalidValueError: it has no letter.
    """
    found = folded(text).casefold()
    if not any(c.isalpha() for c in found):
        raise InvalidValueError("no letters")
    if any("\ud800" <= c <= "\udfff" for c in found):  # how a byte that is not UTF-8 was read
        raise InvalidValueError("not UTF-8")
    return found


def zip_code(text: str) -> str:
    """The five digits of a ZIP code.

    Raises:
        InvalidValueError: it is none.
    """
    if found := PLAIN_ZIP.fullmatch(text.strip()):
        return found[1]
    raise InvalidValueError("not a ZIP code of five digits")


def digest(text: str, hashed: Hashed) -> str:
    """A hexadecimal digest in lower case.

    Raises:
        InvalidValueError: it is not of this kind.
    """
    found = text.strip().lower()
    if len(found) != DIGEST_LENGTH[hashed] or not DIGEST.fullmatch(found):
        raise InvalidValueError(f"not a {hashed} digest of {DIGEST_LENGTH[hashed]} hexadecimal digits")
    return found


@lru_cache(maxsize=65536)
def day(text: str, form: str | None = None) -> int:
    """The ordinal of a date (:meth:`date.toordinal`): ISO 8601, or month/day/year, or as ``form`` says in the codes of
    ``strptime``. A time with a zone is turned to UTC first.

    Raises:
        InvalidValueError: it is none.
    """
    text = text.strip()
    try:
        if form is not None:
            moment = datetime.strptime(text, form)  # noqa: DTZ007  # a date without a zone is meant as it stands
        elif american := US_DATE.fullmatch(text):
            return date(int(american[3]), int(american[1]), int(american[2])).toordinal()
        else:
            moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).toordinal()
    except (ValueError, OverflowError):
        raise InvalidValueError("not a date") from None


def folded(text: str) -> str:
    """Without exotic spaces and invisible characters, as validation reads text."""
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())


NORMAL_FORM: Final[dict[ListField, Callable[[str], str]]] = {
    "first_name": name,
    "last_name": name,
    "phone": phone,
    "email": email,
    "zip": zip_code,
}
