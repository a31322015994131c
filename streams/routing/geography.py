"""Places: the centres of ZIP codes, distances between them, and the area code of a phone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache
from math import asin, cos, degrees, dist, radians, sin
from typing import Final

import zipcodes

EARTH_RADIUS_MILES: Final = 3958.7613

Vector = tuple[float, float, float]
"""A point on the unit sphere."""


@dataclass(frozen=True)
class Centres:
    """The centre of every ZIP code that has a place, by ZIP code, and from south to north as latitudes and names."""

    by_zip: dict[str, Vector]
    latitudes: list[float]
    zips: list[str]


@cache
def centres() -> Centres:
    """The centres that the ``zipcodes`` package knows; about half a second the first time."""
    places = sorted(
        (float(row["lat"]), float(row["long"]), str(row["zip_code"]))
        for row in zipcodes.list_all()  # type: ignore[no-untyped-call]  # the package has no types
    )
    places = [place for place in places if place[0] or place[1]]  # military mail stands at 0, 0: it is nowhere
    return Centres({z: _vector(lat, lon) for lat, lon, z in places}, [p[0] for p in places], [p[2] for p in places])


def _vector(latitude: float, longitude: float) -> Vector:
    lat, lon = radians(latitude), radians(longitude)
    return cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat)


def _miles(one: Vector, other: Vector) -> float:
    # From the chord: unlike the arc cosine it is exact for near places too.
    return 2 * EARTH_RADIUS_MILES * asin(min(1.0, dist(one, other) / 2))


def miles_between(zip_code: str, other: str) -> float | None:
    """The great-circle distance between the centres of two ZIP codes, or None where one has no known place."""
    by_zip = centres().by_zip
    if zip_code not in by_zip or other not in by_zip:
        return None
    return _miles(by_zip[zip_code], by_zip[other])


def zips_within(zip_code: str, miles: float) -> frozenset[str]:
    """Every ZIP code whose centre is at most ``miles`` from the centre of ``zip_code``, itself included."""
    known = centres()
    centre = known.by_zip.get(zip_code)
    if centre is None:
        return frozenset()
    latitude = degrees(asin(centre[2]))
    band = degrees(miles / EARTH_RADIUS_MILES) + 1e-6
    first, last = bisect_left(known.latitudes, latitude - band), bisect_right(known.latitudes, latitude + band)
    by_zip = known.by_zip
    return frozenset(other for other in known.zips[first:last] if _miles(centre, by_zip[other]) <= miles)


def area_code(phone: str | None) -> str | None:
    """The area code of a North American number in E.164, or None."""
    return phone[2:5] if phone is not None and phone.startswith("+1") else None
