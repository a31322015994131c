"""Numbers and amounts of money as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

WRITTEN: Final = re.compile(r"([+-]?)\$? ?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?)(\.[0-9]*)?")
DIGITS_LIMIT: Final = 15
"""What a double, the number of an expression, holds without loss."""
PATTERN: Final = re.compile(r"(#,##)?0(?:\.(0+))?")


def parse_number(text: str) -> Decimal | None:
    """The number in ``1234.5``, ``1,234.50``, ``$1,234`` or ``-3``; None if it is none, or has over 15 digits."""
    match = WRITTEN.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction = match[1], match[2].replace(",", ""), (match[3] or "").removeprefix(".")
    if (not whole and not fraction) or len(whole) + len(fraction) > DIGITS_LIMIT:
        return None
    number = Decimal(f"{sign}{whole or 0}.{fraction or 0}")
    return number if number else Decimal(0)


def plain(number: Decimal) -> str:
    """A number without exponent, and without zeros that say nothing."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_money(number: Decimal) -> str | None:
    """An amount with two decimals, or as many as it has up to four; None if it has more."""
    text = plain(number)
    decimals = len(text.partition(".")[2])
    return None if decimals > 4 else format(number, f".{max(decimals, 2)}f")


def check_pattern(pattern: str) -> None:
    """See that a number can be written by a pattern.

    Raises:
        ValueError: it is not ``0`` or ``#,##0``, with zeros behind a point for decimals.
    """
    if not PATTERN.fullmatch(pattern):
        raise ValueError("a number is written as '0', '0.00', '#,##0' or '#,##0.00'")


def written(number: Decimal, pattern: str) -> str:
    """A number by a checked pattern, rounded half to even."""
    match = PATTERN.fullmatch(pattern)
    grouped, decimals = (match[1], len(match[2] or "")) if match else (None, 0)
    return format(number, f"{',' if grouped else ''}.{decimals}f")
