"""What would have been: by what change a campaign would have come onto the slip, or been first in its group.

Every answer is a decision made again with that change. What routing remembered of campaigns that did not qualify then
is not in the event. For them a method's memory is taken to be empty, and where another one could give another place,
the answer says which.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.config.route import Method
from schemas.decision import Bid, Slip
from schemas.reasons import Reason
from streams.routing.decision import CAPS, Decision, decide, route_for
from streams.routing.explanation import Explanation, Place, Verdict, places_of, reasons_of
from streams.routing.explanation_memory import Guess, Overheard, Supposing
from streams.routing.explanation_values import money, priced_at
from streams.routing.market import market_of
from streams.routing.predicates import Failing
from streams.routing.prices import PLACES

HIGHEST: Final = Decimal("99999999.9999")
"""The most that an amount of money can be."""
CHANGES: Final = {
    Reason.CAMPAIGN_PAUSED: "active",
    Reason.FILTER_STATE: "buying in that state",
    Reason.FILTER_ZIP: "buying in that ZIP code",
    Reason.FILTER_RADIUS: "buying in that place",
    Reason.FILTER_AREA_CODE: "buying that area code",
    Reason.SCHEDULE_CLOSED: "open then",
    Reason.FILTER_EXPRESSION: "without its filters",
    Reason.FILTER_EXPRESSION_ERROR: "without its filters",
    Reason.SELLER_NOT_NAMED: "named in the consent",
    Reason.BUYER_BOUGHT_BEFORE: "without that purchase",
    Reason.SHARE_LIMIT: "with room in its share",
    **{reason: f"with room in {reason}" for reason in CAPS},
    Reason.CREDIT_EXHAUSTED: "with credit left",
}
"""What can be supposed to be otherwise. That a lead is sold or declined, or that no route has the campaign, cannot."""
PRICES: Final = frozenset({Reason.PRICE_FLOOR, Reason.PRICE_MARGIN})
BY_PRICE: Final = frozenset({Method.HIGHEST_PRICE, Method.SEND_TO_ALL})


@dataclass(frozen=True, slots=True)
class Change:
    """By what a campaign failed, and what is supposed instead."""

    failing: Failing
    supposed: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """With all the ``changes`` a campaign would have had these ``places``, or is still ``blocked``. ``price`` is the
    lowest that was enough, where price was at issue; for one on the slip, the lowest that makes it first in its group.
    ``between``: its first place hangs on turns that are not in the event, and is one of these or in between.
    """

    changes: tuple[Change, ...]
    places: tuple[Place, ...]
    blocked: Failing | None
    price: Decimal | None
    between: tuple[int, int] | None


def counterfactual(explanation: Explanation, verdict: Verdict) -> Counterfactual | None:
    """What it would have taken; None where nothing is wanting, or nothing can be said."""
    if explanation.heard is None:
        return None
    asked = _Question(explanation, explanation.heard, verdict.campaign)
    return asked.not_first(verdict.places) if verdict.failing is None else asked.failed(verdict.failing)


@dataclass(frozen=True, slots=True)
class _Answer:
    slip: Slip | None
    places: tuple[Place, ...]
    reason: Reason | None
    between: tuple[int, int] | None
    known: bool


class _Question:
    def __init__(self, explanation: Explanation, heard: Overheard, campaign: Campaign) -> None:
        self._explanation, self._heard, self._campaign = explanation, heard, campaign
        self._comparisons = explanation.comparisons
        self._prices = self._comparisons.prices(campaign)

    def failed(self, failing: Failing) -> Counterfactual:
        """The chain of changes that brings a campaign onto the slip, as far as there is one."""
        changes: list[Change] = []
        lifted: set[Reason] = set()
        bids: list[Bid] = []
        price: Decimal | None = None
        configuration = self._explanation.configuration
        while True:
            reason, supposed = failing.reason, None
            if reason in PRICES and not bids and (enough := self._enough()) is not None:
                bids, price = [enough[0]], enough[1]
                supposed = f"at {money(price)}"
            elif reason is Reason.SLIP_FULL and configuration is self._explanation.configuration:
                configuration = self._explanation.asking_all
                supposed = "if all were asked"
            elif reason in CHANGES and reason not in lifted:
                lifted.add(reason)
                supposed = CHANGES[reason]
            if supposed is None:
                return Counterfactual(tuple(changes), (), failing, price, None)
            changes.append(Change(failing, supposed))
            answer = self._ask(lifted, bids, configuration)
            if answer.reason is None:
                return Counterfactual(tuple(changes), answer.places, None, price, answer.between)
            failing = self._comparisons.of(self._campaign, answer.reason, lifted)

    def not_first(self, places: tuple[Place, ...]) -> Counterfactual | None:
        """The lowest price that makes a campaign on the slip the first of its group, where price decides."""
        slip = self._explanation.slip
        if slip is None or not places:
            return None
        tier = slip.candidates[places[0].number - 1].tier
        if self._first_in(tier, slip) == self._campaign.id or self._method(tier) not in BY_PRICE:
            return None
        found = [found for kind in self._prices._fields if (found := self._price_to_lead(tier, kind)) is not None]
        if not found:
            return None
        price, answer = min(found, key=lambda pair: pair[0])
        return Counterfactual((), answer.places, None, price, answer.between)

    def _price_to_lead(self, tier: int, kind: str) -> tuple[Decimal, _Answer] | None:
        own: Decimal | None = getattr(self._prices, kind)
        if own is None:
            return None

        def at(units: int) -> _Answer:
            price = Decimal(units).scaleb(-PLACES)
            bid = priced_at(self._campaign, self._prices, kind, price)
            return self._ask((), [bid], self._explanation.configuration, span=False)

        def leads(answer: _Answer) -> bool:
            # At the price of another it may be first in its turn: which is not known here, and not enough.
            return answer.known and answer.slip is not None and self._first_in(tier, answer.slip) == self._campaign.id

        # More money never ranks lower, so that the boundary is found by halving.
        low, high = int(own.scaleb(PLACES)), int(HIGHEST.scaleb(PLACES))
        if not leads(at(high)):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if leads(at(middle)) else (middle, high)
        return Decimal(high).scaleb(-PLACES), at(high)

    def _ask(
        self, lifted: Collection[Reason], bids: Sequence[Bid], configuration: Configuration, *, span: bool = True
    ) -> _Answer:
        told, name = self._explanation, self._campaign.id
        market = market_of(configuration, told.lead.vertical)

        def supposing(memory: Supposing) -> Decision:
            resumed_at = told.trace.facts.resumed_at
            return decide(told.lead, told.at, market, memory, resumed_at, {name: lifted} if lifted else {})

        memory = Supposing(self._heard, name, bids)
        decision = supposing(memory)
        places = places_of(name, decision.slip)
        if not places:
            return _Answer(decision.slip, (), reasons_of(decision.trace, configuration).get(name), None, known=True)
        known = name not in memory.unknown
        if not span or not memory.unknown:
            return _Answer(decision.slip, places, None, None, known)
        others = (places_of(name, supposing(Supposing(self._heard, name, bids, guess)).slip) for guess in Guess)
        numbers = [found[0].number for found in others if found]
        between = min(numbers), max(numbers)
        return _Answer(decision.slip, places, None, between if between[0] != between[1] else None, known)

    def _enough(self) -> tuple[Bid, Decimal] | None:
        """The campaign at the lowest price that is enough: of two kinds of legs the one that wants less more."""
        least = self._comparisons.least_prices(self._campaign)
        ways = [
            (enough - own, kind, enough)
            for kind, own, enough in zip(self._prices._fields, self._prices, least, strict=True)
            if own is not None and enough is not None and not (kind == "exclusive" and self._comparisons.keepers)
        ]
        if not ways:
            return None
        _, kind, price = min(ways)
        return priced_at(self._campaign, self._prices, kind, price), price

    def _method(self, tier: int) -> Method | None:
        """The method of a tier of the slip: a group of the route, else of the second vertical's."""
        told = self._explanation
        prepared = route_for(told.lead, market_of(told.configuration, told.lead.vertical))
        if prepared is None:
            return None
        groups = [group.group for group in prepared.groups]
        if tier >= len(groups) and prepared.overflow is not None:
            second = route_for(told.lead, prepared.overflow)
            groups += [group.group for group in second.groups] if second else []
        return groups[tier].method if tier < len(groups) else None

    @staticmethod
    def _first_in(tier: int, slip: Slip) -> str | None:
        return next((leg.campaign for leg in slip.candidates if leg.tier == tier), None)
