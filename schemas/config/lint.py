"""Traps in a valid configuration: what is allowed and probably not meant. A rule is one function of
:data:`~schemas.config.trap.RULES`; those of distribution are in :mod:`schemas.config.route_lint`."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from schemas.config import route_lint
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.config.route import Method
from schemas.config.trap import RULES, Finding, Severity, Trap, rule

__all__ = ["RULES", "Finding", "Severity", "Trap", "lint"]


def lint(configuration: Configuration) -> tuple[Finding, ...]:
    """What every rule finds, warnings first."""
    findings = (
        Finding(code, severity, trap) for code, (severity, rule) in RULES.items() for trap in rule(configuration)
    )
    return tuple(sorted(findings, key=lambda finding: finding.severity is Severity.INFO))


@rule("campaign.unreachable", Severity.WARNING)
def unreachable(configuration: Configuration) -> Iterator[Trap]:
    """A campaign that no lead can ever reach."""
    for campaign in configuration.campaigns:
        buyer = configuration.buyer_by_id[campaign.buyer]
        # A cap on one source's leads may well be 0, and stops no other's.
        if any(cap.limit == 0 and cap.source is None for cap in campaign.caps):
            message = "no lead is ever sold to it: a cap of it is 0"
            hint = "leave the cap out for none, or write status: paused to stop it for a while"
            yield Trap("campaigns", campaign.id, "caps", message, hint)
        elif any(cap.limit == 0 and cap.source is None for cap in buyer.caps) or buyer.credit == 0:
            message = f"no lead is ever sold to it: a cap of its buyer {buyer.id}, or its credit, is 0"
            hint = "leave the cap or the credit out for none, or write status: paused to stop it for a while"
            yield Trap("campaigns", campaign.id, "buyer", message, hint)


@rule("campaign.paused", Severity.INFO)
def paused(configuration: Configuration) -> Iterator[Trap]:
    """A campaign that is switched off."""
    for campaign in configuration.campaigns:
        if campaign.status == "paused":
            yield Trap("campaigns", campaign.id, "status", "paused: it is offered no new leads")


@rule("campaign.free", Severity.WARNING)
def free(configuration: Configuration) -> Iterator[Trap]:
    """A campaign that pays nothing."""
    for campaign in configuration.campaigns:
        if campaign.price == 0:
            message = "leads are given away: its price is 0"
            yield Trap("campaigns", campaign.id, "price", message, 'write the price of a lead, such as price: "12.50"')


@rule("campaign.contradiction", Severity.WARNING)
def contradiction(configuration: Configuration) -> Iterator[Trap]:
    """A filter that takes back what another asks for, word for word."""
    for campaign in configuration.campaigns:
        required = {f.require for f in campaign.filters if f.require is not None}
        for one in campaign.filters:
            if one.unless is not None and one.unless in required:
                message = f"no lead passes: filter {one.name!r} refuses what another one requires"
                yield Trap("campaigns", campaign.id, "filters", message, "take one of the two out")


@rule("campaign.plain_http", Severity.WARNING)
def plain_http(configuration: Configuration) -> Iterator[Trap]:
    """A delivery that sends people's data unencrypted over a network."""
    for campaign in configuration.campaigns:
        parts = urlsplit(campaign.delivery.url)
        if parts.scheme == "http" and not _loopback(parts.hostname or ""):
            message = f"leads go to {parts.hostname} unencrypted"
            yield Trap("campaigns", campaign.id, "delivery", message, "use https://")


@rule("vertical.unused", Severity.WARNING)
def unused_vertical(configuration: Configuration) -> Iterator[Trap]:
    """A vertical whose leads nobody buys."""
    for vertical in configuration.verticals:
        campaigns = configuration.campaigns_of[vertical.name]
        if all(campaign.status == "paused" for campaign in campaigns):
            what = "every campaign for it is paused" if campaigns else "it has no campaign"
            yield Trap("verticals", vertical.name, None, f"all its leads stay unsold: {what}")


@rule("buyer.unused", Severity.WARNING)
def unused_buyer(configuration: Configuration) -> Iterator[Trap]:
    """A buyer who buys nothing."""
    buying = {campaign.buyer for campaign in configuration.campaigns}
    for buyer in configuration.buyers:
        if buyer.id not in buying:
            yield Trap("buyers", buyer.id, None, "it has no campaign, so it gets no leads")


@rule("source.open", Severity.WARNING)
def open_source(configuration: Configuration) -> Iterator[Trap]:
    """A source without a key where others have keys."""
    if any(source.keys for source in configuration.sources):
        for source in configuration.sources:
            if not source.keys:
                message = "anybody may post leads in its name to the intake: it has no key, and other sources do"
                yield Trap("sources", source.id, "keys", message, "`leadline source key` makes one")


@rule("source.unrouted", Severity.WARNING)
def unrouted_source(configuration: Configuration) -> Iterator[Trap]:
    """A source whose leads of a vertical no route takes."""
    for source in configuration.sources:
        for vertical, routes in configuration.routes_of.items():
            may_send = not source.verticals or vertical in source.verticals
            if may_send and routes and all(route.sources and source.id not in route.sources for route in routes):
                message = f"its leads of {vertical} stay unsold: every route of {vertical} is for other sources"
                yield Trap("sources", source.id, None, message, "add it to the sources of a route")


@rule("source.stopped", Severity.WARNING)
def stopped_source(configuration: Configuration) -> Iterator[Trap]:
    """A cap that lets no lead of a source or a sub id through."""
    hint = "leave the cap out for none, or write status: paused, which says so to the sender"
    for source in configuration.sources:
        if any(cap.limit == 0 for cap in source.caps):
            yield Trap("sources", source.id, "caps", "all its leads are rejected: a cap of it is 0", hint)
        for sub in source.sub_ids:
            if any(cap.limit == 0 for cap in sub.caps):
                message = f"all leads of its sub id {sub.id} are rejected: a cap of it is 0"
                yield Trap("sources", source.id, "sub_ids", message, hint)


@rule("source.paid_all", Severity.WARNING)
def paid_all(configuration: Configuration) -> Iterator[Trap]:
    """A source that is paid the whole of every price."""
    for source in configuration.sources:
        if source.revshare == 100:
            message = "nothing of a sale remains: its revshare is 100 percent"
            yield Trap(
                "sources", source.id, "revshare", message, 'write its share of each price, such as revshare: "70"'
            )


@rule("source.paused", Severity.INFO)
def paused_source(configuration: Configuration) -> Iterator[Trap]:
    """A source, or a sub id, that is switched off."""
    yield from _sources_with(configuration, "paused", "paused: its leads are rejected")


@rule("source.test", Severity.INFO)
def test_source(configuration: Configuration) -> Iterator[Trap]:
    """A source, or a sub id, whose leads are never sold."""
    yield from _sources_with(configuration, "test", "all its leads are test leads: none is ever posted to a buyer")


def _sources_with(configuration: Configuration, status: str, message: str) -> Iterator[Trap]:
    for source in configuration.sources:
        if source.status == status:
            yield Trap("sources", source.id, "status", message)
        for sub in source.sub_ids:
            if sub.status == status:
                yield Trap("sources", source.id, "sub_ids", f"sub id {sub.id}: {message}")


@rule("campaign.always_open", Severity.INFO)
def always_open(configuration: Configuration) -> Iterator[Trap]:
    """Campaigns without a schedule: told once where none has one."""
    open_ = [c for c in configuration.campaigns if c.schedule is None or not c.schedule.open]
    message = "open around the clock: no schedule says when it buys"
    if len(open_) > 1 and len(open_) == len(configuration.campaigns):
        yield Trap("campaigns", None, None, "all campaigns are open around the clock: no schedule says when they buy")
        return
    for campaign in open_:
        yield Trap("campaigns", campaign.id, "schedule", message)


@rule("campaign.everywhere", Severity.INFO)
def everywhere(configuration: Configuration) -> Iterator[Trap]:
    """A campaign without geography buys in every place."""
    for campaign in configuration.campaigns:
        if not (campaign.states or campaign.zips or campaign.radius or campaign.area_codes):
            yield Trap("campaigns", campaign.id, "states", "it buys everywhere: no geography restricts it")


@rule("campaign.tie", Severity.INFO)
def ties(configuration: Configuration) -> Iterator[Trap]:
    """Campaigns of equal priority that compete for the same leads: they take turns, whatever they pay."""
    for place, campaigns in _by_priority(configuration):
        groups: defaultdict[int, list[Campaign]] = defaultdict(list)
        for campaign in campaigns:
            groups[campaign.priority].append(campaign)
        for priority, group in groups.items():
            tied = [one for one in group if any(one is not other and _meet(one, other) for other in group)]
            if tied:
                others = ", ".join(campaign.id for campaign in tied[1:])
                message = f"has priority {priority} in {place} in common with {others}: those that overlap take turns"
                yield Trap("campaigns", tied[0].id, "priority", message, "lower goes first")


def _by_priority(configuration: Configuration) -> Iterator[tuple[str, Sequence[Campaign]]]:
    """The campaigns that are asked by their priority, with the name of where that is."""
    for vertical, routes in configuration.routes_of.items():
        if not routes:
            yield vertical, configuration.campaigns_of[vertical]
        for route in routes:
            for group, campaigns in zip(route.groups, route_lint.members(configuration, route), strict=False):
                if group.method is Method.PRIORITY:
                    yield f"group {group.name} of route {route.id}", campaigns


def _meet(one: Campaign, other: Campaign) -> bool:
    if "paused" in (one.status, other.status):
        return False
    return all(
        not mine or not theirs or not set(mine).isdisjoint(theirs)
        for mine, theirs in ((one.states, other.states), (one.area_codes, other.area_codes))
    )


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
