"""What a vertical asks of a lead: typed fields, computed fields, and filters over both.

In expressions and templates every field goes by its name, and each part of it by the field's name with the part's
behind it: ``phone_area_code``, ``zip_county``, ``date_of_birth_age``. A missing value is ``null`` there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from operator import not_
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic import Field as Constraint

from schemas.config.entity import Entity
from schemas.dates import check_format, parse_date
from schemas.expressions import RESERVED


class FieldType(StrEnum):
    """How a field is read, and what it is in expressions."""

    TEXT = "text"
    PHONE = "phone"
    EMAIL = "email"
    US_ZIP = "us_zip"
    US_STATE = "us_state"
    DATE = "date"
    AGE = "age"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    IP = "ip"
    URL = "url"


PARTS: Final[dict[FieldType, dict[str, FieldType]]] = {
    FieldType.PHONE: {"area_code": FieldType.TEXT, "exchange": FieldType.TEXT, "line": FieldType.TEXT},
    FieldType.US_ZIP: {
        "state": FieldType.US_STATE,
        "county": FieldType.TEXT,
        "city": FieldType.TEXT,
        "time_zone": FieldType.TEXT,
        "latitude": FieldType.NUMBER,
        "longitude": FieldType.NUMBER,
    },
    FieldType.DATE: {"age": FieldType.AGE},
}
"""The parts that a field of a type has, and their types."""

STANDARD: Final[dict[str, FieldType]] = {
    "first_name": FieldType.TEXT,
    "last_name": FieldType.TEXT,
    "phone": FieldType.PHONE,
    "email": FieldType.EMAIL,
    "zip": FieldType.US_ZIP,
    "state": FieldType.US_STATE,
}
"""The fields that every lead has; its state follows from its ZIP code where it is left out."""
ALWAYS_REQUIRED: Final = frozenset({"first_name", "last_name", "zip"})
ENVELOPE: Final[dict[str, FieldType]] = {"source": FieldType.TEXT, "test": FieldType.BOOLEAN}
"""What expressions know of a lead besides its fields."""
NOT_FIELDS: Final = frozenset({*ENVELOPE, "lead_id", "vertical"})

SAMPLES: Final[dict[FieldType, object]] = {
    FieldType.TEXT: "1",
    FieldType.PHONE: "+14045550123",
    FieldType.EMAIL: "ada@example.com",
    FieldType.US_ZIP: "30303",
    FieldType.US_STATE: "GA",
    FieldType.DATE: datetime(2001, 2, 3, tzinfo=UTC),
    FieldType.AGE: 30,
    FieldType.NUMBER: 1.0,
    FieldType.MONEY: 1.0,
    FieldType.BOOLEAN: True,
    FieldType.CHOICE: "1",
    FieldType.IP: "192.0.2.1",
    FieldType.URL: "https://example.com/",
}
"""A value of each type, as expressions see it."""

BOUNDED: Final = frozenset({FieldType.NUMBER, FieldType.MONEY, FieldType.AGE, FieldType.DATE})
WITH_LENGTH: Final = frozenset({FieldType.TEXT, FieldType.URL})


def _field_name(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is a word of the expression language; give the field another name")
    if name in NOT_FIELDS:
        raise ValueError(f"{name!r} is read from every lead already; give the field another name")
    return name


FieldName = Annotated[str, Constraint(pattern=r"^[a-z][a-z0-9_]{0,62}$"), AfterValidator(_field_name)]
"""The name of a field in raw leads, expressions and templates."""


def folded_choice(text: str) -> str:
    """What makes two ways of writing a choice the same: case, and spaces, hyphens and underscores between words."""
    return " ".join(text.casefold().replace("-", " ").replace("_", " ").split())


def _with_aliases(choices: Any) -> Any:
    return dict.fromkeys(choices, ()) if isinstance(choices, (list, tuple)) else choices


def _unambiguous(choices: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    owners: dict[str, str] = {}
    for choice, aliases in choices.items():
        for text in (choice, *aliases):
            if not folded_choice(text):
                raise ValueError("a choice cannot be empty")
            if choice != " ".join(choice.split()):
                raise ValueError(f"choice {choice!r} has spaces that no typed text keeps")
            if (owner := owners.setdefault(folded_choice(text), choice)) != choice:
                raise ValueError(f"{text!r} stands for both {owner!r} and {choice!r}")
    return choices


Choices = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_with_aliases, json_schema_input_type=dict[str, tuple[str, ...]] | tuple[str, ...]),
    AfterValidator(_unambiguous),
]
"""Each choice with other ways to write it; a list is choices without."""


def _compiled(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


def _readable(formats: tuple[str, ...]) -> tuple[str, ...]:
    for form in formats:
        check_format(form)
        if "%-" in form:
            raise ValueError(f"{form!r}: write {form.replace('%-', '%')!r}, which reads single digits too")
        iso = date(2001, 2, 3)
        if parse_date(f" {iso.isoformat()}", (f" {form}",)) not in (None, iso):
            raise ValueError(f"{form!r} would read the ISO date 2001-02-03 as another day")
    return formats


class Field(Entity):
    """A typed field of a vertical's leads.

    ``minimum`` and ``maximum`` bound a number, an amount of money, an age or a date (itself included); ``pattern`` is a
    regular expression that a whole text matches; ``maximum_length`` counts a text's characters; ``formats`` are how
    dates may be written besides ISO (month/day/year without any).
    """

    name: FieldName
    type: FieldType
    required: bool = False
    choices: Choices = Constraint(default={}, exclude_if=not_)
    minimum: Annotated[Decimal | date | None, Constraint(union_mode="left_to_right")] = None
    maximum: Annotated[Decimal | date | None, Constraint(union_mode="left_to_right")] = None
    pattern: Annotated[str | None, AfterValidator(_compiled)] = None
    maximum_length: Annotated[int, Constraint(ge=1, le=10_000)] | None = None
    formats: Annotated[tuple[str, ...], AfterValidator(_readable)] = ()

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Field:
        kind = self.type
        for option, given, types in (
            ("choices", self.choices, {FieldType.CHOICE}),
            ("minimum", self.minimum is not None, BOUNDED),
            ("maximum", self.maximum is not None, BOUNDED),
            ("pattern", self.pattern is not None, {FieldType.TEXT}),
            ("maximum_length", self.maximum_length is not None, WITH_LENGTH),
            ("formats", self.formats, {FieldType.DATE}),
        ):
            if given and kind not in types:
                raise ValueError(f"field {self.name}: {option} is for {' or '.join(sorted(types))}, not for {kind}")
        if kind is FieldType.CHOICE and not self.choices:
            raise ValueError(f"field {self.name}: a choice needs choices, such as [own, rent]")
        for option, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is not None and isinstance(bound, date) is not (kind is FieldType.DATE):
                wanted = "a date, such as 2001-02-03" if kind is FieldType.DATE else "a number"
                raise ValueError(f"field {self.name}: {option} must be {wanted}")
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:  # type: ignore[operator]  # both of the field's type
            raise ValueError(f"field {self.name}: the minimum is above the maximum")
        return self

    @model_validator(mode="after")
    def _as_standard(self) -> Field:
        standard = STANDARD.get(self.name)
        if standard is not None and self.type is not standard:
            raise ValueError(f"field {self.name} is of type {standard} in every lead")
        if self.name in ALWAYS_REQUIRED and "required" in self.model_fields_set and not self.required:
            raise ValueError(f"field {self.name} is required of every lead")
        return self


class ComputedField(Entity):
    """A field whose text is computed by a template of transformers over the fields before it, then read by its type.

    What is sent under its name is not used. A text that is none of its type leaves the field missing, with a warning.
    """

    name: FieldName
    type: FieldType
    value: Annotated[str, Constraint(min_length=1)]

    @model_validator(mode="after")
    def _new(self) -> ComputedField:
        if self.name in STANDARD:
            raise ValueError(f"field {self.name} stands in every lead; compute another")
        if self.type is FieldType.CHOICE:
            raise ValueError(f"computed field {self.name}: make it a text, a computed field has no choices")
        return self


class LeadFilter(Entity):
    """An acceptance criterion: rejects a lead unless the CEL expression ``reject_unless`` holds for it.

    ``detail`` tells the source why. A lead for which the expression cannot be evaluated is rejected too.
    """

    name: Annotated[str, Constraint(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    reject_unless: str
    detail: Annotated[str, Constraint(max_length=200)] = ""
