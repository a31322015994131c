"""A vertical's market under one release: its campaigns by index, and its routes with all that does not hang on a lead
worked out beforehand.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Final, NamedTuple

import cel

from schemas.config.campaign import Campaign, Exclusivity
from schemas.config.margin import NO_LOSS
from schemas.config.release import Configuration
from schemas.config.route import Group, Method, Route
from schemas.config.source import Source
from schemas.decision import Bid, Candidate, Refusal, Tier
from schemas.expressions import names_read
from schemas.reasons import Reason
from streams.routing.eligibility import STANDARD_VERTICAL, EligibilityIndex
from streams.routing.lead_values import LeadValues
from streams.routing.prices import PLACES, least_price
from streams.validation.folding import folded

FREE: Final = Decimal("0.0000")
ANY_SOURCE: Final = Source(id="any")
"""In place of a source that is not configured: it costs nothing."""


@dataclass(frozen=True)
class PreparedGroup:
    """A group of a route: its campaigns as a mask, and the tier it is on the slip.

    ``weights`` is the sum of all its campaigns' weights; ``key`` is what its memory is kept under. The ``sweeper`` of
    the route is a group of its own.
    """

    group: Group
    key: str
    mask: int
    weights: int
    tier: Tier
    sweeper: bool


class Row(NamedTuple):
    """A campaign in a route, as a decision about the leads of one source needs it: the number of its group, its legs
    that fetch enough, and the better price of these in ten-thousandths."""

    group: int
    campaign: Campaign
    price: int
    exclusive: Candidate | None
    shared: Candidate | None


NO_GROUP: Final = -1


class LeastPrices(NamedTuple):
    """The lowest price that may be paid for each kind of leg of a source's leads; None where no price is enough."""

    exclusive: Decimal | None
    shared: Decimal | None


class Prices(NamedTuple):
    """What a campaign pays for a lead that nobody else gets, and for one that others may get too; None where it buys no
    such lead."""

    exclusive: Decimal | None
    shared: Decimal | None

    @property
    def best(self) -> Decimal:
        """The higher one."""
        return max((price for price in self if price is not None), default=FREE)

    def reach(self, least: LeastPrices) -> bool:
        """Whether one of the legs fetches enough."""
        both = zip(self, least, strict=True)
        return any(price is not None and enough is not None and price >= enough for price, enough in both)

    def bid(self, bid: Bid) -> Prices:
        """What a campaign that bids pays instead, for the legs that it buys."""
        return Prices(
            None if self.exclusive is None else bid.exclusive,
            None if self.shared is None else bid.shared,
        )


@dataclass(frozen=True)
class PricedRoute:
    """A route for the leads of one source: the campaigns whose best price reaches the floor, and the margin, with the
    prices that do; and a row for each campaign, in the index's order."""

    floor: int
    margin: int
    at_floor: LeastPrices
    least: LeastPrices
    rows: tuple[Row, ...]
    first_tier: int


@dataclass
class PreparedRoute:
    """A route, ready to decide."""

    route: Route
    market: Market
    _priced: dict[Hashable, PricedRoute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.filters = [(cel.compile(own.expression), own.wanted) for own in self.route.filters]
        """The route's filters: each with what it must be."""
        names = frozenset[str]().union(*(names_read(program) for program, _ in self.filters))
        self.values = LeadValues(self.market.vertical, names)

    @cached_property
    def groups(self) -> tuple[PreparedGroup, ...]:
        """The route's groups in order; the sweeper is the last, alone."""
        index, route = self.market.index, self.route
        sweeper = route.unsold.sweeper if route.unsold else None
        named = index.mask_of([*(name for group in route.groups for name in group.campaigns), sweeper or ""])
        found = [
            self._prepared(group, index.mask_of(group.campaigns) if group.campaigns else index.everyone & ~named)
            for group in route.groups
        ]
        if sweeper is not None:
            # It buys what is left of a lead, so a lead that is sold comes to it too while others may have it.
            found.append(self._prepared(Group(name="sweeper"), index.mask_of([sweeper]), sweeper=True))
        return tuple(found)

    @cached_property
    def listed(self) -> int:
        """The campaigns of any group."""
        mask = 0
        for group in self.groups:
            mask |= group.mask
        return mask

    @cached_property
    def overflow(self) -> Market | None:
        """The market of the second vertical, where unsold leads go."""
        unsold = self.route.unsold
        if unsold is None or unsold.vertical is None:
            return None
        return market_of(self.market.configuration, unsold.vertical)

    @cached_property
    def tiers(self) -> list[Tier]:
        """The tiers of a slip by this route alone: its groups."""
        return [group.tier for group in self.groups]

    @cached_property
    def as_overflow(self) -> list[Tier]:
        """The tiers where leads of another vertical come to when nobody there took them: no sweeper sweeps those."""
        groups = [group for group in self.groups if not group.sweeper]
        return [group.tier.model_copy(update={"name": group.key, "unsold": True}) for group in groups]

    def priced(self, source: Source, first_tier: int = 0) -> PricedRoute:
        """The route for a source's leads; its groups are the slip's tiers from ``first_tier`` on, which is the first
        for leads of its own vertical only."""
        # By its terms and not its id: sources of equal terms, which may be many, share all that follows from them.
        terms = (source.payout, source.revshare, source.floor, source.margin, source.ignore_margin, first_tier)
        found = self._priced.get(terms)
        if found is None:
            found = self._priced[terms] = self._price(source, first_tier)
        return found

    def _prepared(self, group: Group, mask: int, *, sweeper: bool = False) -> PreparedGroup:
        tier = Tier(name=group.name, max_sales=group.max_sales, stop=group.if_sold == "stop", unsold=False)
        weights = sum(campaign.weight for campaign in self.market.index.members(mask))
        return PreparedGroup(group, f"{self.route.id}/{group.name}", mask, weights, tier, sweeper)

    def _price(self, source: Source, first_tier: int) -> PricedRoute:
        route, index = self.route, self.market.index
        floor = route.floor if source.floor is None else source.floor
        margin = None if source.ignore_margin else source.margin or route.margin or NO_LOSS
        payout, revshare = source.payout or FREE, source.revshare or FREE
        # A shared leg bears its part of what the lead costs; leads of another vertical are sold once here.
        sales = 1 if first_tier else route.max_sales
        least = LeastPrices(
            least_price(floor, margin, payout, revshare),
            least_price(floor, margin, payout / sales, revshare),
        )
        at_floor = LeastPrices(floor, floor)
        both = [(campaign, prices_of(campaign)) for campaign in index.campaigns]
        return PricedRoute(
            floor=index.mask_of(c.id for c, own in both if own.reach(at_floor)),
            margin=index.mask_of(c.id for c, own in both if own.reach(least)),
            at_floor=at_floor,
            least=least,
            rows=tuple(self._row(campaign, own, least, first_tier) for campaign, own in both),
            first_tier=first_tier,
        )

    def with_bids(self, priced: PricedRoute, bids: Mapping[str, Bid]) -> tuple[tuple[Row, ...], int, int]:
        """The rows and the masks of floor and margin, where some campaigns have said what they pay for this lead."""
        index, floor, margin = self.market.index, priced.floor, priced.margin
        rows = list(priced.rows)
        for place, campaign in enumerate(index.campaigns):
            if bid := bids.get(campaign.id):
                bit = index.mask_of((campaign.id,))
                prices = prices_of(campaign).bid(bid)
                floor = floor | bit if prices.reach(priced.at_floor) else floor & ~bit
                margin = margin | bit if prices.reach(priced.least) else margin & ~bit
                rows[place] = self._row(campaign, prices, priced.least, priced.first_tier)
        return tuple(rows), floor, margin

    def _row(self, campaign: Campaign, prices: Prices, least: LeastPrices, first_tier: int) -> Row:
        bit = self.market.index.mask_of((campaign.id,))
        group = next((number for number, group in enumerate(self.groups) if group.mask & bit), NO_GROUP)

        def leg(price: Decimal | None, enough: Decimal | None, *, exclusive: bool) -> Candidate | None:
            if group == NO_GROUP or price is None or enough is None or price < enough:
                return None
            return Candidate(
                campaign=campaign.id,
                buyer=campaign.buyer,
                company=self.market.company_of(campaign),
                price=price,
                exclusive=exclusive,
                tier=first_tier + group,
            )

        exclusive = leg(prices.exclusive, least.exclusive, exclusive=True)
        shared = leg(prices.shared, least.shared, exclusive=False)
        best = max((one.price for one in (exclusive, shared) if one is not None), default=FREE)
        return Row(group, campaign, int(best.scaleb(PLACES)), exclusive, shared)


def prices_of(campaign: Campaign) -> Prices:
    """What a campaign pays, as it is configured."""
    if campaign.exclusivity is Exclusivity.EXCLUSIVE:
        return Prices(campaign.price, None)
    return Prices(campaign.exclusive_price, campaign.price)


class Market:
    """See the module. Made once a release by :func:`market_of`."""

    def __init__(self, configuration: Configuration, vertical: str) -> None:
        # By weak reference: the configuration keeps its markets, so a market must not keep the configuration.
        self._configuration = weakref.ref(configuration)
        self.vertical: Final = configuration.vertical_by_name.get(vertical, STANDARD_VERTICAL)
        self.index: Final = EligibilityIndex(configuration.campaigns_of.get(vertical, ()), self.vertical)
        self.name: Final = vertical
        self.sources: Final = configuration.source_by_id
        own = configuration.routes_of.get(vertical, ())
        default = Route(
            id=f"{self.vertical.name}-default"[:63], vertical=self.vertical.name, groups=(Group(name="all"),)
        )
        self.routes: Final = tuple(PreparedRoute(route, self) for route in own or (default,))
        self._companies = {buyer.id: buyer.company for buyer in configuration.buyers}
        self.of_company: Final = self._by(lambda campaign: self._companies.get(campaign.buyer, campaign.buyer))
        self._of_buyer = self._by(lambda campaign: campaign.buyer)
        self._windows: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._sellers: defaultdict[str, int] = defaultdict(int)
        for buyer in configuration.buyers:
            mask = self._of_buyer.get(buyer.id, 0)
            if buyer.duplicate_days and mask:
                name = buyer.company if buyer.duplicate_scope == "parent" else buyer.id
                self._windows[buyer.duplicate_scope, name].append((buyer.duplicate_days, mask))
            for seller in {buyer.id, folded(buyer.name).casefold()}:
                self._sellers[seller] |= mask
        exclusive = (c.id for c in self.index.campaigns if c.exclusivity is Exclusivity.EXCLUSIVE)
        self.exclusive: Final = self.index.mask_of(exclusive)
        """The campaigns that buy only what nobody else gets."""
        hybrid = (c.id for c in self.index.campaigns if c.exclusivity is Exclusivity.HYBRID)
        self._hybrid = self.index.mask_of(hybrid)
        self.limited: Final = self.index.mask_of(c.id for c in self.index.campaigns if c.max_share is not None)
        """The campaigns that have a share limit."""
        self._full: tuple[Mapping[str, str], list[tuple[str, int]]] = ({}, [])

    def prepare(self) -> None:
        """Work out now what the first lead would otherwise wait for."""
        for prepared in self.routes:
            _ = prepared.listed, prepared.overflow
        _ = self.learners

    @cached_property
    def learners(self) -> frozenset[str]:
        """The campaigns that are ranked by how they answered, those of second verticals included."""
        seconds = [prepared.overflow for prepared in self.routes]
        return frozenset(
            campaign.id
            for market in (self, *filter(None, seconds))
            for prepared in market.routes
            for group in prepared.groups
            if group.group.method is Method.HIGHEST_EARNINGS
            for campaign in market.index.members(group.mask)
        )

    @property
    def configuration(self) -> Configuration:
        """The release."""
        found = self._configuration()
        assert found is not None  # noqa: S101  # whoever has the market has the release
        return found

    def company_of(self, campaign: Campaign) -> str:
        """The parent company of a campaign's buyer, or the buyer."""
        return self.company_of_buyer(campaign.buyer)

    def company_of_buyer(self, buyer: str) -> str:
        """The parent company of a buyer, or the buyer, also where the release has no such buyer any more."""
        return self._companies.get(buyer, buyer)

    def with_company(self, buyer: str, company: str) -> int:
        """The campaigns of the company that a buyer was of, and of the one it is of now: one that has another parent
        since has had its leads all the same."""
        return self.of_company.get(company, 0) | self.of_company.get(self.company_of_buyer(buyer), 0)

    def declined(self, refusals: Sequence[Refusal]) -> int:
        """The campaigns that none of a lead's legs are left of, after these refusals. Where a buyer has the lead from
        elsewhere its company has; a hybrid campaign that would not have it alone may still share it."""
        if not refusals:
            return 0
        mask, legs = 0, {(refusal.campaign, refusal.exclusive) for refusal in refusals}
        for refusal in refusals:
            if refusal.reason == Reason.BUYER_DUPLICATE:
                mask |= self.with_company(refusal.buyer, refusal.company)
                continue
            bit = self.index.mask_of((refusal.campaign,))
            if not bit & self._hybrid or (refusal.campaign, not refusal.exclusive) in legs:
                mask |= bit
        return mask

    def bought_before(self, buyer: str, company: str, days: float) -> int:
        """The campaigns that are closed to a person whose lead this buyer bought so many days ago."""
        mask = 0
        for window, closed in (*self._windows.get(("buyer", buyer), ()), *self._windows.get(("parent", company), ())):
            if days < window:
                mask |= closed
        return mask

    def named(self, sellers: Iterable[str]) -> int:
        """The campaigns of the buyers that a consent names."""
        mask = 0
        for seller in sellers:
            mask |= self._sellers.get(folded(seller).casefold(), 0)
        return mask

    def full(self, full: Mapping[str, str]) -> list[tuple[str, int]]:
        """The campaigns at a cap: each reason with their mask."""
        if self._full[0] is not full:
            masks: dict[str, int] = {}
            for campaign, reason in full.items():
                if bit := self.index.mask_of((campaign,)):
                    masks[reason] = masks.get(reason, 0) | bit
            self._full = full, sorted(masks.items())
        return self._full[1]

    def _by(self, name_of: Callable[[Campaign], str]) -> dict[str, int]:
        masks: defaultdict[str, int] = defaultdict(int)
        for campaign in self.index.campaigns:
            masks[name_of(campaign)] |= self.index.mask_of((campaign.id,))
        return dict(masks)


def market_of(configuration: Configuration, vertical: str) -> Market:
    """The market of a vertical (empty where it is unknown), built once for as long as the configuration lives."""
    markets = _markets.get(id(configuration))
    if markets is None:
        markets = _markets[id(configuration)] = {}
        weakref.finalize(configuration, _markets.pop, id(configuration), None)
    if vertical not in markets:
        markets[vertical] = Market(configuration, vertical)
    return markets[vertical]


# By identity: hashing a configuration of a thousand campaigns takes longer than a decision.
_markets: Final[dict[int, dict[str, Market]]] = {}
