"""Routes and margins: mistakes are named, and what a release was before there were routes is the same release."""

from __future__ import annotations

from typing import Any

import pytest
from kit.builders import campaign, configuration
from pydantic import ValidationError

from schemas.config.margin import Margin
from schemas.config.release import Configuration, reference_faults
from schemas.config.route import Route

ROUTE: dict[str, Any] = {
    "id": "main",
    "vertical": "solar",
    "groups": [{"name": "first", "campaigns": ["one"], "method": "round_robin"}, {"name": "rest"}],
    "unsold": {"sweeper": "two"},
}
RELEASE = configuration(campaign("one"), campaign("two"), campaign("roof", vertical="roofing"))


def with_route(**changes: object) -> Configuration:
    return Configuration.model_validate(RELEASE.model_dump() | {"routes": [ROUTE | changes]})


def test_a_route_and_its_campaigns() -> None:
    release = with_route()
    assert [route.id for route in release.routes_of["solar"]] == ["main"]
    assert release.release != RELEASE.release


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"vertical": "pools"}, "route main: no vertical 'pools' is configured"),
        ({"sources": ["acme"]}, "route main: no source 'acme' is configured"),
        ({"groups": [{"name": "a", "campaigns": ["three"]}]}, "route main: no campaign 'three' is configured"),
        ({"unsold": {"sweeper": "three"}}, "route main: no campaign 'three' is configured"),
        ({"unsold": {"vertical": "pools"}}, "route main: no vertical 'pools' is configured"),
        ({"groups": [{"name": "a", "campaigns": ["roof"]}]}, "route main: campaign 'roof' buys roofing, and the route"),
        ({"unsold": {"sweeper": "roof"}}, "route main: campaign 'roof' buys roofing, and the route is of solar"),
        ({"groups": [{"name": "a"}, {"name": "a", "campaigns": ["one"]}]}, "group named twice: a"),
        ({"groups": [{"name": "a"}, {"name": "b"}]}, "only one group may leave out its campaigns"),
        ({"groups": [{"name": "a", "campaigns": ["one", "one"]}]}, "campaign named twice: one"),
        ({"groups": [{"name": "a", "campaigns": ["two"]}]}, "campaign named twice: two"),  # in a group, and the sweeper
        ({"groups": [{"name": "sweeper"}]}, "sweeper is the name of the sweeper campaign's own group"),
        ({"groups": []}, "at least 1 item"),
        ({"unsold": {"vertical": "solar"}}, "the route's own vertical"),
        ({"max_sales": 0}, "greater than or equal to 1"),
        ({"max_candidates": 501}, "less than or equal to 500"),
        ({"margin": {"percent": "15"}}, "percent goes with of: bid or of: cost"),
    ],
)
def test_a_route_with_a_mistake_is_refused(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        with_route(**changes)


def test_a_second_vertical_may_have_campaigns_of_its_own() -> None:
    assert with_route(unsold={"vertical": "roofing"}).routes[0].unsold


def test_faults_between_entities_are_told_of_entities_that_have_faults_of_their_own() -> None:
    routes = [{"id": 5, "vertical": "solar", "groups": [{"campaigns": ["roof", None]}, "x"]}, None, {"groups": "?"}]
    campaigns = [{"id": "roof", "vertical": "roofing"}, {"id": [], "vertical": "solar"}, None]
    document = {"verticals": [{"name": "solar"}, {"name": "roofing"}], "campaigns": campaigns, "routes": routes}
    faults = [fault for fault in reference_faults(document) if fault["loc"][0] == "routes"]
    assert [fault["loc"] for fault in faults] == [("routes", 0, "groups", 0, "campaigns", 0)]


def test_the_order_of_groups_is_content_and_that_of_sources_is_none() -> None:
    groups = ROUTE["groups"]
    assert with_route(groups=groups[::-1]).release != with_route().release
    routes = [Route.model_validate(ROUTE | {"sources": sources}) for sources in (["b", "a"], ["a", "b", "a"])]
    assert routes[0] == routes[1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"amount": "1", "percent": "5", "of": "bid"},
        {"amount": "1", "of": "bid"},
        {"percent": "5"},
        {"percent": "101", "of": "bid"},
        {"percent": "-1", "of": "cost"},
        {"percent": "5", "of": "price"},
        {"amount": "-1"},
    ],
)
def test_a_margin_with_a_mistake_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Margin.model_validate(settings)


@pytest.mark.parametrize(
    "settings", [{"amount": "0"}, {"percent": "0", "of": "cost"}, {"percent": "12.5", "of": "bid"}]
)
def test_a_margin(settings: dict[str, str]) -> None:
    assert Margin.model_validate(Margin.model_validate(settings).model_dump()) == Margin.model_validate(settings)


def test_what_is_left_out_is_no_content() -> None:
    route = with_route().routes[0]
    assert set(route.model_dump()) == {
        "id", "vertical", "groups", "priority", "max_sales", "max_candidates", "legs", "floor", "unsold",
    }  # fmt: skip
    assert route.model_dump()["groups"][1] == {"name": "rest", "method": "priority"}
