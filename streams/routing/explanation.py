"""A decision made again from its event, and what it says about each campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.decision import Slip, Trace
from schemas.events import LeadRouted, LeadUnique, LeadUnrouted
from schemas.reasons import Reason
from streams.routing.decision import Decision, Memory, decide, route_for
from streams.routing.explanation_memory import Overheard
from streams.routing.explanation_values import Comparisons
from streams.routing.market import market_of
from streams.routing.memory import RecordedMemory
from streams.routing.predicates import Failing


@dataclass(frozen=True, slots=True)
class Place:
    """A leg on the slip: its ``number`` in the order in which they are asked, from 1."""

    number: int
    tier: str
    price: Decimal
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision says about one campaign: its places on the slip, or by what it failed first."""

    campaign: Campaign
    places: tuple[Place, ...]
    failing: Failing | None


@dataclass(frozen=True)
class Explanation:
    """A decision, campaign by campaign: those on the slip in the order in which they are asked, then the others in the
    release's order. ``reason`` is why nobody is on it; ``route`` is empty where none took the lead.

    ``agrees``: the decision was made again from what it had read and came out the same, to the last value. Where it
    did not, the verdicts are the event's own, ``heard`` is None, and there are no counterfactuals.
    """

    lead: LeadUnique
    at: datetime
    configuration: Configuration
    route: str
    slip: Slip | None
    reason: Reason | None
    trace: Trace
    agrees: bool
    heard: Overheard | None = field(repr=False)

    @cached_property
    def comparisons(self) -> Comparisons:
        """The values compared."""
        return Comparisons(self.lead, self.at, self.configuration, self.trace.facts)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each campaign of the vertical, and of the second one where unsold leads go."""
        reasons = reasons_of(self.trace, self.configuration)
        found = []
        for campaign in self.comparisons.campaigns:
            places = places_of(campaign.id, self.slip)
            reason = reasons.get(campaign.id)
            failing = None if reason is None else self.comparisons.of(campaign, reason)
            found.append(Verdict(campaign, places, failing))
        last = len(self.slip.candidates) + 1 if self.slip else 1
        return tuple(sorted(found, key=lambda verdict: verdict.places[0].number if verdict.places else last))

    @cached_property
    def asking_all(self) -> Configuration:
        """The release, with slips that have room for everybody."""
        configuration = self.configuration
        prepared = route_for(self.lead, market_of(configuration, self.lead.vertical))
        if prepared is None:
            return configuration
        wide = prepared.route.model_copy(update={"max_candidates": 2 * len(configuration.campaigns)})
        # The route of a vertical that has none is not among them.
        routes = (*(route for route in configuration.routes if route.id != wide.id), wide)
        fields = {name: getattr(configuration, name) for name in Configuration.model_fields}
        # Not copied: the cached properties of a copy would be those of the original.
        return Configuration.model_construct(**{**fields, "routes": routes})

    def verdict(self, campaign: str) -> Verdict:
        """That of one campaign.

        Raises:
            KeyError: the decision was not about it.
        """
        for verdict in self.verdicts:
            if verdict.campaign.id == campaign:
                return verdict
        raise KeyError(campaign)


def explain(event: LeadRouted | LeadUnrouted, lead: LeadUnique, configuration: Configuration) -> Explanation:
    """The decision of an event about a lead, made again. ``configuration`` is the event's release."""
    heard: Overheard | None = Overheard(RecordedMemory(event.trace.facts))
    try:
        same = agrees(event, made_again(event, lead, configuration, heard))
    except LookupError:
        same = False
    return Explanation(
        lead=lead,
        at=event.occurred_at,
        configuration=configuration,
        route=event.slip.route if isinstance(event, LeadRouted) else event.route,
        slip=event.slip if isinstance(event, LeadRouted) else None,
        reason=None if isinstance(event, LeadRouted) else Reason(event.reason),
        trace=event.trace,
        agrees=same,
        heard=heard if same else None,
    )


def explain_anew(
    lead: LeadUnique, at: datetime, configuration: Configuration, memory: Memory, resumed_at: str | None = None
) -> Explanation:
    """The decision that a configuration makes about a lead at a moment: a dry run, of which nothing is remembered."""
    heard = Overheard(memory)
    decision = decide(lead, at, market_of(configuration, lead.vertical), heard, resumed_at)
    return Explanation(
        lead=lead,
        at=at,
        configuration=configuration,
        route=decision.route.id if decision.route else "",
        slip=decision.slip,
        reason=decision.reason,
        trace=decision.trace,
        agrees=True,
        heard=heard,
    )


def places_of(campaign: str, slip: Slip | None) -> tuple[Place, ...]:
    """Where a campaign is on a slip; a hybrid one may be there twice."""
    legs = enumerate(slip.candidates, start=1) if slip else ()
    return tuple(
        Place(number, slip.tiers[leg.tier].name, leg.price, leg.exclusive)
        for number, leg in legs
        if slip and leg.campaign == campaign
    )


def reasons_of(trace: Trace, configuration: Configuration) -> dict[str, Reason]:
    """Why each campaign that is not on the slip is not, by its id. ``configuration`` is the release of the event."""
    found: dict[str, Reason] = {}
    for failed in trace.failed:
        index = market_of(configuration, failed.vertical).index
        mask = index.unpacked(failed.campaigns)
        found |= {campaign.id: Reason(failed.reason) for campaign in index.members(mask)}
    return found


def made_again(
    event: LeadRouted | LeadUnrouted, lead: LeadUnique, configuration: Configuration, memory: Memory | None = None
) -> Decision:
    """The decision of an event, recomputed from the lead, the release and the facts that the event recorded.

    Raises:
        LookupError: it reads other facts than were recorded, so it cannot be the same decision.
    """
    facts = event.trace.facts
    market = market_of(configuration, event.vertical)
    return decide(lead, event.occurred_at, market, memory or RecordedMemory(facts), facts.resumed_at)


def agrees(event: LeadRouted | LeadUnrouted, decision: Decision) -> bool:
    """Whether a decision is the event's, to the last value."""
    if isinstance(event, LeadRouted):
        return (event.slip, event.trace) == (decision.slip, decision.trace)
    return decision.slip is None and (event.reason, event.trace) == (decision.reason, decision.trace)
