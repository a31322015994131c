"""The configuration: mistakes are named, and a release's hash is its content."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import campaign, cap, configuration, money
from pydantic import ValidationError

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.config.vertical import Vertical
from schemas.raw_lead import label_of

ONE = campaign("one", caps=(cap(5),), price="12.5")
TWO = campaign("two", priority=1)
CONFIGURATION = configuration(ONE, TWO)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"verticals": (*CONFIGURATION.verticals, Vertical(name="solar"))}, "vertical named twice: solar"),
        ({"buyers": (*CONFIGURATION.buyers, Buyer(id="one", name="Another"))}, "buyer named twice: one"),
        ({"campaigns": (ONE, ONE)}, "campaign named twice: one"),
        ({"buyers": CONFIGURATION.buyers[:1]}, "campaign two: no buyer 'two' is configured"),
        ({"verticals": ()}, "campaign one: no vertical 'solar' is configured"),
    ],
)
def test_references_are_checked(changes: dict[str, Any], fault: str) -> None:
    parts = {name: getattr(CONFIGURATION, name) for name in ("verticals", "buyers", "campaigns")}
    with pytest.raises(ValidationError, match=fault):
        Configuration(**parts | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "Not A Name"},
        {"states": frozenset({"Georgia"})},
        {"status": "off"},
        {"zips": ["3030"]},
        {"zips": [513]},  # a bare 01001 in YAML
        {"radius": [{"zip": "30303", "miles": 0}]},
        {"radius": [{"zip": "00000", "miles": 5}]},
        {"radius": [{"zip": "09001", "miles": 5}]},  # military mail has no place
        {"area_codes": ["104"]},
        {"schedule": {"open": [{"from": "09:00", "to": 1020}]}},  # a bare 17:00 in YAML
        {"schedule": {"open": [{"from": "09:00", "to": "9"}]}},
        {"schedule": {"open": [{"from": "24:00", "to": "09:00"}]}},
        {"schedule": {"open": [{"from": "00:00", "to": "00:00"}]}},
        {"schedule": {"open": [{"days": [], "from": "00:00", "to": "24:00"}]}},
        {"schedule": {"closed_dates": ["2026-02-30"]}},
        {"filters": [{"name": "bill", "require": "bill >"}]},
        {"filters": [{"name": "bill"}]},
        {"filters": [{"name": "bill", "require": "true", "unless": "true"}]},
        {"filters": [{"name": "bill", "require": "true"}, {"name": "bill", "unless": "false"}]},
        {"priority": -1},
        {"caps": [{"window": "day", "limit": -1}]},
        {"caps": [{"window": "day", "limit": "1.5"}]},
        {"caps": [{"window": "fortnight", "limit": 1}]},
        {"caps": [{"window": "day", "limit": 1}, {"window": "day", "limit": 2}]},
        {"exclusive_price": "20"},
        {"exclusivity": "hybrid"},
        {"max_share": {"percent": 0}},
        {"price": "-1"},
        {"price": "1.00001"},
        {"price": "123456789"},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../etc/passwd"},
        {"time_zone": ""},
        {"dayly_cap": 5},
        {"delivery": {"kind": "direct_post", "url": "ftp://example.com"}},
    ],
)
def test_a_campaign_with_a_mistake_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Campaign.model_validate(ONE.model_dump() | changes)


@pytest.mark.parametrize("name", ["4155550100", "415-555-0100", "1", "2026_11", "West", "", "-a", "a" * 64])
def test_an_id_is_a_name_and_no_number(name: str) -> None:
    with pytest.raises(ValidationError):
        Campaign.model_validate(ONE.model_dump() | {"id": name})


@pytest.mark.parametrize("name", ["a", "1a", "a-1", "4155550100x", "a" * 63])
def test_a_name_has_a_letter(name: str) -> None:
    assert Campaign.model_validate(ONE.model_dump() | {"id": name}).id == label_of(name)


def fresh(document: dict[str, Any] | None = None) -> Configuration:
    return Configuration.model_validate(document or CONFIGURATION.model_dump())


def test_a_release_is_known_by_its_content() -> None:
    assert (
        fresh().release
        == CONFIGURATION.release
        == Configuration.model_validate_json(CONFIGURATION.model_dump_json()).release
    )
    assert len(CONFIGURATION.release) == 16
    used = fresh()
    assert used.campaign_by_id
    assert used.vertical_by_name
    assert used.campaigns_of
    assert used.release == CONFIGURATION.release  # what was looked up before is no content


def test_released_hashes_never_change() -> None:
    """The hash stands on every event: the same file must give it on every machine and after every upgrade."""
    assert CONFIGURATION.release == "ed482fecc5b08de2"


@given(st.permutations(["CA", "GA", "NY", "TX", "WA"]))
def test_the_order_of_states_is_no_content(states: list[str]) -> None:
    expected = configuration(campaign("one", states=frozenset(["CA", "GA", "NY", "TX", "WA"])))
    written = expected.model_dump()
    written["campaigns"][0]["states"] = states
    assert fresh(written).release == expected.release


def test_equal_prices_are_one_content() -> None:
    prices = ("45", "45.0", Decimal("45.0000"), 45)
    assert len({configuration(campaign("one", price=price)).release for price in prices}) == 1


CHANGES = [
    ("id", "three"),
    ("states", ["CA"]),
    ("states", []),
    ("status", "paused"),
    ("zips", ["30303"]),
    ("radius", [{"zip": "30303", "miles": 25}]),
    ("area_codes", ["404"]),
    ("schedule", {"open": [{"days": ["mon"], "from": "09:00", "to": "17:00"}]}),
    ("schedule", {"closed_dates": ["2026-12-25"]}),
    ("filters", [{"name": "owner", "require": "zip_city == 'Atlanta'"}]),
    ("filters", [{"name": "owner", "unless": "zip_city == 'Atlanta'"}]),
    ("priority", 7),
    ("price", "12.51"),
    ("weight", 2),
    ("exclusivity", "shared"),
    ("caps", [{"window": "day", "limit": 6}]),
    ("caps", [{"window": "day", "limit": 5, "counts": "sent"}]),
    ("caps", []),
    ("max_share", {"percent": 50}),
    ("time_zone", "America/New_York"),
    ("delivery", {"url": "http://127.0.0.1:9/other"}),
    ("delivery", {"url": "http://127.0.0.1:9/leads", "idempotent": False}),
    ("delivery", {"url": "http://127.0.0.1:9/leads", "timeout_seconds": 9}),
    ("delivery", {"url": "http://127.0.0.1:9/leads", "retry_seconds": 9}),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_any_change_of_a_campaign_is_another_release(name: str, value: object) -> None:
    document = CONFIGURATION.model_dump()
    document["campaigns"][0][name] = value
    assert fresh(document).release != CONFIGURATION.release


def test_every_field_of_a_campaign_is_tried() -> None:
    others = {"buyer", "vertical", "exclusive_price"}  # the last goes with a hybrid campaign
    assert {name for name, _ in CHANGES} | others == set(Campaign.model_fields)


def test_any_other_change_is_another_release() -> None:
    releases = {CONFIGURATION.release}
    for section, name, value in (("verticals", "dedup", [{"days": 7}]), ("buyers", "name", "Another")):
        document = CONFIGURATION.model_dump()
        document[section][0][name] = value
        releases.add(fresh(document).release)
    document = CONFIGURATION.model_dump()
    document["campaigns"][0]["buyer"] = "two"
    releases.add(fresh(document).release)
    document["verticals"] = [*document["verticals"], {"name": "roofing"}]
    releases.add(fresh(document).release)
    document["campaigns"][0]["vertical"] = "roofing"
    releases.add(fresh(document).release)
    assert len(releases) == 6


@given(money)
def test_every_amount_has_four_decimals(price: Decimal) -> None:
    assert campaign("one", price=price).price.as_tuple().exponent == -4


def test_look_ups() -> None:
    release = configuration(ONE, TWO, campaign("three", vertical="roofing"), campaign("aaa"))
    assert [c.id for c in release.campaigns_of["solar"]] == ["two", "aaa", "one"]
    assert [c.id for c in release.campaigns_of["roofing"]] == ["three"]
    assert release.campaign_by_id["one"] is release.campaigns[0]
    assert release.vertical_by_name["solar"].dedup[0].window == timedelta(days=30)
