"""Typed fields: a text to its canonical text and its value, or the reason it is none of its type.

The canonical text is what a lead keeps; it reads as itself. The value is what expressions compare: a number is a float,
an age an integer, a date midnight UTC, a boolean a boolean, anything else its canonical text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, Final

from schemas.amounts import in_money, parse_number, plain
from schemas.config.field import Field, FieldType, folded_choice
from schemas.dates import parse_date
from schemas.reasons import Reason
from streams.validation.contacts import parse_email, parse_phone
from streams.validation.folding import folded
from streams.validation.places import parse_zip
from streams.validation.states import state_code

TEXT_LIMIT: Final = 1_000
URL_LIMIT: Final = 2_048
OLDEST: Final = 130
TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE: Final = frozenset({"false", "f", "no", "n", "0", "off"})
URL: Final = re.compile(
    r"(https?)://([^@/?#\s]*@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?#]\S*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Read:
    """A field that could be read."""

    text: str
    value: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a field could not be read; ``detail`` never quotes it."""

    reason: Reason
    detail: str


Reader = Callable[[str], Read | Fault]
"""Reads a folded text that is not empty."""


def reader_of(field: Field) -> Reader:
    """What reads a field, compiled once."""
    return _BUILDERS[field.type](field)


def read(field: Field, text: str) -> Read | Fault | None:
    """A field as typed; None if there is nothing to read."""
    text = folded(text)
    return reader_of(field)(text) if text else None


def is_true(text: str) -> bool:
    """Whether a text says yes."""
    return folded(text).lower() in TRUE


def _invalid(what: str) -> Fault:
    return Fault(Reason.FIELD_INVALID, f"not {what}")


def _plain(
    parse: Callable[[str], str | None], what: str, reason: Reason = Reason.FIELD_INVALID
) -> Callable[[Field], Reader]:
    fault = Fault(reason, f"not {what}")

    def reader(text: str) -> Read | Fault:
        found = parse(text)
        return fault if found is None else Read(found, found)

    return lambda field: reader


def _text(field: Field) -> Reader:
    limit = field.maximum_length or TEXT_LIMIT
    too_long = Fault(Reason.FIELD_TOO_LONG, f"longer than {limit} characters")
    pattern = re.compile(field.pattern) if field.pattern is not None else None

    def reader(text: str) -> Read | Fault:
        if len(text) > limit:
            return too_long
        if pattern is not None and not pattern.fullmatch(text):
            return _invalid("as its pattern asks")
        return Read(text, text)

    return reader


def _outside(field: Field) -> Callable[[Any], Fault | None]:
    low, high = field.minimum, field.maximum
    below = Fault(Reason.FIELD_OUT_OF_RANGE, f"below {low}")
    above = Fault(Reason.FIELD_OUT_OF_RANGE, f"above {high}")

    def outside(value: Any) -> Fault | None:
        if low is not None and value < low:
            return below
        return above if high is not None and value > high else None

    return outside


def _number(field: Field) -> Reader:
    outside, fault = _outside(field), _invalid("a number")

    def reader(text: str) -> Read | Fault:
        number = parse_number(text)
        if number is None:
            return fault
        return outside(number) or Read(plain(number), float(number))

    return reader


def _money(field: Field) -> Reader:
    outside, fault = _outside(field), _invalid("an amount of money")

    def reader(text: str) -> Read | Fault:
        number = parse_number(text)
        written = None if number is None else in_money(number)
        if number is None or written is None:
            return fault
        return outside(number) or Read(written, float(number))

    return reader


def _age(field: Field) -> Reader:
    outside, fault = _outside(field), _invalid("an age in years")

    def reader(text: str) -> Read | Fault:
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= OLDEST):
            return fault
        years = int(text)
        return outside(Decimal(years)) or Read(str(years), years)

    return reader


def _date(field: Field) -> Reader:
    outside, fault, formats = _outside(field), _invalid("a date"), field.formats

    def reader(text: str) -> Read | Fault:
        found = parse_date(text, formats)
        if found is None:
            return fault
        return outside(found) or Read(found.isoformat(), datetime.combine(found, time(), UTC))

    return reader


def _choice(field: Field) -> Reader:
    known: Mapping[str, Read] = {
        folded_choice(folded(text)): Read(choice, choice)
        for choice, aliases in field.choices.items()
        for text in (choice, *aliases)
    }
    fault = Fault(Reason.FIELD_CHOICE_UNKNOWN, "none of the choices")
    return lambda text: known.get(folded_choice(text), fault)


def _boolean(field: Field) -> Reader:
    yes, no, fault = Read("true", True), Read("false", False), _invalid("yes or no")

    def reader(text: str) -> Read | Fault:
        word = text.lower()
        return yes if word in TRUE else no if word in FALSE else fault

    return reader


def parse_ip(text: str) -> str | None:
    """An IPv4 or IPv6 address in its shortest form, or None."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def parse_url(text: str) -> str | None:
    """An http or https URL with scheme and host in lower case, or None."""
    match = URL.fullmatch(text) if len(text) <= URL_LIMIT else None
    if match is None:
        return None
    return f"{match[1].lower()}://{match[2] or ''}{match[3].lower()}{match[4] or ''}{match[5] or ''}"


def _url(field: Field) -> Reader:
    limit = field.maximum_length or URL_LIMIT
    too_long, fault = Fault(Reason.FIELD_TOO_LONG, f"longer than {limit} characters"), _invalid("an http or https URL")

    def reader(text: str) -> Read | Fault:
        if len(text) > limit:
            return too_long
        found = parse_url(text)
        return fault if found is None else Read(found, found)

    return reader


_BUILDERS: Final[dict[FieldType, Callable[[Field], Reader]]] = {
    FieldType.TEXT: _text,
    FieldType.PHONE: _plain(parse_phone, "a valid North American phone number", Reason.PHONE_INVALID),
    FieldType.EMAIL: _plain(parse_email, "an email address", Reason.EMAIL_INVALID),
    FieldType.US_ZIP: _plain(parse_zip, "a US ZIP code", Reason.ZIP_UNKNOWN),
    FieldType.US_STATE: _plain(state_code, "a US state or territory", Reason.STATE_UNKNOWN),
    FieldType.DATE: _date,
    FieldType.AGE: _age,
    FieldType.NUMBER: _number,
    FieldType.MONEY: _money,
    FieldType.BOOLEAN: _boolean,
    FieldType.CHOICE: _choice,
    FieldType.IP: _plain(parse_ip, "an IP address"),
    FieldType.URL: _url,
}
