"""Geography: distances are right, a radius is a circle, and how a campaign's places combine."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Any

import cel
import pytest
import zipcodes
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import NOW, campaign, lead

from schemas.reasons import Reason
from streams.routing.eligibility import EligibilityIndex
from streams.routing.geography import EARTH_RADIUS_MILES, area_code, centres, miles_between, zips_within
from streams.routing.predicates import Failing, explain

ATLANTA, DECATUR, MARIETTA, CHATTANOOGA, LOS_ANGELES = "30303", "30030", "30060", "37402", "90012"
MILITARY = "09001"

places = st.sampled_from(sorted(centres().by_zip))


def haversine(one: str, other: str) -> float:
    """The textbook's formula, over the package's own rows."""
    (a,), (b,) = zipcodes.matching(one), zipcodes.matching(other)  # type: ignore[no-untyped-call]
    lat1, lon1, lat2, lon2 = (radians(float(row[name])) for row in (a, b) for name in ("lat", "long"))
    h = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_MILES * asin(sqrt(h))


@pytest.mark.parametrize(
    ("one", "other", "miles"), [("10001", "90001", 2450), (ATLANTA, CHATTANOOGA, 105), ("99501", "96813", 2780)]
)
def test_distances_between_known_cities(one: str, other: str, miles: float) -> None:
    assert miles_between(one, other) == pytest.approx(miles, rel=0.02)


def test_distances_are_the_textbooks() -> None:
    known = sorted(centres().by_zip)
    for one, other in zip(known[::4001], known[7::3989], strict=False):
        assert miles_between(one, other) == pytest.approx(haversine(one, other), abs=1e-6)


@given(places, st.floats(0.01, 400))
def test_a_radius_has_the_zips_within_it_and_no_other(centre: str, miles: float) -> None:
    within = zips_within(centre, miles)
    assert centre in within
    by_distance = {other: miles_between(centre, other) or 0.0 for other in list(centres().by_zip)[::37]}
    assert {other for other, distance in by_distance.items() if distance <= miles} == within & by_distance.keys()


def test_a_radius_goes_over_state_lines_and_the_date_line() -> None:
    assert LOS_ANGELES not in zips_within(ATLANTA, 1900) < zips_within(ATLANTA, 2000)
    assert LOS_ANGELES in zips_within(ATLANTA, 2000)
    assert {CHATTANOOGA, "29601"} <= zips_within(ATLANTA, 150)  # Tennessee, South Carolina
    assert "96960" in zips_within("96799", 3000)  # Majuro lies west of 180°, Pago Pago east of it


def test_military_mail_is_nowhere() -> None:
    assert miles_between(MILITARY, ATLANTA) is None
    assert zips_within(MILITARY, 3000) == frozenset()
    assert MILITARY not in zips_within(ATLANTA, 3000)


@pytest.mark.parametrize(("phone", "code"), [("+14045550123", "404"), (None, None), ("+442079460000", None)])
def test_the_area_code_of_a_phone(phone: str | None, code: str | None) -> None:
    assert area_code(phone) == code


NEAR_ATLANTA = [{"zip": ATLANTA, "miles": 15}]
NEAR_CHATTANOOGA = [{"zip": CHATTANOOGA, "miles": 30}]
GEORGIA = {"states": ["GA"]}
NOWHERE: list[str] = []

GEO_FILTERS: list[tuple[dict[str, Any], dict[str, Any], Reason | None]] = [
    # no geography at all: everywhere
    ({"states": NOWHERE}, {"zip": LOS_ANGELES, "state": "CA"}, None),
    ({"states": NOWHERE}, {"zip": MILITARY, "state": "AE"}, None),
    # states
    (GEORGIA, {"zip": ATLANTA, "state": "GA"}, None),
    (GEORGIA, {"zip": LOS_ANGELES, "state": "CA"}, Reason.FILTER_STATE),
    # zips
    ({"states": NOWHERE, "zips": [ATLANTA]}, {"zip": ATLANTA}, None),
    ({"states": NOWHERE, "zips": [ATLANTA]}, {"zip": DECATUR}, Reason.FILTER_ZIP),
    # a radius
    ({"states": NOWHERE, "radius": NEAR_ATLANTA}, {"zip": ATLANTA}, None),
    ({"states": NOWHERE, "radius": NEAR_ATLANTA}, {"zip": DECATUR}, None),
    ({"states": NOWHERE, "radius": NEAR_ATLANTA}, {"zip": MARIETTA}, Reason.FILTER_RADIUS),
    ({"states": NOWHERE, "radius": NEAR_ATLANTA}, {"zip": MILITARY, "state": "AE"}, Reason.FILTER_RADIUS),
    ({"states": NOWHERE, "radius": [*NEAR_ATLANTA, {"zip": MARIETTA, "miles": 1}]}, {"zip": MARIETTA}, None),
    # a list adds to the circles
    ({"states": NOWHERE, "zips": [MARIETTA], "radius": NEAR_ATLANTA}, {"zip": MARIETTA}, None),
    ({"states": NOWHERE, "zips": [MARIETTA], "radius": NEAR_ATLANTA}, {"zip": DECATUR}, None),
    ({"zips": [MARIETTA], "radius": NEAR_ATLANTA}, {"zip": CHATTANOOGA, "state": "GA"}, Reason.FILTER_RADIUS),
    # states restrict the territory
    (
        GEORGIA | {"radius": [{"zip": CHATTANOOGA, "miles": 30}]},
        {"zip": CHATTANOOGA, "state": "TN"},
        Reason.FILTER_STATE,
    ),
    (GEORGIA | {"zips": [CHATTANOOGA]}, {"zip": CHATTANOOGA, "state": "TN"}, Reason.FILTER_STATE),
    # area codes restrict too, and a lead without a phone has none
    ({"area_codes": ["404"]}, {"phone": "+14045550123"}, None),
    ({"area_codes": ["770", "678"]}, {"phone": "+14045550123"}, Reason.FILTER_AREA_CODE),
    ({"area_codes": ["404"]}, {"phone": None}, Reason.FILTER_AREA_CODE),
    ({"zips": [DECATUR], "area_codes": ["770"]}, {"zip": ATLANTA}, Reason.FILTER_ZIP),
]


@pytest.mark.parametrize(("wanted", "place", "reason"), GEO_FILTERS)
def test_row_24_geo_filters_including_zip_radius(
    wanted: dict[str, Any], place: dict[str, Any], reason: Reason | None
) -> None:
    one, who = campaign("one", **wanted), lead(**place)
    assert EligibilityIndex([one]).evaluate(who, NOW, cel.Context).reason_of("one") == reason
    failing = explain(one, who, NOW, cel.Context)
    assert (failing and failing.reason) == reason
    if failing is not None:
        assert who.zip not in failing.actual
        assert who.phone is None or who.phone not in failing.actual


def test_geo_filters_are_explained_with_both_sides() -> None:
    who = lead(zip=CHATTANOOGA, state="TN", phone="+14235550123")
    circles = [*NEAR_ATLANTA, {"zip": MARIETTA, "miles": 2.5}]
    for changes, failing in (
        ({"states": ["GA", "AL"]}, Failing(Reason.FILTER_STATE, "AL, GA", "TN")),
        ({"zips": [ATLANTA]}, Failing(Reason.FILTER_ZIP, "30303", "another")),
        (
            {"radius": circles, "zips": [DECATUR]},
            Failing(Reason.FILTER_RADIUS, "within 15 miles of 30303, 2.5 miles of 30060 or 30030", "outside"),
        ),
        ({"area_codes": [404, 770]}, Failing(Reason.FILTER_AREA_CODE, "404, 770", "423")),
        ({"zips": [f"303{n}" for n in range(10, 40)]}, Failing(Reason.FILTER_ZIP, "one of 30 zips", "another")),
    ):
        assert explain(campaign("one", **{"states": NOWHERE} | changes), who, NOW, cel.Context) == failing
