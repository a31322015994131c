"""Traps of distribution: routes, what they ask of campaigns, and what sources' leads cost. Rules of the linter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from schemas.config.campaign import Campaign, Exclusivity
from schemas.config.release import Configuration
from schemas.config.route import Method, Route
from schemas.config.source import Source
from schemas.config.trap import Severity, Trap, rule

WEIGHING: Final = frozenset({Method.WEIGHTED, Method.PERCENTAGE})
"""The methods that ask for weights."""


@rule("campaign.hybrid_price", Severity.WARNING)
def hybrid_price(configuration: Configuration) -> Iterator[Trap]:
    """A hybrid campaign that pays less for a lead of its own than for one that others get too."""
    for campaign in configuration.campaigns:
        if campaign.exclusive_price is not None and campaign.exclusive_price < campaign.price:
            message = f"pays less for an exclusive lead ({campaign.exclusive_price}) than for a shared one"
            hint = f"write an exclusive_price above {campaign.price}, or exclusivity: shared"
            yield Trap("campaigns", campaign.id, "exclusive_price", message, hint)


@rule("campaign.unrouted", Severity.WARNING)
def unrouted(configuration: Configuration) -> Iterator[Trap]:
    """A campaign that no route of its vertical asks."""
    for vertical, routes in configuration.routes_of.items():
        asked = {campaign.id for route in routes for group in members(configuration, route) for campaign in group}
        for campaign in configuration.campaigns_of[vertical] if routes else ():
            if campaign.id not in asked:
                message = f"no lead is ever offered to it: no route of {vertical} asks it"
                hint = "name it in a group, or leave out campaigns in one: that group then has all the others"
                yield Trap("campaigns", campaign.id, None, message, hint)


@rule("campaign.weight_unused", Severity.INFO)
def weight_unused(configuration: Configuration) -> Iterator[Trap]:
    """A weight that no method asks for."""
    counting = {
        campaign.id
        for route in configuration.routes
        for group, own in zip(route.groups, members(configuration, route), strict=False)
        if group.method in WEIGHING
        for campaign in own
    }
    for campaign in configuration.campaigns:
        if campaign.weight != 1 and campaign.id not in counting:
            message = f"its weight of {campaign.weight} counts nowhere: no group that has it goes by weights"
            yield Trap("campaigns", campaign.id, "weight", message, "write method: weighted or percentage in its group")


@rule("campaign.under_floor", Severity.WARNING)
def under_floor(configuration: Configuration) -> Iterator[Trap]:
    """A campaign that pays less than the floor of a route that asks it, whatever the source."""
    for route in configuration.routes:
        own_floors = [s.floor for s in configuration.sources if s.floor is not None and _takes(route, s)]
        floor = min([route.floor, *own_floors])
        for campaign in (campaign for group in members(configuration, route) for campaign in group):
            if (best := max(campaign.price, campaign.exclusive_price or campaign.price)) < floor:
                message = f"route {route.id} never offers it a lead: it pays {best}, and the floor is {floor}"
                yield Trap("campaigns", campaign.id, "price", message, "raise the price, or lower the floor")


@rule("source.cost", Severity.WARNING)
def source_cost(configuration: Configuration) -> Iterator[Trap]:
    """A source whose leads cost more than campaigns pay: not sold, or, where its margin is ignored, sold at a loss."""
    for source in configuration.sources:
        for route in configuration.routes:
            if not _takes(route, source):
                continue
            campaigns = [campaign for group in members(configuration, route) for campaign in group]
            dear = [campaign.id for campaign in campaigns if not _pays_for(campaign, source, route.max_sales)]
            if dear and source.ignore_margin:
                message = f"route {route.id} sells its leads at a loss to {_some(dear)}: they cost more than these pay"
                hint = "leave ignore_margin out to sell none for less than it costs"
                yield Trap("sources", source.id, "payout", message, hint)
            elif dear and len(dear) == len(campaigns):
                message = f"route {route.id} sells none of its leads: they cost more than any of its campaigns pays"
                yield Trap("sources", source.id, "payout", message, "lower the payout or revshare, or raise prices")


@rule("route.shadowed", Severity.WARNING)
def shadowed(configuration: Configuration) -> Iterator[Trap]:
    """A route that another one of its vertical always goes before."""
    for routes in configuration.routes_of.values():
        for place, route in enumerate(routes):
            for before in routes[:place]:
                if _covers(before, route):
                    message = f"never decides: route {before.id} comes first, and takes every lead that this one takes"
                    hint = f"give it a priority below {before.priority}, or {before.id} sources or filters of its own"
                    yield Trap("routes", route.id, "priority", message, hint)
                    break


@rule("route.empty_group", Severity.WARNING)
def empty_group(configuration: Configuration) -> Iterator[Trap]:
    """A group of all the campaigns that no other group names, of which there are none."""
    for route in configuration.routes:
        for group, own in zip(route.groups, members(configuration, route), strict=False):
            if not own and configuration.campaigns_of[route.vertical]:
                message = f"group {group.name} has no campaigns: the other groups name them all"
                yield Trap(
                    "routes", route.id, "groups", message, "take the group out, or some campaigns out of the others"
                )


@rule("route.weightless", Severity.WARNING)
def weightless(configuration: Configuration) -> Iterator[Trap]:
    """A group by weights that sum to nothing."""
    for route in configuration.routes:
        for group, own in zip(route.groups, members(configuration, route), strict=False):
            if group.method in WEIGHING and own and not any(campaign.weight for campaign in own):
                message = f"the weights of group {group.name} sum to nothing: its first campaign gets every lead"
                yield Trap("routes", route.id, "groups", message, "give its campaigns weights above 0")


@rule("route.sent_to_one", Severity.WARNING)
def sent_to_one(configuration: Configuration) -> Iterator[Trap]:
    """A group that is sent to all, of which one can buy."""
    for route in configuration.routes:
        for group in route.groups:
            if group.method is Method.SEND_TO_ALL and min(route.max_sales, group.max_sales or route.max_sales) == 1:
                message = f"group {group.name} is sent to all, and the first that buys ends it: max_sales is 1"
                yield Trap("routes", route.id, "max_sales", message, "raise max_sales, or write method: highest_price")


@rule("route.nothing_shared", Severity.WARNING)
def nothing_shared(configuration: Configuration) -> Iterator[Trap]:
    """Several sales of a lead where every campaign wants it for itself alone."""
    for route in configuration.routes:
        campaigns = [campaign for group in members(configuration, route) for campaign in group]
        exclusive = all(campaign.exclusivity is Exclusivity.EXCLUSIVE for campaign in campaigns)
        if route.max_sales > 1 and campaigns and exclusive:
            message = f"max_sales is {route.max_sales}, and no lead is sold twice: all its campaigns are exclusive"
            yield Trap("routes", route.id, "max_sales", message, "write exclusivity: shared or hybrid in some")


def members(configuration: Configuration, route: Route) -> list[list[Campaign]]:
    """The campaigns of each group of a route, in order; the last are the sweeper, where there is one."""
    sweeper = route.unsold.sweeper if route.unsold else None
    named = {name for group in route.groups for name in group.campaigns} | {sweeper}
    own = configuration.campaigns_of[route.vertical]
    groups = [[c for c in own if (c.id in g.campaigns if g.campaigns else c.id not in named)] for g in route.groups]
    return [*groups, [campaign for campaign in own if campaign.id == sweeper]]


def _takes(route: Route, source: Source) -> bool:
    return (not route.sources or source.id in route.sources) and (
        not source.verticals or route.vertical in source.verticals
    )


def _pays_for(campaign: Campaign, source: Source, max_sales: int) -> bool:
    """Whether each leg of a campaign pays at least what it bears of a lead's cost."""
    share, payout = 1 - (source.revshare or Decimal(0)) / 100, source.payout or Decimal(0)
    exclusive = campaign.price if campaign.exclusivity is Exclusivity.EXCLUSIVE else campaign.exclusive_price
    shared = None if campaign.exclusivity is Exclusivity.EXCLUSIVE else campaign.price
    return (exclusive is None or exclusive * share >= payout) and (
        shared is None or shared * share * max_sales >= payout
    )


def _covers(before: Route, route: Route) -> bool:
    """Whether one route takes every lead that another one takes, as far as their settings tell."""
    if before.sources and not (route.sources and set(route.sources) <= set(before.sources)):
        return False
    if before.consent is not None and before.consent != route.consent:
        return False
    return {(f.require, f.unless) for f in before.filters} <= {(f.require, f.unless) for f in route.filters}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
