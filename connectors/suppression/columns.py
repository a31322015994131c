"""Which column of a CSV file holds what: by the header, by what was asked for, or by what the first row looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.suppression.errors import SuppressionError
from connectors.suppression.normal_form import NORMAL_FORM, InvalidValueError, day, digest
from schemas.config.suppression import Hashed, ListField, MatchRule

DATE: Final = "date"
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "phone": ("phone", "phone_number", "phone_no", "phone1", "phone_1", "primary_phone", "home_phone", "mobile",
                      "mobile_phone", "cell", "cell_phone", "telephone", "tel", "caller_id", "ani"),
    "email": ("email", "email_address", "e_mail", "mail", "primary_email"),
    "first_name": ("first_name", "firstname", "first", "fname", "given_name"),
    "last_name": ("last_name", "lastname", "last", "lname", "surname", "family_name"),
    "zip": ("zip", "zip_code", "zipcode", "postal_code", "postcode"),
    DATE: ("date", "created", "created_at", "created_date", "date_created", "date_added", "added_at", "received_at",
           "sold_at", "sold_date", "lead_date", "timestamp"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Positions of columns, from 0. ``header`` tells whether the first row is one."""

    fields: dict[ListField, int]
    date: int | None
    header: bool


def find_columns(
    first: Sequence[str], rule: MatchRule, wanted: Mapping[str, str], *, dated: bool, date_format: str | None = None
) -> Columns:
    """The columns that a rule needs, by the file's first row.

    Args:
        wanted: A column's name or number from 1, by field or ``date``; the others are found.
        dated: Whether to look for dates; those that ``wanted`` names are taken anyway.

    Raises:
        SuppressionError: a column is missing or could be several; the message says how to name it.
    """
    sought: dict[str, Callable[[str], str]] = {field: reader_of(field, rule) for field in rule.compared}
    if dated or DATE in wanted:
        sought[DATE] = lambda text: str(day(text, date_format))
    if strange := wanted.keys() - sought.keys():
        raise SuppressionError(f"--column {min(strange)}=… is for nothing here; columns are {', '.join(sought)}")
    titles = [_snake_case(cell) for cell in first]
    titled = {name: _of_title(name, titles, rule) for name in sought}
    contacts = [read for name, read in sought.items() if name in ("phone", "email")]
    named = any(not column.isdecimal() for column in wanted.values())
    header = named or (any(titled.values()) and not any(_fits(read, cell) for read in contacts for cell in first))
    places: dict[str, int] = {}
    for name, read in sought.items():
        if name in wanted:
            places[name] = _wanted(wanted[name], titles)
            continue
        found = titled[name] if header else [at for at, cell in enumerate(first) if _fits(read, cell)]
        if not wanted and len(first) == 1 and name in rule.compared:
            found = [0]  # nothing to choose from: a list of phones and emails has both in one column
        if len(found) > 1:
            numbers = ", ".join(str(at + 1) for at in found)
            raise SuppressionError(f"columns {numbers} may each be the {name}; choose one with --column {name}=NUMBER")
        if found:
            places[name] = found[0]
        elif name in rule.required:
            raise SuppressionError(f"no column looks like the {name}; name it with --column {name}=NUMBER")
    fields = {field: places[field] for field in rule.compared if field in places}
    if not fields:
        raise SuppressionError("no column looks like a phone or an email; name them with --column phone=NUMBER")
    return Columns(fields, places.get(DATE), header)


def reader_of(name: ListField, rule: MatchRule) -> Callable[[str], str]:
    """What brings a field's text into the form that is hashed; it raises InvalidValueError."""
    if rule.hashed is not Hashed.NONE:
        return lambda text: digest(text, rule.hashed)
    return NORMAL_FORM[name]


def _of_title(name: str, titles: list[str], rule: MatchRule) -> list[int]:
    names = set(_NAMES[name])
    if rule.hashed is not Hashed.NONE and name != DATE:
        hashes = {f"{title}_{suffix}" for title in names for suffix in (rule.hashed, "hash", "hashed")}
        hashes |= {f"{prefix}_{title}" for title in names for prefix in (rule.hashed, "hash", "hashed")}
        if len(rule.compared) == 1:
            hashes |= {rule.hashed, "hash", "digest"}
        if found := [at for at, title in enumerate(titles) if title in hashes]:
            return found
    return [at for at, title in enumerate(titles) if title in names]


def _wanted(column: str, titles: list[str]) -> int:
    if column.isdecimal():
        if not 1 <= int(column) <= len(titles):
            raise SuppressionError(f"there is no column {column}: the first row has {len(titles)}")
        return int(column) - 1
    try:
        return titles.index(_snake_case(column))
    except ValueError:
        raise SuppressionError(f"the header has no column {column!r}; `head -1` shows it, or use a number") from None


def _fits(read: Callable[[str], str], cell: str) -> bool:
    try:
        read(cell)
    except InvalidValueError:
        return False
    return True


def _snake_case(title: str) -> str:
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", title.strip())
    return re.sub(r"\W+", "_", separated.lower()).strip("_")
