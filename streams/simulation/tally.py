"""What became of leads: each one's outcome, who was asked and who bought, at what price and cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from schemas.events import (
    Delivery,
    Event,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnrouted,
    Outcome,
)
from streams.simulation.direct import Dead


class End(StrEnum):
    """A lead's outcome."""

    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    UNROUTED = "unrouted"
    UNDELIVERED = "undelivered"
    SOLD = "sold"
    DEAD = "dead"


BEFORE_ROUTING: Final = frozenset({End.REJECTED, End.DUPLICATE})
"""A lead that ended so is not routed in the same run, or something is wrong."""
NOTHING: Final = Decimal("0.0000")


class Bought(NamedTuple):
    """A sale."""

    campaign: str
    buyer: str
    price: Decimal
    payout: Decimal


@dataclass(slots=True)
class LeadState:
    """One lead. ``decision`` stands for the first decision about it: equal for the same legs in the same order, or for
    the same reason. ``asked`` are the campaigns that it was sent to, each with its buyer."""

    vertical: str = ""
    source: str = ""
    end: End | None = None
    reason: str = ""
    order: tuple[int, int, int] = (-1, 0, 0)
    decision: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    sales: list[Bought] = field(default_factory=list)
    contradicted: bool = False

    def ends(self, end: End, reason: str, order: tuple[int, int, int]) -> None:
        """Note an outcome: a sale stands, else the last one does."""
        if order[0] == self.order[0] and self.end is not None and self.end is not end:
            self.contradicted = self.contradicted or end in BEFORE_ROUTING or self.end in BEFORE_ROUTING
        if self.end is not End.SOLD and order >= self.order:
            self.end, self.reason, self.order = end, reason, order


@dataclass(slots=True)
class Figures:
    """Sums over leads. ``offered`` are leads that somebody was sent, ``sold`` those that somebody bought; of a buyer or
    campaign, what it was sent and bought."""

    leads: int = 0
    offered: int = 0
    sold: int = 0
    revenue: Decimal = NOTHING
    payout: Decimal = NOTHING

    @property
    def margin(self) -> Decimal:
        """What is left of the revenue."""
        return self.revenue - self.payout


@dataclass
class Tally:
    """Takes in events about the leads that :meth:`arrived`; those of others are passed over."""

    leads: dict[UUID, LeadState] = field(default_factory=dict)

    def arrived(self, lead_id: UUID) -> None:
        """A lead came; one that comes again is the same lead."""
        if lead_id not in self.leads:
            self.leads[lead_id] = LeadState()

    def observe(self, event: Event | Dead) -> None:
        """Take in what happened, in any order."""
        lead = self.leads.get(event.lead_id)
        if lead is None:
            return
        kind = type(event)
        if not lead.vertical and kind is not Dead:
            lead.vertical, lead.source = event.vertical, event.source  # type: ignore[union-attr]
        take = TAKERS.get(kind)
        if take is not None:
            take(lead, event)

    @property
    def outcomes(self) -> dict[End | None, int]:
        """Leads by outcome; None is that of leads that have none yet."""
        none: dict[End | None, int] = dict.fromkeys(End, 0)
        return none | Counter([lead.end for lead in self.leads.values()])

    @property
    def with_one_outcome(self) -> int:
        """Leads that ended, and in one way only."""
        return sum(lead.end is not None and not lead.contradicted for lead in self.leads.values())

    def total(self) -> Figures:
        """Of all leads."""
        return _of_leads(("", lead) for lead in self.leads.values()).get("", Figures())

    def by_source(self) -> Mapping[str, Figures]:
        """Of each source's leads."""
        return _of_leads((lead.source, lead) for lead in self.leads.values())

    def by_vertical(self) -> Mapping[str, Figures]:
        """Of each vertical's leads."""
        return _of_leads((lead.vertical, lead) for lead in self.leads.values())

    def by_buyer(self) -> Mapping[str, Figures]:
        """Of what each buyer was offered."""
        return self._of_offers(1)

    def by_campaign(self) -> Mapping[str, Figures]:
        """Of what each campaign was offered."""
        return self._of_offers(0)

    def _of_offers(self, which: int) -> Mapping[str, Figures]:
        found: defaultdict[str, Figures] = defaultdict(Figures)
        for lead in self.leads.values():
            for name in {asked[which] for asked in lead.asked}:
                figures = found[name]
                figures.leads += 1
                figures.offered += 1
            for sale in lead.sales:
                _add(found[sale.campaign if which == 0 else sale.buyer], (sale,))
        return dict(found)


def _asked(lead: LeadState, event: Delivery) -> None:
    if event.outcome != Outcome.SKIPPED:
        lead.asked.append((event.campaign, event.buyer))


def _routed(lead: LeadState, event: LeadRouted) -> None:
    if event.attempt == 0:
        lead.decision = hash(tuple([(leg.campaign, leg.exclusive) for leg in event.slip.candidates]))


def _unrouted(lead: LeadState, event: LeadUnrouted) -> None:
    if event.attempt == 0:
        lead.decision = hash(event.reason)
    lead.ends(End.UNROUTED, event.reason, (event.run, event.attempt, 1))


def _sold(lead: LeadState, event: LeadDelivered) -> None:
    lead.sales.append(Bought(event.campaign, event.buyer, event.price, event.payout))
    lead.ends(End.SOLD, "", (event.run, event.decision, 3))


def _undelivered(lead: LeadState, event: LeadUndelivered) -> None:
    lead.ends(End.UNDELIVERED, event.reason, (event.run, event.decision, 2))


def _rejected(lead: LeadState, event: LeadRejected) -> None:
    lead.ends(End.REJECTED, event.reasons[0].reason if event.reasons else "", (event.run, 0, 0))


def _duplicate(lead: LeadState, event: LeadDuplicate) -> None:
    lead.ends(End.DUPLICATE, event.rule, (event.run, 0, 0))


def _dead(lead: LeadState, event: Dead) -> None:
    lead.ends(End.DEAD, event.reason, (event.run, 0, 9))


TAKERS: Final[Mapping[type, Callable[[LeadState, Any], None]]] = {
    Delivery: _asked,
    LeadRouted: _routed,
    LeadUnrouted: _unrouted,
    LeadDelivered: _sold,
    LeadUndelivered: _undelivered,
    LeadRejected: _rejected,
    LeadDuplicate: _duplicate,
    Dead: _dead,
}
"""What is made of each kind of event; the others say nothing about a lead's end."""


def _of_leads(leads: Iterable[tuple[str, LeadState]]) -> dict[str, Figures]:
    found: defaultdict[str, Figures] = defaultdict(Figures)
    for name, lead in leads:
        figures = found[name]
        figures.leads += 1
        figures.offered += bool(lead.asked)
        if lead.sales:
            _add(figures, lead.sales)
    return dict(found)


def _add(figures: Figures, sales: Iterable[Bought]) -> None:
    figures.sold += 1
    for sale in sales:
        figures.revenue += sale.price
        figures.payout += sale.payout
