"""What routing remembers in its tables, and what a decision left in an event: both answer a decision's questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from schemas.config.campaign import Campaign
from schemas.decision import Bid, Facts, PriorSale, Share, Standing
from schemas.events import LeadDelivered, LeadUndelivered, LeadUnique
from schemas.reasons import Reason
from schemas.values import Frozen
from streams.routing.decision import Decision
from streams.routing.methods import Kind
from streams.routing.shares import ShareCounts, given, seen, within
from streams.tables import Tables, TableSpec

SALES_KEPT: Final = 64
"""Of one person, the latest."""
RATE_LEADS: Final = 500
"""An acceptance rate is that of about so many leads: each new one takes that part of the weight of those before it."""


class Sales(Frozen):
    """The sales of a person's leads, the earliest first."""

    sales: tuple[PriorSale, ...] = ()


class Rate(Frozen):
    """How many leads a campaign was asked to take lately and how many it took, older ones counting less."""

    asked: float = 0.0
    accepted: float = 0.0

    @property
    def value(self) -> float:
        """The share that it accepts. One that nobody knows yet is taken for half, and a little history says little."""
        return (self.accepted + 1.0) / (self.asked + 2.0)

    def after(self, *, accepted: bool) -> Rate:
        """The rate with one more answer."""
        kept = 1.0 - 1.0 / RATE_LEADS
        return Rate(asked=self.asked * kept + 1.0, accepted=self.accepted * kept + accepted)


SALES: Final = TableSpec("sales", Sales, expiry=timedelta(days=400))
"""By person: as long as the longest window."""
STANDINGS: Final = TableSpec("standings", float, expiry=timedelta(days=120))
SHARES: Final = TableSpec("shares", ShareCounts, expiry=timedelta(days=62))
RATES: Final = TableSpec("rates", Rate, expiry=timedelta(days=400))
TABLES: Final = (SALES, STANDINGS, SHARES, RATES)
UNKNOWN: Final = Rate()
ANSWERS: Final = frozenset({Reason.BUYER_REJECTED, Reason.BUYER_DUPLICATE})
"""Declines by the buyer's own word; a cap or an error says nothing about what it would take."""


class TableMemory:
    """What the tables say to one decision."""

    def __init__(
        self, tables: Tables, lead: LeadUnique, day: date, full: Mapping[str, str], bids: Sequence[Bid] = ()
    ) -> None:
        self.full, self.bids = full, bids
        self._tables, self._lead, self._day = tables, lead, day

    def sales(self) -> Sequence[PriorSale]:
        """See :class:`streams.routing.decision.Memory`."""
        known = self._tables[SALES].get(self._lead.person)
        return known.sales if known else ()

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        name = f"{key}:{kind}"
        if kind is Kind.RATES:
            rates = self._tables[RATES].get_many([campaign.id for campaign in campaigns])
            return Standing(group=name, total=0.0, values=[(rate or UNKNOWN).value for rate in rates])
        address = _address(key, kind, self._day)
        prefix, table = f"{address}:", self._tables[STANDINGS]
        found = table.get_many([prefix + campaign.id for campaign in campaigns])
        return Standing(group=name, total=table.get(address) or 0.0, values=[value or 0.0 for value in found])

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`."""
        assert campaign.max_share is not None  # noqa: S101  # asked only of those with a limit
        counts = self._tables[SHARES].get(campaign.id) or ShareCounts()
        qualified, had = within(counts, self._day, campaign.max_share.days)
        return Share(campaign=campaign.id, qualified=qualified + 1, given=had)


class RecordedMemory:
    """What a decision read, from the facts in its event.

    Raises:
        LookupError: it is asked for what was not read then, so another decision is being made.
    """

    def __init__(self, facts: Facts) -> None:
        self.full: Mapping[str, str] = facts.full
        self.bids: Sequence[Bid] = facts.bids
        self._facts = facts
        self._standings = {standing.group: standing for standing in facts.standings}
        self._shares = {share.campaign: share for share in facts.shares}

    def sales(self) -> Sequence[PriorSale]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._facts.sales

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        standing = self._standings[f"{key}:{kind}"]
        if len(standing.values) != len(campaigns):
            raise LookupError(f"{key} had {len(standing.values)} campaigns that qualified, not {len(campaigns)}")
        return standing

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`."""
        return self._shares[campaign.id]


def remember(tables: Tables, decision: Decision, day: date) -> None:
    """Keep what a decision is to leave behind."""
    standings = tables[STANDINGS]
    for turn in decision.turns:
        address = _address(turn.key, turn.kind, day)
        standings[address] = turn.total
        for campaign, value in turn.values.items():
            standings[f"{address}:{campaign}"] = value
    shares = tables[SHARES]
    for share in decision.trace.facts.shares:
        counts = seen(shares.get(share.campaign) or ShareCounts(), day)
        shares[share.campaign] = given(counts, day) if share.campaign in decision.given else counts


def note_sale(tables: Tables, event: LeadDelivered) -> None:
    """Keep a sale, once."""
    known = (tables[SALES].get(event.person) or Sales()).sales
    if any(sale.lead_id == event.lead_id and sale.campaign == event.campaign and not sale.returned for sale in known):
        return
    sale = PriorSale(
        lead_id=event.lead_id,
        campaign=event.campaign,
        buyer=event.buyer,
        company=event.company,
        tier=event.tier,
        received_at=event.received_at,
        exclusive=event.exclusive,
        returned=False,
    )
    tables[SALES][event.person] = Sales(sales=(*known, sale)[-SALES_KEPT:])


def note_return(tables: Tables, person: str, lead_id: object, campaign: str) -> PriorSale | None:
    """Mark a sale as returned; None when there is none, or it was returned before."""
    known = (tables[SALES].get(person) or Sales()).sales
    for place, sale in enumerate(known):
        if sale.lead_id == lead_id and sale.campaign == campaign and not sale.returned:
            returned = sale.model_copy(update={"returned": True})
            tables[SALES][person] = Sales(sales=(*known[:place], returned, *known[place + 1 :]))
            return returned
    return None


def note_answers(tables: Tables, event: LeadDelivered | LeadUndelivered, learners: Iterable[str]) -> None:
    """Learn how campaigns answered, of those that are ranked by it."""
    learning = frozenset(learners)
    answers: list[tuple[str, bool]] = [(d.campaign, False) for d in event.declines if d.reason in ANSWERS]
    if isinstance(event, LeadDelivered):
        answers.append((event.campaign, True))
    rates = tables[RATES]
    for campaign, accepted in answers:
        if campaign in learning:
            rates[campaign] = (rates.get(campaign) or UNKNOWN).after(accepted=accepted)


def _address(key: str, kind: Kind, day: date) -> str:
    return f"{key}:{kind}:{day}" if kind is Kind.DAY_COUNTS else f"{key}:{kind}"
