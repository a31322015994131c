"""What routing remembers in its tables, and what a decision left in an event: both answer a decision's questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from schemas.config.campaign import Campaign
from schemas.decision import Bid, Facts, PriorSale, Refusal, Share, Standing
from schemas.events import LeadUnique
from schemas.values import Frozen
from streams.routing.decided import Decided
from streams.routing.decision import Decision
from streams.routing.methods import Kind
from streams.routing.shares import ShareCounts, given, seen, within
from streams.tables import Tables, TableSpec

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


class TableMemory:
    """What the tables say to one decision; ``before`` is the one before it about the same lead, in the same run."""

    def __init__(
        self,
        tables: Tables,
        lead: LeadUnique,
        day: date,
        full: Mapping[str, str],
        bids: Sequence[Bid] = (),
        before: Decided | None = None,
    ) -> None:
        self.full, self.bids = full, bids
        self._tables, self._lead, self._day, self._before = tables, lead, day, before

    def sales(self) -> Sequence[PriorSale]:
        """See :class:`streams.routing.decision.Memory`."""
        known = self._tables[SALES].get(self._lead.person)
        return known.sales if known else ()

    def refusals(self) -> Sequence[Refusal]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._before.refusals if self._before else ()

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        name = f"{key}:{kind}"
        if kind is Kind.RATES:
            rates = self._tables[RATES].get_many([campaign.id for campaign in campaigns])
            values = [(rate or UNKNOWN).value for rate in rates]
            return Standing.trusted({"group": name, "total": 0.0, "values": values})
        address = _address(key, kind, self._day)
        prefix, table = f"{address}:", self._tables[STANDINGS]
        found = table.get_many([prefix + campaign.id for campaign in campaigns])
        values = [value or 0.0 for value in found]
        return Standing.trusted({"group": name, "total": table.get(address) or 0.0, "values": values})

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`."""
        assert campaign.max_share is not None  # noqa: S101  # asked only of those with a limit
        counts = self._tables[SHARES].get(campaign.id) or ShareCounts()
        qualified, had = within(counts, self._day, campaign.max_share.days)
        if (before := self._before) is None or campaign.id not in before.qualified:
            qualified += 1
        elif campaign.id in before.given and had:
            had -= 1
        return Share.trusted({"campaign": campaign.id, "qualified": max(qualified, 1), "given": had})


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

    def refusals(self) -> Sequence[Refusal]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._facts.refusals

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        standing = self._standings[f"{key}:{kind}"]
        if len(standing.values) != len(campaigns):
            raise LookupError(f"{key} had {len(standing.values)} campaigns that qualified, not {len(campaigns)}")
        return standing

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`."""
        return self._shares[campaign.id]


def remember(tables: Tables, decision: Decision, day: date, before: Decided | None = None) -> None:
    """Keep what a decision is to leave behind. Shares count a lead once a run."""
    standings = tables[STANDINGS]
    for turn in decision.turns:
        address = _address(turn.key, turn.kind, day)
        standings[address] = turn.total
        for campaign, value in turn.values.items():
            standings[f"{address}:{campaign}"] = value
    shares = tables[SHARES]
    qualified, had = (before.qualified, before.given) if before else ((), ())
    for share in decision.trace.facts.shares:
        name, counts = share.campaign, shares.get(share.campaign) or ShareCounts()
        if name not in qualified:
            counts = seen(counts, day)
        if name in decision.given and name not in had:
            counts = given(counts, day)
        shares[name] = counts


def _address(key: str, kind: Kind, day: date) -> str:
    return f"{key}:{kind}:{day}" if kind is Kind.DAY_COUNTS else f"{key}:{kind}"
