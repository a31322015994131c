"""A ping tree: before a lead is offered, some campaigns are asked what they would pay for it, all at once.

Pure, in two halves like every stage with effects: :func:`pings` plans whom to ask and until when, a performer outside
asks, and the bids that came in time go into the decision (:class:`streams.routing.decision.Memory`), which ranks by
them and holds them to floor and margin as it does prices. They are in its facts, so a replay decides by the same bids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from schemas.decision import Bid
from schemas.events import LeadUnique
from streams.routing.decision import Memory, decide
from streams.routing.market import Market

HIGHEST: Final = Decimal("99999999.9999")
"""The most that an amount of money can be."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The effect: ask a campaign for its bid. An answer after the ``deadline`` is no bid."""

    campaign: str
    buyer: str
    deadline: datetime


class _Asking:
    """What routing remembers, but with every bid open."""

    def __init__(self, memory: Memory, bids: Sequence[Bid]) -> None:
        self.full, self.bids = memory.full, bids
        self.sales, self.refusals = memory.sales, memory.refusals
        self.standing, self.share = memory.standing, memory.share


def pings(
    lead: LeadUnique,
    at: datetime,
    market: Market,
    memory: Memory,
    bidders: Collection[str],
    budget: timedelta,
    resumed_at: str | None = None,
) -> tuple[Ping, ...]:
    """Whom to ask: those of the ``bidders`` that would be on the slip at some price, in its order.

    What they have configured as their price counts for nothing here; everything else that keeps them from the slip
    does, so nobody is asked in vain.
    """
    highest = tuple(Bid(campaign=name, exclusive=HIGHEST, shared=HIGHEST) for name in sorted(bidders))
    slip = decide(lead, at, market, _Asking(memory, highest), resumed_at).slip
    legs = {leg.campaign: leg.buyer for leg in slip.candidates} if slip else {}
    return tuple(Ping(campaign, buyer, at + budget) for campaign, buyer in legs.items() if campaign in bidders)


def in_time(answers: Mapping[Ping, tuple[Bid, datetime]]) -> tuple[Bid, ...]:
    """The bids that count, in the order of campaigns: an answer that came late is none."""
    counted = [bid for ping, (bid, came_at) in answers.items() if came_at <= ping.deadline]
    return tuple(sorted(counted, key=lambda bid: bid.campaign))
