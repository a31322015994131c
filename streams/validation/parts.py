"""The parts of typed fields: what a phone, a ZIP code or a date of birth says besides itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

from schemas.config.field import FieldType
from schemas.dates import age
from streams.validation.places import Place, place_of


def parts_of(kind: FieldType, text: str, on: date) -> dict[str, Any]:
    """The parts of a canonical text, as :data:`schemas.config.field.PARTS` lists them; None for what is not known.

    ``on`` is the day at which an age is taken. A type without parts has none.
    """
    build = _BUILDERS.get(kind)
    return build(text, on) if build else {}


def _phone(text: str, on: date) -> dict[str, Any]:
    return {"area_code": text[2:5], "exchange": text[5:8], "line": text[8:]}


_NOWHERE: Final = Place("", None, None, None, None, None)


def _zip(text: str, on: date) -> dict[str, Any]:
    place = place_of(text) or _NOWHERE
    return {
        "state": place.state or None,
        "county": place.county,
        "city": place.city,
        "time_zone": place.time_zone,
        "latitude": place.latitude,
        "longitude": place.longitude,
    }


def _date(text: str, on: date) -> dict[str, Any]:
    return {"age": age(date.fromisoformat(text), on)}


_BUILDERS: Final[dict[FieldType, Callable[[str, date], dict[str, Any]]]] = {
    FieldType.PHONE: _phone,
    FieldType.US_ZIP: _zip,
    FieldType.DATE: _date,
}
