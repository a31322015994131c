"""The decision about a lead: a pure function of the lead, the market, the moment and what routing remembers.

What it read of the last is in its facts, so that the same decision can be made again from the event alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from schemas.config.campaign import Campaign
from schemas.config.route import Route
from schemas.decision import Bid, Candidate, Facts, Failed, PriorSale, Refusal, Share, Slip, Standing, Tier, Trace
from schemas.events import LeadUnique
from schemas.reasons import Reason
from schemas.values import in_milliseconds
from streams.expressions import Answer, evaluate
from streams.routing import eligibility
from streams.routing.legs import legs
from streams.routing.market import ANY_SOURCE, Market, PreparedGroup, PreparedRoute, Row
from streams.routing.methods import Kind, Ordered, ordered
from streams.routing.shares import allows
from streams.routing.tiers import tiers_of
from streams.validation.consent import consent_faults

CAPS: Final = frozenset(
    {Reason.CAP_HOUR, Reason.CAP_DAY, Reason.CAP_WEEK, Reason.CAP_MONTH, Reason.CAP_TOTAL, Reason.CREDIT_EXHAUSTED}
)
NOTHING_LIFTED: Final[Mapping[str, Collection[Reason]]] = {}


class Memory(Protocol):
    """What routing remembers, as one decision asks for it."""

    @property
    def full(self) -> Mapping[str, str]:
        """Campaigns at a cap, each with the reason."""
        ...

    @property
    def bids(self) -> Sequence[Bid]:
        """What campaigns offered for this very lead."""
        ...

    def sales(self) -> Sequence[PriorSale]:
        """The sales of the person's leads, this one's among them, the earliest first."""
        ...

    def refusals(self) -> Sequence[Refusal]:
        """The legs that earlier decisions of the run asked, and whose buyers would not have the lead."""
        ...

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """What the method of the group under ``key`` remembers of campaigns that qualify."""
        ...

    def share(self, campaign: Campaign) -> Share:
        """For how many leads a campaign with a share limit qualified, this one included, and how many others it was
        given."""
        ...


class Turn(NamedTuple):
    """What a group's method is to remember of a decision."""

    key: str
    kind: Kind
    total: float
    values: dict[str, float]


class Decision(NamedTuple):
    """What is decided. Without a ``slip`` nobody qualifies, for ``reason``. ``route`` is the one that decided, None
    where none took the lead; ``turns`` and ``given`` (campaigns with a share limit on the slip) are to be
    remembered."""

    route: Route | None
    slip: Slip | None
    reason: Reason | None
    trace: Trace
    turns: tuple[Turn, ...] = ()
    given: tuple[str, ...] = ()


@dataclass(slots=True)
class _Notes:
    """What a decision reads and leaves behind, as it goes."""

    standings: list[Standing] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    full: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


class _Case(NamedTuple):
    """The lead in question, and what is known about it."""

    lead: LeadUnique
    at: datetime
    memory: Memory
    own: Sequence[PriorSale]
    kept: Sequence[PriorSale]
    """By those who have the lead, or may have it."""
    others: Sequence[PriorSale]
    refusals: Sequence[Refusal]
    notes: _Notes


def decide(
    lead: LeadUnique,
    at: datetime,
    market: Market,
    memory: Memory,
    resumed_at: str | None = None,
    lifted: Mapping[str, Collection[Reason]] = NOTHING_LIFTED,
) -> Decision:
    """Who is offered a lead at a moment, in which order; and why each other campaign is not.

    ``resumed_at`` is the tier of the campaign that returned the lead: those before it are not asked again. ``lifted``
    campaigns pass the predicates named: what would be, were it not for those.
    """
    sales = list(memory.sales())
    own = [sale for sale in sales if sale.lead_id == lead.lead_id]
    kept = [sale for sale in own if not sale.returned]
    others = [sale for sale in sales if sale.lead_id != lead.lead_id]
    refusals = list(memory.refusals())
    case = _Case(lead, at, memory, own, kept, others, refusals, notes := _Notes())
    prepared = route_for(lead, market)
    slip: Slip | None = None
    if prepared is None:
        notes.failed.append(_failed(market, Reason.NO_ROUTE, market.index.everyone))
    else:
        slip = _slip(case, prepared, resumed_at, lifted)
    facts = Facts.trusted(
        {
            "standings": notes.standings,
            "sales": sales,
            "refusals": refusals,
            "shares": notes.shares,
            "full": notes.full,
            "bids": list(memory.bids),
            "resumed_at": resumed_at,
        }
    )
    trace = Trace.trusted({"failed": notes.failed, "facts": facts})
    if prepared is None:
        return Decision(None, None, Reason.NO_ROUTE, trace)
    if slip is None:
        return Decision(prepared.route, None, Reason.NO_CAMPAIGN, trace)
    given: tuple[str, ...] = ()
    if notes.shares:
        on_slip = {candidate.campaign for candidate in slip.candidates}
        given = tuple(share.campaign for share in notes.shares if share.campaign in on_slip)
    return Decision(prepared.route, slip, None, trace, tuple(notes.turns), given)


def route_for(lead: LeadUnique, market: Market) -> PreparedRoute | None:
    """The first route of a market that takes a lead."""
    for prepared in market.routes:
        route = prepared.route
        if route.sources and lead.source not in route.sources:
            continue
        if route.consent and consent_faults(route.consent, lead.lead.consent, frozenset(), lead.received_at):
            continue
        if prepared.filters:
            context = prepared.values.context(lead.lead, lead.received_at.date(), lead.source)
            if any(
                evaluate(program, context) is not (Answer.HOLDS if wanted else Answer.FAILS)
                for program, wanted in prepared.filters
            ):
                continue
        return prepared
    return None


def _slip(
    case: _Case, prepared: PreparedRoute, resumed_at: str | None, lifted: Mapping[str, Collection[Reason]]
) -> Slip | None:
    route, notes = prepared.route, case.notes
    room = route.max_sales - len(case.kept)
    second = None if (overflow := prepared.overflow) is None else route_for(case.lead, overflow)
    tiers, closed, closed_second = tiers_of(prepared, second, case.kept, resumed_at)
    main = _Section(case, prepared, room, tiers, closed, lifted)
    sections, candidates = [main], main.candidates(sweeper=False)
    if second is not None:
        one = 0 if case.kept else min(room, 1)  # nobody is asked there after a sale
        other = _Section(case, second, one, tiers, closed_second, lifted, len(prepared.tiers))
        sections.append(other)
        candidates += other.candidates(sweeper=False)
    if route.unsold is not None:
        candidates += main.candidates(sweeper=True)
    if owner := _owner(case, route, candidates):
        candidates.sort(key=lambda leg: leg.buyer != owner)  # stable: the rest keeps its order
    _cut(candidates, route.max_candidates, sections)
    for section in sections:
        notes.failed += section.told()
    if not candidates:
        return None
    deadline = None if route.budget_seconds is None else case.at + timedelta(seconds=route.budget_seconds)
    return Slip.trusted(
        {
            "route": route.id,
            "candidates": candidates,
            "tiers": tiers,
            "max_sales": room,
            "deadline": None if deadline is None else in_milliseconds(deadline),
            "paid": bool(case.own) and not all(sale.unknown for sale in case.own),
        }
    )


class _Section:
    """The campaigns of one market for a lead: who qualifies, by which the groups then make legs."""

    def __init__(
        self,
        case: _Case,
        prepared: PreparedRoute,
        room: int,
        tiers: Sequence[Tier],
        closed: int,
        lifted: Mapping[str, Collection[Reason]],
        first_tier: int = 0,
    ) -> None:
        self._case, self._prepared, self._room, self._market = case, prepared, room, prepared.market
        self._tiers, self._first_tier = tiers, first_tier
        index, lead = self._market.index, case.lead
        source = self._market.sources.get(lead.source, ANY_SOURCE)
        priced = prepared.priced(source, first_tier)
        rows, floor, margin = priced.rows, priced.floor, priced.margin
        if bids := {bid.campaign: bid for bid in case.memory.bids}:
            rows, floor, margin = prepared.with_bids(priced, bids)
        before = [(Reason.ROUTE_GROUP, prepared.listed)]
        after = [(Reason.PRICE_FLOOR, floor), (Reason.PRICE_MARGIN, margin)]
        after += self._by_person(closed if room > 0 else index.everyone)
        expressions = index.expressions(lead.lead, lead.received_at.date(), lead.source)
        exempt = {
            reason: index.mask_of(c for c, reasons in lifted.items() if reason in reasons)
            for reason in (frozenset[Reason]().union(*lifted.values()) if lifted else ())
        }
        self.qualified, self._failed = index.judge(lead.lead, case.at, expressions, before, after, exempt)
        self._limit_shares(exempt)
        selected = index.select(self.qualified, rows)
        if len(prepared.groups) == 1:
            self._rows: list[Sequence[Row]] = [selected]
        else:
            self._rows = [[row for row in selected if row.group == place] for place in range(len(prepared.groups))]

    def candidates(self, *, sweeper: bool) -> list[Candidate]:
        """The legs of the groups' campaigns, or of the sweeper, in the order in which they are asked."""
        found: list[Candidate] = []
        for tier, (group, rows) in enumerate(zip(self._prepared.groups, self._rows, strict=True), self._first_tier):
            if rows and group.sweeper is sweeper:
                in_order = [rows[place] for place in self._order(group, rows).order]
                most = self._tiers[tier].max_sales
                room = self._room if most is None else min(self._room, most)
                found += legs(in_order, self._prepared.route.legs, room)
        if not (self._case.kept or self._case.refusals):
            return found
        # A hybrid campaign may have only a leg left that cannot be: for itself alone, or one that it would not have.
        open_to = [leg for leg in found if not (leg.exclusive and self._case.kept)]
        self.fail(Reason.LEAD_SOLD, {leg.campaign for leg in found}.difference(leg.campaign for leg in open_to))
        refused = {(refusal.campaign, refusal.exclusive) for refusal in self._case.refusals}
        left = [leg for leg in open_to if (leg.campaign, leg.exclusive) not in refused]
        self.fail(Reason.LEAD_DECLINED, {leg.campaign for leg in open_to}.difference(leg.campaign for leg in left))
        return left

    def fail(self, reason: Reason, campaigns: Collection[str]) -> None:
        """Campaigns that do not come onto the slip after all."""
        if mask := self.qualified & self._market.index.mask_of(campaigns):
            self._failed.append((reason, mask))
            self.qualified ^= mask

    def told(self) -> list[Failed]:
        """Why each campaign that does not qualify does not; those at a cap are noted."""
        for reason, mask in self._failed:
            if reason in CAPS:
                self._case.notes.full |= {c.id: str(reason) for c in self._market.index.members(mask)}
        return [_failed(self._market, reason, mask) for reason, mask in self._failed]

    def _order(self, group: PreparedGroup, rows: Sequence[Row]) -> Ordered:
        notes, memory = self._case.notes, self._case.memory
        campaigns = [row.campaign for row in rows]

        def read(kind: Kind) -> Standing:
            standing = memory.standing(group.key, kind, campaigns)
            notes.standings.append(standing)
            return standing

        order = ordered(group.group.method, campaigns, [row.price for row in rows], group.weights, read)
        if order.kind is not None and order.total is not None:
            values = {campaigns[place].id: value for place, value in order.changes.items()}
            notes.turns.append(Turn(group.key, order.kind, order.total, values))
        return order

    def _by_person(self, closed: int) -> list[eligibility.Failed]:
        """Predicates about consent, caps and earlier sales: each reason with the campaigns that pass."""
        case, market = self._case, self._market
        everyone = market.index.everyone
        found: list[eligibility.Failed] = []
        if self._prepared.route.named_sellers:
            consent = case.lead.lead.consent
            found.append((Reason.SELLER_NOT_NAMED, market.named(consent.sellers if consent else ())))
        # Only caps: what a later version tells of is no reason here, and a hint is not worth a lead.
        full = market.full(case.memory.full)
        found += [(Reason(reason), everyone & ~mask) for reason, mask in full if reason in CAPS]
        sold = closed
        if case.kept:
            sold |= market.exclusive
        for sale in case.own:
            sold |= market.with_company(sale.buyer, sale.company)
        if sold:
            found.append((Reason.LEAD_SOLD, everyone & ~sold))
        if declined := market.declined(case.refusals):
            found.append((Reason.LEAD_DECLINED, everyone & ~declined))
        bought = 0
        for sale in case.others:
            days = (case.lead.received_at - sale.received_at) / timedelta(days=1)
            bought |= market.bought_before(sale.buyer, sale.company, abs(days))
        if bought:
            found.append((Reason.BUYER_BOUGHT_BEFORE, everyone & ~bought))
        return found

    def _limit_shares(self, exempt: Mapping[Reason, int]) -> None:
        index, case = self._market.index, self._case
        limited, over = self.qualified & self._market.limited, 0
        if not limited:
            return
        for campaign in index.members(limited):
            share = case.memory.share(campaign)
            case.notes.shares.append(share)
            assert campaign.max_share is not None  # noqa: S101  # that is what limited says
            if not allows(share.qualified, share.given, campaign.max_share):
                over |= index.mask_of((campaign.id,))
        if over := over & ~exempt.get(Reason.SHARE_LIMIT, 0):
            self._failed.append((Reason.SHARE_LIMIT, over))
            self.qualified ^= over


def _owner(case: _Case, route: Route, candidates: Sequence[Candidate]) -> str | None:
    """The buyer that bought this person's lead last, within the route's days, if it can be asked."""
    if not route.owner_days:
        return None
    buyers = {leg.buyer for leg in candidates}
    for sale in reversed(case.others):
        age = abs(case.lead.received_at - sale.received_at)
        if not (sale.returned or sale.unknown) and age < timedelta(days=route.owner_days) and sale.buyer in buyers:
            return sale.buyer
    return None


def _cut(candidates: list[Candidate], most: int, sections: Sequence[_Section]) -> None:
    if len(candidates) > most:
        left = {leg.campaign for leg in candidates[most:]}.difference(leg.campaign for leg in candidates[:most])
        del candidates[most:]
        for section in sections:
            section.fail(Reason.SLIP_FULL, left)


def _failed(market: Market, reason: Reason, mask: int) -> Failed:
    return Failed.trusted({"reason": reason.value, "vertical": market.name, "campaigns": market.index.packed(mask)})
