"""Where ZIP codes and area codes are, from the package's table, loaded once."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass
from functools import cache
from sys import intern
from typing import Final

import zipcodes

ZIP: Final = re.compile(r"([0-9]{5})(?:-?[0-9]{4})?")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a ZIP code; what is not known of it (a military one's coordinates) is None."""

    state: str
    county: str | None
    city: str | None
    time_zone: str | None
    latitude: float | None
    longitude: float | None


@cache
def _table() -> tuple[dict[str, Place], dict[str, frozenset[str]]]:
    # One look-up in the package takes half a millisecond, more than all rules together; its rows take 100 MB if kept.
    collecting = gc.isenabled()
    gc.disable()  # looking for cycles among rows that have none takes twice as long as the rest
    try:
        return _read()
    finally:
        if collecting:
            gc.enable()


def _read() -> tuple[dict[str, Place], dict[str, frozenset[str]]]:
    places: dict[str, Place] = {}
    states: dict[str, set[str]] = {}
    for row in zipcodes._zipcodes.list_all():  # noqa: SLF001  # the public function keeps its rows for good
        state = intern(row["state"])
        zone = row["timezone"] if "/" in row["timezone"] else None
        latitude, longitude = float(row["lat"] or 0), float(row["long"] or 0)
        located = bool(latitude or longitude)
        places[row["zip_code"]] = Place(
            state,
            intern(row["county"]) if row["county"] else None,
            intern(row["city"]) if row["city"] else None,
            intern(zone) if zone else None,
            latitude if located else None,
            longitude if located else None,
        )
        for area_code in row["area_codes"]:
            states.setdefault(area_code, set()).add(state)
    return places, {code: frozenset(found) for code, found in states.items()}


def parse_zip(text: str) -> str | None:
    """The five digits of a ZIP code that exists, or None; ``text`` is folded, and may be a ZIP+4."""
    digits = zip_digits(text)
    return digits if digits in _table()[0] else None


def zip_digits(text: str) -> str:
    """The five digits of what is written like a ZIP code, or nothing."""
    match = ZIP.fullmatch(text.replace(" ", ""))
    return match[1] if match else ""


def place_of(zip_code: str) -> Place | None:
    """Where a ZIP code is."""
    return _table()[0].get(zip_code)


def states_of_area_code(area_code: str) -> frozenset[str]:
    """The states in which an area code is used; none for one that is not American."""
    return _table()[1].get(area_code, frozenset())
