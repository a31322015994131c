"""Dates as people write them, and ages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

ISO: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ][0-9:.,+Zz -]*)?")
MONTH_FIRST: Final = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")
DIRECTIVES: Final = "YymdBbAaj%"


def parse_date(text: str, formats: Sequence[str] = ()) -> date | None:
    """The date in a text: ISO (a time after it is dropped), else one of the ``strptime`` formats; without formats,
    month/day/year. None if it is no date."""
    if match := ISO.fullmatch(text):
        return _date(match[1], match[2], match[3])
    if not formats:
        return _date(match[3], match[1], match[2]) if (match := MONTH_FIRST.fullmatch(text)) else None
    for written in formats:
        try:
            return datetime.strptime(text, written).date()  # noqa: DTZ007  # a date has no zone
        except ValueError:
            continue
    return None


def check_format(written: str) -> None:
    """See that a format can be used to read and to write dates.

    Raises:
        ValueError: an unknown directive.
    """
    directives = re.findall(r"%(-?.?)", written, re.DOTALL)
    for directive in directives:
        if len(directive.removeprefix("-")) != 1 or directive.removeprefix("-") not in DIRECTIVES:
            known = ", ".join(f"%{letter}" for letter in DIRECTIVES)
            raise ValueError(f"%{directive} is no part of a date; known are {known}")
    if not directives:
        raise ValueError("a date format needs directives, such as %m/%d/%Y")


def age(born: date, on: date) -> int | None:
    """Whole years from one date to another, or None if the first is later; who is born on 29 February grows older on
    1 March in a common year."""
    years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return years if born <= on else None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
