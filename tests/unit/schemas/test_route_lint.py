"""The linter's rules of distribution: each finds its trap, and sound routes are quiet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from kit.builders import campaign, configuration

from schemas.config.campaign import Campaign
from schemas.config.lint import lint
from schemas.config.margin import Margin
from schemas.config.route import Group, Route, Unsold
from schemas.config.schedule import Schedule, Window
from schemas.config.source import Source

DAYTIME = Schedule(open=(Window(opens="09:00", closes="17:00"),))
ALL = {"name": "all", "method": "round_robin"}


def sound(name: str, **changes: object) -> Campaign:
    return campaign(name, **{"price": "12.50", "schedule": DAYTIME} | changes)


def shared(name: str, **changes: object) -> Campaign:
    return sound(name, exclusivity="shared", **changes)


def route(name: str = "main", *groups: dict[str, Any], **changes: object) -> Route:
    return Route.model_validate({"id": name, "vertical": "solar", "groups": groups or (ALL,), **changes})


def found(*parts: Campaign | Route | Source) -> list[tuple[str, str | None, str | None]]:
    release = configuration(
        *(part for part in parts if isinstance(part, Campaign)),
        routes=[part for part in parts if isinstance(part, Route)],
        sources=[part for part in parts if isinstance(part, Source)],
    )
    return [(f.code, f.trap.id, f.trap.field) for f in lint(release)]


def message(*parts: Campaign | Route | Source) -> str:
    release = configuration(
        *(part for part in parts if isinstance(part, Campaign)),
        routes=[part for part in parts if isinstance(part, Route)],
        sources=[part for part in parts if isinstance(part, Source)],
    )
    (finding,) = lint(release)
    return finding.trap.message


def test_sound_routes_are_quiet() -> None:
    groups = ({"name": "first", "campaigns": ["a"], "method": "weighted"}, ALL)
    acme = Source(id="acme", payout=Decimal(10))
    own = route("acme", *groups, sources=["acme"], max_sales=2, priority=1, floor="10", margin={"amount": "1"})
    assert found(sound("a", weight=5), shared("b"), acme, own, route()) == []


@pytest.mark.parametrize("method", ["weighted", "percentage"])
def test_weights_that_sum_to_nothing(method: str) -> None:
    own = route("main", {"name": "all", "method": method})
    assert found(sound("a", weight=0), sound("b", weight=0), own) == [("route.weightless", "main", "groups")]
    assert found(sound("a", weight=0), sound("b"), own) == []


def test_a_weight_that_no_method_asks_for() -> None:
    told = [("campaign.weight_unused", "a", "weight")]
    assert found(sound("a", weight=5), route()) == told
    assert found(sound("a", weight=5)) == told
    by_weight = route("b", {"name": "all", "method": "weighted"}, filters=[{"name": "ca", "require": "state == 'CA'"}])
    assert found(sound("a", weight=5), route(priority=200), by_weight) == []


@pytest.mark.parametrize(
    ("of_route", "of_group", "trap"), [(1, None, True), (3, 1, True), (3, 2, False), (3, None, False)]
)
def test_sent_to_all_where_one_can_buy(of_route: int, of_group: int | None, trap: bool) -> None:
    group = {"name": "all", "method": "send_to_all"} | ({"max_sales": of_group} if of_group else {})
    told = [("route.sent_to_one", "main", "max_sales")] if trap else []
    assert found(shared("a"), shared("b"), route("main", group, max_sales=of_route)) == told


def test_several_sales_where_nobody_shares() -> None:
    told = [("route.nothing_shared", "main", "max_sales")]
    assert found(sound("a"), sound("b"), route(max_sales=2)) == told
    assert found(sound("a"), shared("b"), route(max_sales=2)) == []


def test_a_campaign_that_no_route_of_its_vertical_asks() -> None:
    named = {"name": "named", "campaigns": ["a"]}
    assert found(sound("a"), sound("b"), route("main", named)) == [("campaign.unrouted", "b", None)]
    assert found(sound("a"), sound("b"), route("main", named, unsold={"sweeper": "b"})) == []
    assert found(sound("a"), sound("b"), route("main", named), route("other", ALL, priority=1, sources=["s"]), S) == []
    # Another vertical's campaigns are no matter of this one's routes.
    assert found(sound("a"), sound("b", vertical="roofing"), route("main", named)) == []


S = Source(id="s")


@pytest.mark.parametrize(
    ("first", "second", "trap"),
    [
        ({}, {}, True),
        ({}, {"sources": ["s"]}, True),
        ({"sources": ["s"]}, {}, False),
        ({"sources": ["s", "t"]}, {"sources": ["s"]}, True),
        ({"sources": ["s"]}, {"sources": ["s", "t"]}, False),
        ({"filters": [{"name": "x", "require": "state == 'CA'"}]}, {}, False),
        (
            {"filters": [{"name": "x", "require": "state == 'CA'"}]},
            {"filters": [{"name": "y", "require": "true"}]},
            False,
        ),
        ({}, {"filters": [{"name": "x", "require": "state == 'CA'"}]}, True),
        ({"consent": {"required": ["text"]}}, {}, False),
        ({"consent": {"required": ["text"]}}, {"consent": {"required": ["text"]}}, True),
    ],
)
def test_a_route_that_another_always_goes_before(
    first: dict[str, object], second: dict[str, object], trap: bool
) -> None:
    routes = (route("second", priority=2, **second), route("first", priority=1, **first))
    told = [("route.shadowed", "second", "priority")] if trap else []
    assert found(sound("a"), S, Source(id="t"), *routes) == told


def test_a_group_of_all_others_where_there_are_none() -> None:
    own = route("main", {"name": "named", "campaigns": ["a", "b"]}, ALL)
    assert found(sound("a", priority=1), sound("b"), own) == [("route.empty_group", "main", "groups")]


def test_a_campaign_under_the_floor_of_a_route() -> None:
    told = [("campaign.under_floor", "a", "price")]
    assert found(sound("a"), route(floor="12.51")) == told
    assert found(sound("a"), route(floor="12.50")) == []
    assert found(sound("a"), route(floor="20"), Source(id="s", floor=Decimal(5))) == []
    roofing = sound("r", vertical="roofing")
    assert (
        found(sound("a"), roofing, route(floor="20"), Source(id="s", floor=Decimal(5), verticals=("roofing",))) == told
    )
    hybrid = sound("a", exclusivity="hybrid", exclusive_price="20")
    assert found(hybrid, route(floor="20")) == []


def test_leads_that_cost_more_than_campaigns_pay() -> None:
    told = [("source.cost", "s", "payout")]
    dear = Source(id="s", payout=Decimal(15))
    # The one that pays too little is not asked; that none pays enough is the trap.
    assert found(sound("a"), sound("b", price="20"), dear, route()) == []
    assert "sells none" in message(sound("a"), dear, route())
    loose = dear.model_copy(update={"ignore_margin": True})
    assert found(sound("a"), sound("b", price="20"), loose, route()) == told
    assert "at a loss to a:" in message(sound("a"), sound("b", price="20"), loose, route())
    assert found(sound("a"), Source(id="s", payout=Decimal(15), margin=Margin(amount=Decimal(0))), route()) == told
    # The publisher's part of the price comes off it, and a shared leg bears its part of the payout.
    assert found(sound("a"), Source(id="s", payout=Decimal(10), revshare=Decimal(50)), route()) == told
    assert found(shared("a", price="7.50"), dear, route(max_sales=2)) == []
    roofing = sound("r", vertical="roofing", price="20")
    assert found(sound("a"), roofing, Source(id="s", payout=Decimal(15), verticals=("roofing",)), route()) == []


def test_a_hybrid_campaign_that_pays_less_for_more() -> None:
    told = [("campaign.hybrid_price", "a", "exclusive_price")]
    assert found(sound("a", exclusivity="hybrid", exclusive_price="12.49")) == told
    assert found(sound("a", exclusivity="hybrid", exclusive_price="12.50")) == []


def test_ties_are_told_where_campaigns_are_asked_by_priority() -> None:
    by_priority = route("main", {"name": "all"})
    assert "priority 100 in group all of route main" in message(sound("a"), sound("b"), by_priority)
    assert found(sound("a"), sound("b"), route()) == []
    apart = route("main", {"name": "one", "campaigns": ["a"]}, {"name": "two"})
    assert found(sound("a"), sound("b"), apart) == []


def test_the_sweeper_is_in_no_other_group() -> None:
    own = Route(id="main", vertical="solar", groups=(Group(name="all"),), unsold=Unsold(sweeper="b"))
    assert found(sound("a"), sound("b"), own) == []
