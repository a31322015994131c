"""Traps in a valid configuration: what is allowed and probably not meant. A rule is one function of :data:`RULES`."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from schemas.config.campaign import Campaign
from schemas.config.release import Configuration


class Severity(StrEnum):
    """A warning is probably a mistake; information is what one may not expect."""

    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Trap:
    """Where a rule applies: an entity by kind (``campaigns``) and id, a field of it, or a whole kind (``id`` None)."""

    kind: str
    id: str | None
    field: str | None
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Finding:
    """A trap with the rule that found it, such as ``campaign.unreachable``."""

    code: str
    severity: Severity
    trap: Trap


Rule = Callable[[Configuration], Iterator[Trap]]
RULES: Final[dict[str, tuple[Severity, Rule]]] = {}


def rule(code: str, severity: Severity) -> Callable[[Rule], Rule]:
    """Registers a rule under its code."""

    def register(function: Rule) -> Rule:
        RULES[code] = (severity, function)
        return function

    return register


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
        if campaign.daily_cap == 0:
            message = "no lead is ever sold to it: its daily cap is 0"
            hint = "leave daily_cap out for no cap, or write status: paused to stop it for a while"
            yield Trap("campaigns", campaign.id, "daily_cap", message, hint)


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
    for vertical, campaigns in configuration.campaigns_of.items():
        groups: defaultdict[int, list[Campaign]] = defaultdict(list)
        for campaign in campaigns:
            groups[campaign.priority].append(campaign)
        for priority, group in groups.items():
            tied = [one for one in group if any(one is not other and _meet(one, other) for other in group)]
            if tied:
                others = ", ".join(campaign.id for campaign in tied[1:])
                message = (
                    f"has priority {priority} in {vertical} in common with {others}: those that overlap take turns"
                )
                yield Trap("campaigns", tied[0].id, "priority", message, "lower goes first")


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
