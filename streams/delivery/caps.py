"""Caps: whether one more lead stays within everything that a campaign and its buyer allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.cap import Cap, CapCounts, CapWindow
from schemas.config.release import Configuration
from schemas.messages import CapUse
from schemas.reasons import Reason
from schemas.values import Frozen, Timestamp
from streams.delivery.counters import UNITS, Count, CountSet, count_set, owners, units, used
from streams.delivery.windows import span_at
from streams.tables import Tables

REASONS: Final = {
    CapWindow.HOUR: Reason.CAP_HOUR,
    CapWindow.DAY: Reason.CAP_DAY,
    CapWindow.WEEK: Reason.CAP_WEEK,
    CapWindow.MONTH: Reason.CAP_MONTH,
    CapWindow.TOTAL: Reason.CAP_TOTAL,
}
NEVER: Final = datetime.max.replace(tzinfo=UTC)
LARGEST: Final = 99_999_999_9999
"""An amount in an event has so many ten-thousandths at most."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A cap as the ledger has it: ``most`` is in the count's units."""

    name: str
    count: Count
    most: int
    reason: Reason

    def takes(self, more: int, used: int) -> bool:
        """Whether ``more`` fits in; a limit of 0 takes nothing, not even for nothing."""
        return self.most > 0 and used + more <= self.most


class Fullness(Frozen):
    """The reason for which a campaign takes no lead, and until when; None: for ever."""

    reason: str
    until: Timestamp | None


class CampaignLimits:
    """Every cap of a campaign, its buyer's and its buyer's credit included. What they count must be kept
    (:func:`counts_of`) before they are asked."""

    def __init__(self, campaign: Campaign, buyer: Buyer) -> None:
        own, account = owners(campaign.id, buyer.id)
        limits = [_limit(own, cap, campaign.time_zone, cap.name) for cap in campaign.caps]
        limits += [_limit(account, cap, buyer.time_zone or "UTC", f"buyer:{cap.name}") for cap in buyer.caps]
        if buyer.credit is not None:
            count = Count(owner=account, window=CapWindow.TOTAL, counts=CapCounts.SPEND, source=None, time_zone="UTC")
            limits.append(Limit("credit", count, int(buyer.credit * UNITS), Reason.CREDIT_EXHAUSTED))
        self.limits: Final = tuple(limits)
        self.buyer: Final = buyer.id
        self.company: Final = buyer.company
        exclusive = campaign.exclusive_price
        self._least: Final = campaign.price if exclusive is None else min(campaign.price, exclusive)

    def refusal(self, tables: Tables, price: Decimal, source: str, now: datetime) -> Reason | None:
        """The reason of the first cap that one more lead at a price would exceed."""
        for limit in self.limits:
            if limit.count.source in (None, source):
                more = units(limit.count.counts, price)
                if not limit.takes(more, used(tables, limit.count, now)):
                    return limit.reason
        return None

    def fullness(self, tables: Tables, now: datetime) -> Fullness | None:
        """Of the caps that are used up for every source, the one that is so for longest."""
        found: list[tuple[datetime, Limit]] = []
        for limit in self.limits:
            more = units(limit.count.counts, self._least)
            if limit.count.source is None and not limit.takes(more, used(tables, limit.count, now)):
                found.append((span_at(limit.count.window, limit.count.time_zone, now).end or NEVER, limit))
        if not found:
            return None
        until, limit = max(found, key=lambda one: one[0])
        return Fullness(reason=limit.reason, until=None if until is NEVER else until)

    def uses(self, tables: Tables, now: datetime) -> Sequence[CapUse]:
        """What is used of each cap."""
        return [_use(limit, used(tables, limit.count, now), now) for limit in self.limits]


def limits_of(configuration: Configuration) -> dict[str, CampaignLimits]:
    """The campaigns that have any cap, by id."""
    found = {c.id: CampaignLimits(c, configuration.buyer_by_id[c.buyer]) for c in configuration.campaigns}
    return {campaign: limits for campaign, limits in found.items() if limits.limits}


def counts_of(limits: Iterable[CampaignLimits]) -> CountSet:
    """What campaigns' caps count."""
    return count_set(limit.count for own in limits for limit in own.limits)


def _limit(owner: str, cap: Cap, time_zone: str, name: str) -> Limit:
    # The window without an end is the same in every zone, and its counter must not hang on one.
    zone = "UTC" if cap.window is CapWindow.TOTAL else cap.time_zone or time_zone
    count = Count(owner=owner, window=cap.window, counts=cap.counts, source=cap.source, time_zone=zone)
    most = int(cap.limit * UNITS) if cap.counts is CapCounts.SPEND else int(cap.limit)
    return Limit(name, count, most, REASONS[cap.window])


def _use(limit: Limit, used: int, now: datetime) -> CapUse:
    count = limit.count
    span = span_at(count.window, count.time_zone, now)
    return CapUse.trusted(
        {
            "cap": limit.name,
            "since": span.key,
            "until": span.end,
            "limit": _amount(limit.most, count),
            "used": _amount(used, count),
        }
    )


def _amount(number: int, count: Count) -> Decimal:
    scaled = number if count.counts is CapCounts.SPEND else number * UNITS
    return Decimal(min(scaled, LARGEST)).scaleb(-4)
