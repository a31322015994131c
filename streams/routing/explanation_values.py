"""The two values that a predicate compared: what a campaign, or its route, asked for, and what the lead had."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from schemas.config.campaign import Campaign, Exclusivity
from schemas.config.cap import Cap, CapCounts
from schemas.config.margin import NO_LOSS, Margin
from schemas.config.release import Configuration
from schemas.decision import Bid, Facts, PriorSale
from schemas.events import LeadUnique
from schemas.reasons import Reason
from streams.routing.decision import CAPS, route_for
from streams.routing.market import ANY_SOURCE, FREE, LeastPrices, Market, PreparedRoute, Prices, market_of, prices_of
from streams.routing.predicates import Failing, explain

_UNRESTRICTED: Final[dict[Reason, dict[str, Any]]] = {
    Reason.CAMPAIGN_PAUSED: {"status": "active"},
    Reason.FILTER_STATE: {"states": frozenset()},
    Reason.FILTER_ZIP: {"zips": ()},
    Reason.FILTER_RADIUS: {"zips": (), "radius": ()},
    Reason.FILTER_AREA_CODE: {"area_codes": ()},
    Reason.SCHEDULE_CLOSED: {"schedule": None},
    Reason.FILTER_EXPRESSION: {"filters": ()},
    Reason.FILTER_EXPRESSION_ERROR: {"filters": ()},
}
"""What a campaign is without the restriction that gives a reason: its own predicates, which need nothing but it."""


def unrestricted(campaign: Campaign, reasons: Collection[Reason]) -> Campaign:
    """A campaign without what gives certain reasons."""
    changes: dict[str, Any] = {}
    for reason in reasons:
        changes |= _UNRESTRICTED.get(reason, {})
    return campaign.model_copy(update=changes)


def money(amount: Decimal) -> str:
    """An amount with two decimal places, or as many as it has."""
    return f"{amount:.2f}" if amount == round(amount, 2) else f"{amount.normalize():f}"


class Comparisons:
    """The values compared in the decision about one lead."""

    def __init__(self, lead: LeadUnique, at: datetime, configuration: Configuration, facts: Facts) -> None:
        self._lead, self._at, self._configuration, self._facts = lead, at, configuration, facts
        market = market_of(configuration, lead.vertical)
        self._sections: Final[list[tuple[Market, PreparedRoute | None]]] = [(market, route_for(lead, market))]
        first = self._sections[0][1]
        if first is not None and first.overflow is not None:
            second = route_for(lead, first.overflow)
            if second is not None:
                self._sections.append((first.overflow, second))
        self._source = configuration.source_by_id.get(lead.source, ANY_SOURCE)
        self._bids = {bid.campaign: bid for bid in facts.bids}
        self._own = [sale for sale in facts.sales if sale.lead_id == lead.lead_id]
        self._kept = [sale for sale in self._own if not sale.returned]
        self._others = [sale for sale in facts.sales if sale.lead_id != lead.lead_id]

    @property
    def campaigns(self) -> list[Campaign]:
        """The campaigns of the vertical, and of the second one where unsold leads go."""
        return [campaign for market, _ in self._sections for campaign in market.index.campaigns]

    def least_prices(self, campaign: Campaign) -> LeastPrices:
        """The lowest prices that are enough for each kind of leg."""
        prepared = self._prepared(campaign)
        return LeastPrices(None, None) if prepared is None else prepared.priced(self._source).least

    def prices(self, campaign: Campaign) -> Prices:
        """What a campaign pays for this lead: as configured, or its bid."""
        configured, bid = prices_of(campaign), self._bids.get(campaign.id)
        return configured if bid is None else configured.bid(bid)

    @property
    def keepers(self) -> int:
        """How many have the lead, and keep it."""
        return len(self._kept)

    def of(self, campaign: Campaign, reason: Reason, lifted: Collection[Reason] = ()) -> Failing:
        """What a campaign failed by, were it not for the reasons lifted. Never a personal value."""
        if reason in _UNRESTRICTED:
            return self._by_itself(campaign, reason, lifted)
        if reason in CAPS:
            return self._at_cap(campaign, reason)
        expected, actual = self._compared(campaign, reason)
        return Failing(reason, expected, actual)

    def _compared(self, campaign: Campaign, reason: Reason) -> tuple[str, str]:
        prepared = self._prepared(campaign)
        if prepared is None or reason is Reason.NO_ROUTE:
            count = len(market_of(self._configuration, campaign.vertical).routes)
            return "a route that takes the lead", f"none of {count} does"
        route = prepared.route
        if reason is Reason.ROUTE_GROUP:
            return f"a group of route {route.id}", "in none"
        if reason is Reason.PRICE_FLOOR:
            floor = route.floor if self._source.floor is None else self._source.floor
            return f"at least {money(floor)} (floor)", self._paid(campaign)
        if reason is Reason.PRICE_MARGIN:
            return self._enough(campaign, prepared), self._paid(campaign)
        if reason is Reason.SELLER_NOT_NAMED:
            consent, buyer = self._lead.lead.consent, self._configuration.buyer_by_id[campaign.buyer]
            sellers = len(consent.sellers) if consent else 0
            return f"the consent names {buyer.name} or {buyer.id}", f"it names {sellers or 'no'} others"
        if reason is Reason.LEAD_SOLD:
            return self._sold(campaign, prepared)
        if reason is Reason.LEAD_DECLINED:
            return self._declined(campaign, prepared)
        if reason is Reason.BUYER_BOUGHT_BEFORE:
            return self._bought_before(campaign)
        if reason is Reason.SHARE_LIMIT:
            return self._share(campaign)
        if reason is Reason.SLIP_FULL:
            return f"among the first {route.max_candidates} asked", "others rank above it"
        return "", ""

    def _prepared(self, campaign: Campaign) -> PreparedRoute | None:
        return next((prepared for market, prepared in self._sections if market.name == campaign.vertical), None)

    def _by_itself(self, campaign: Campaign, reason: Reason, lifted: Collection[Reason]) -> Failing:
        index = market_of(self._configuration, campaign.vertical).index
        expressions = index.expressions(self._lead.lead, self._lead.received_at.date(), self._lead.source)
        found = explain(unrestricted(campaign, lifted), self._lead.lead, self._at, expressions)
        return found if found is not None and found.reason is reason else Failing(reason, "", "")

    def _at_cap(self, campaign: Campaign, reason: Reason) -> Failing:
        buyer = self._configuration.buyer_by_id[campaign.buyer]
        if reason is Reason.CREDIT_EXHAUSTED:
            credit = "credit left" if buyer.credit is None else f"{money(buyer.credit)} credit of {buyer.id}"
            return Failing(reason, credit, "used up")
        window = reason.removeprefix("cap.")
        caps = [
            f"{_limit(cap)} of {owner.id}" for owner in (campaign, buyer) for cap in owner.caps if cap.window == window
        ]
        return Failing(reason, "; ".join(caps) or "room in the cap", "used up")

    def _paid(self, campaign: Campaign) -> str:
        bid = " bid" if campaign.id in self._bids else ""
        both = self.prices(campaign)
        named = [
            f"{money(price)}{bid} {kind}"
            for kind, price in zip(("exclusive", "shared"), both, strict=True)
            if price is not None
        ]
        return ", ".join(named) or "no bid"

    def _enough(self, campaign: Campaign, prepared: PreparedRoute) -> str:
        source, route = self._source, prepared.route
        least, configured = prepared.priced(source).least, prices_of(campaign)
        enough = [
            f"{money(price)} {kind}" if price is not None else f"no price {kind}"
            for kind, price, own in zip(("exclusive", "shared"), least, configured, strict=True)
            if own is not None
        ]
        payout = source.payout or FREE
        cost = f"payout {money(payout)}"
        if configured.shared is not None and route.max_sales > 1 and payout:
            cost += f", {money(round(payout / route.max_sales, 4))} of it for a shared leg"
        if source.revshare:
            cost += f", revshare {source.revshare.normalize():f}% of the price"
        floor = route.floor if source.floor is None else source.floor
        kept = _margin(source.margin or route.margin or NO_LOSS)
        return f"at least {' or '.join(enough)} (floor {money(floor)}, margin {kept}, {cost})"

    def _sold(self, campaign: Campaign, prepared: PreparedRoute) -> tuple[str, str]:
        most, keepers = prepared.route.max_sales, self.keepers
        main = self._sections[0][1]
        if main is not None and keepers >= main.route.max_sales:
            return f"at most {main.route.max_sales} sales", f"{keepers} keep it"
        company = prepared.market.company_of(campaign)
        now = prepared.market.company_of_buyer
        if had := [sale for sale in self._own if company in (sale.company, now(sale.buyer))]:
            kept = [sale for sale in had if not sale.returned]
            has = "it may have it" if all(sale.unknown for sale in kept) else "it has it"
            return f"{company} has not had this lead", has if kept else "it returned it"
        if keepers and (campaign.exclusivity is not Exclusivity.SHARED):
            return "nobody has this lead", f"{keepers} of at most {most} keep it"
        return self._passed_over(campaign, prepared)

    def _passed_over(self, campaign: Campaign, prepared: PreparedRoute) -> tuple[str, str]:
        """Of one whose group is closed by sales that stand, or before the one that a return starts from."""
        bit = prepared.market.index.mask_of([campaign.id])
        group = next((group for group in prepared.groups if group.mask & bit), None)
        if group is None:
            return "", ""
        second = prepared is not self._sections[0][1]
        if second and self._kept:
            return f"nobody has this lead, to be asked as {prepared.route.id}", f"{self.keepers} keep it"
        name = group.key if second else group.tier.name
        own = sum(sale.tier == name for sale in self._kept)
        if group.tier.max_sales is not None and own >= group.tier.max_sales:
            return f"at most {group.tier.max_sales} sales in group {name}", f"{own} keep it"
        before = prepared.groups[: prepared.groups.index(group)]
        names = {sale.tier for sale in self._kept}
        if stopped := next((one.tier.name for one in before if one.tier.stop and one.tier.name in names), None):
            return f"no sale in group {stopped}, which ends with one", "one keeps it"
        return f"group {self._facts.resumed_at} or a later one, as it was returned there", f"group {name}"

    def _declined(self, campaign: Campaign, prepared: PreparedRoute) -> tuple[str, str]:
        """By a word of its own, or of its company."""
        refusals = self._facts.refusals
        for refusal in refusals:
            if refusal.campaign == campaign.id:
                return f"{campaign.id} has not declined this lead", refusal.reason
        company = prepared.market.company_of(campaign)
        now = prepared.market.company_of_buyer
        said = next((r.reason for r in refusals if company in (r.company, now(r.buyer))), "")
        return f"{company} has not declined this lead", said

    def _bought_before(self, campaign: Campaign) -> tuple[str, str]:
        market = market_of(self._configuration, campaign.vertical)
        bit, ages = market.index.mask_of([campaign.id]), []
        for sale in self._others:
            days = self._age(sale) / timedelta(days=1)
            if market.bought_before(sale.buyer, sale.company, days) & bit:
                ages.append(days)
        buyer = self._configuration.buyer_by_id[campaign.buyer]
        who = buyer.company if buyer.duplicate_scope == "parent" else buyer.id
        return (
            f"{who} bought no lead of this person within {buyer.duplicate_days} days",
            f"one {min(ages, default=0.0):.1f} days before",
        )

    def _share(self, campaign: Campaign) -> tuple[str, str]:
        limit = campaign.max_share
        share = next((share for share in self._facts.shares if share.campaign == campaign.id), None)
        if limit is None or share is None:
            return "", ""
        percent = 100 * (share.given + 1) / share.qualified
        return (
            f"at most {limit.percent.normalize():f}% of the leads it qualified for in {limit.days} days",
            f"this one would be {share.given + 1} of {share.qualified} ({percent:.1f}%)",
        )

    def _age(self, sale: PriorSale) -> timedelta:
        return abs(self._lead.received_at - sale.received_at)


def priced_at(campaign: Campaign, now: Prices, kind: str, price: Decimal) -> Bid:
    """A campaign that pays another price for one kind of leg, ``exclusive`` or ``shared``."""
    return Bid.model_validate({"campaign": campaign.id, **now._asdict(), kind: price})


def _limit(cap: Cap) -> str:
    what = money(cap.limit) if cap.counts is CapCounts.SPEND else f"{cap.limit.normalize():f}"
    unit = {CapCounts.ACCEPTED: "sold", CapCounts.SENT: "sent", CapCounts.SPEND: "spent"}[cap.counts]
    window = "in all" if cap.window == "total" else f"a {cap.window}"
    return f"{what} {unit} {window}" + (f" from {cap.source}" if cap.source else "")


def _margin(kept: Margin) -> str:
    if kept.percent is None:
        return money(kept.amount or FREE)
    return f"{kept.percent.normalize():f}% of the {kept.of}"
