"""What a decision was told by its memory, campaign by campaign, and how that answers other questions than it asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from math import ceil
from typing import Final

from schemas.config.campaign import Campaign
from schemas.decision import Bid, PriorSale, Refusal, Share, Standing
from streams.routing.decision import Memory
from streams.routing.memory import UNKNOWN
from streams.routing.methods import Kind


class Overheard:
    """A memory, and what it was asked: its answers are lists over the campaigns that qualified, here by name."""

    def __init__(self, memory: Memory) -> None:
        self._memory: Final = memory
        self.totals: Final[dict[tuple[str, Kind], float]] = {}
        self.values: Final[dict[tuple[str, Kind], dict[str, float]]] = {}
        self.shares: Final[dict[str, Share]] = {}

    @property
    def full(self) -> Mapping[str, str]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._memory.full

    @property
    def bids(self) -> Sequence[Bid]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._memory.bids

    def sales(self) -> Sequence[PriorSale]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._memory.sales()

    def refusals(self) -> Sequence[Refusal]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._memory.refusals()

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        found = self._memory.standing(key, kind, campaigns)
        self.totals[key, kind] = found.total
        self.values[key, kind] = {c.id: value for c, value in zip(campaigns, found.values, strict=True)}
        return found

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`."""
        found = self.shares[campaign.id] = self._memory.share(campaign)
        return found


class Guess(Enum):
    """What is taken to be remembered of a campaign that is not known: nothing, or what ranks it first or last."""

    NOTHING = "nothing"
    FIRST = "first"
    LAST = "last"


OPPOSITE: Final = {Guess.NOTHING: Guess.NOTHING, Guess.FIRST: Guess.LAST, Guess.LAST: Guess.FIRST}


class Supposing:
    """The memory of a decision that was not made: what was overheard, and for who did not qualify then a ``guess``. It
    is about the campaign in question; of others that are not known the opposite is taken. ``unknown`` collects them.
    ``bids`` stand in for those campaigns' prices."""

    def __init__(self, heard: Overheard, campaign: str, bids: Iterable[Bid] = (), guess: Guess = Guess.NOTHING) -> None:
        self._campaign, self._guess = campaign, guess
        supposed = {bid.campaign: bid for bid in bids}
        self.full: Final = heard.full
        self.bids: Final[Sequence[Bid]] = [
            *(bid for bid in heard.bids if bid.campaign not in supposed),
            *supposed.values(),
        ]
        self.unknown: Final[set[str]] = set()
        self._heard: Final = heard

    def sales(self) -> Sequence[PriorSale]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._heard.sales()

    def refusals(self) -> Sequence[Refusal]:
        """See :class:`streams.routing.decision.Memory`."""
        return self._heard.refusals()

    def standing(self, key: str, kind: Kind, campaigns: Sequence[Campaign]) -> Standing:
        """See :class:`streams.routing.decision.Memory`."""
        known = self._heard.values.get((key, kind), {})
        self.unknown.update(campaign.id for campaign in campaigns if campaign.id not in known)
        total = self._heard.totals.get((key, kind), 0.0)
        values = [
            value if (value := known.get(campaign.id)) is not None else self._guessed(campaign, kind, total)
            for campaign in campaigns
        ]
        return Standing(group=f"{key}:{kind}", total=total, values=values)

    def share(self, campaign: Campaign) -> Share:
        """See :class:`streams.routing.decision.Memory`. One that is not known is taken to have room."""
        if (known := self._heard.shares.get(campaign.id)) is not None:
            return known
        assert campaign.max_share is not None  # noqa: S101  # asked only of those with a limit
        self.unknown.add(campaign.id)
        return Share(campaign=campaign.id, qualified=ceil(100 / campaign.max_share.percent), given=0)

    def _guessed(self, campaign: Campaign, kind: Kind, total: float) -> float:
        guess = self._guess if campaign.id == self._campaign else OPPOSITE[self._guess]
        if kind is Kind.RATES:
            return {Guess.NOTHING: UNKNOWN.value, Guess.FIRST: 1.0, Guess.LAST: 0.0}[guess]
        # No turn, count or virtual time of a campaign is further on than that.
        return total + 2.0 if guess is Guess.LAST else 0.0
