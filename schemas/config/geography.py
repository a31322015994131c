"""Where a campaign buys: lists of zips and area codes, and circles around zips."""

from __future__ import annotations

from typing import Annotated, Any

import zipcodes
from pydantic import AfterValidator, BeforeValidator, Field

from schemas.config.entity import Entity


def _quoted_zip(value: Any) -> Any:
    if not isinstance(value, int):
        return value
    if 10_000 <= value <= 99_999:
        return str(value)
    # YAML reads a bare 01001 as an octal number: what was written can no longer be known.
    raise ValueError("quote a ZIP code that starts with 0, such as '01001': YAML reads it as a number")


def _code(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


def _mappable(zip_code: str) -> str:
    rows = zipcodes.matching(zip_code)  # type: ignore[no-untyped-call]  # the package has no types
    if not any(float(row["lat"]) or float(row["long"]) for row in rows):
        raise ValueError(f"no place is known for the ZIP code {zip_code}; take one in the middle of the area")
    return zip_code


Zip = Annotated[str, Field(pattern=r"^[0-9]{5}$"), BeforeValidator(_quoted_zip)]
"""A US ZIP code: five digits. A bare number is taken where it can only mean one."""

AreaCode = Annotated[str, Field(pattern=r"^[2-9][0-9]{2}$"), BeforeValidator(_code)]
"""The first three digits of a North American phone number."""


class Radius(Entity):
    """A circle: every ZIP code whose centre is within ``miles`` (great circle) of the centre of ``zip``."""

    zip: Annotated[Zip, AfterValidator(_mappable)]
    miles: Annotated[float, Field(gt=0, le=3000)]


# Sorted, without repeats: how a list is written is no content of a release.
Zips = Annotated[tuple[Zip, ...], AfterValidator(lambda zips: tuple(sorted(set(zips))))]
AreaCodes = Annotated[tuple[AreaCode, ...], AfterValidator(lambda codes: tuple(sorted(set(codes))))]
Radii = Annotated[
    tuple[Radius, ...], AfterValidator(lambda radii: tuple(sorted(set(radii), key=lambda r: (r.zip, r.miles))))
]
