"""Routing and delivery joined without a log: leads go in, buyers answer as they are told to, and time passes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from connectors.outbound.contract import Answer
from kit.builders import NOW, SECRET, campaign, context, lead_id
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.events import (
    Event,
    Feedback,
    FeedbackKind,
    LeadDelivered,
    LeadRouted,
    LeadUndelivered,
    LeadUnrouted,
    Offer,
    Outcome,
)
from schemas.identity import Step, event_id, person
from schemas.reasons import Reason
from streams.delivery.stage import DeliveryStage, Post
from streams.routing.explanation import reasons_of
from streams.routing.stage import Routing
from streams.stage import Context, Output
from streams.tables import Tables

REASONS = {
    Outcome.ACCEPTED: None,
    Outcome.REJECTED: Reason.BUYER_REJECTED,
    Outcome.DUPLICATE: Reason.BUYER_DUPLICATE,
    Outcome.ERROR: Reason.BUYER_ERROR,
    Outcome.UNKNOWN: Reason.OUTCOME_UNKNOWN,
}


def accepting(_: Post) -> Outcome:
    """Buyers that take everything."""
    return Outcome.ACCEPTED


def answers(**by_campaign: str) -> Callable[[Post], Outcome]:
    """Buyers that answer by campaign, and take what is not said."""
    return lambda post: Outcome(by_campaign.get(post.campaign.id, Outcome.ACCEPTED))


class Market:
    """One partition of each. ``waiting`` companies do not get to their offers until :meth:`resume`."""

    def __init__(self, release: Configuration, answer: Callable[[Post], Outcome] = accepting) -> None:
        self.release, self.answer, self.now = release, answer, NOW
        self.routing, self.tables = Routing(), Tables()
        self.companies: dict[str, tuple[DeliveryStage, Tables]] = {}
        self.waiting: set[str] = set()
        self.events: list[Event] = []
        self.posts: list[Post] = []
        self._queue: deque[Event] = deque()
        self._parked: list[Event] = []

    def give(self, *events: Event) -> list[Event]:
        """What comes of events that routing reads."""
        before = len(self.events)
        self._queue += events
        self._run()
        return self.events[before:]

    def wait(self, **time: float) -> list[Event]:
        """What comes of time."""
        before = len(self.events)
        self.now += timedelta(**time)
        outputs = self.routing.tick(self.tables, self._context())
        self.tables.commit(self.now)
        self._emit(outputs)
        self._run()
        return self.events[before:]

    def resume(self) -> list[Event]:
        """What comes of the offers that waited."""
        before = len(self.events)
        self.waiting.clear()
        self._queue += self._parked
        self._parked = []
        self._run()
        return self.events[before:]

    @property
    def slips(self) -> list[str]:
        """Every decision so far, in order: who is asked, ``a b~`` where ~ is a shared leg, or why nobody is."""
        return [slip_of(event) for event in self.events if isinstance(event, LeadRouted | LeadUnrouted)]

    @property
    def sold(self) -> list[str]:
        """The campaigns that bought, in order."""
        return [event.campaign for event in self.events if isinstance(event, LeadDelivered)]

    def why(self) -> dict[str, str]:
        """Why those that the last decision left out were."""
        event = next(e for e in reversed(self.events) if isinstance(e, LeadRouted | LeadUnrouted))
        return {name: str(reason) for name, reason in reasons_of(event.trace, self.release).items()}

    def _context(self) -> Context:
        return context(self.release, self.now)

    def _run(self) -> None:
        while self._queue:
            event = self._queue.popleft()
            if isinstance(event, Offer):
                self._offered(event)
            elif not isinstance(event, LeadRouted | LeadUnrouted | LeadDelivered | LeadUndelivered):
                outputs = self.routing.process([event], self.tables, self._context())
                self.tables.commit(self.now)
                self._emit(outputs)

    def _offered(self, offer: Offer) -> None:
        company = offer.slip.candidates[offer.cursor].company
        if company in self.waiting:
            self._parked.append(offer)
            return
        stage, tables = self.companies.setdefault(company, (DeliveryStage(), Tables()))
        plan = stage.plan([offer], tables, self._context())
        tables.commit(self.now)
        self._emit(plan.outputs)
        for _, post in plan.effects:
            self.posts.append(post)
            outcome = self.answer(post)
            settled = stage.settle([(post, Answer(outcome, REASONS[outcome]))], tables, self._context())
            tables.commit(self.now)
            self._emit(settled.outputs)

    def _emit(self, outputs: list[Output]) -> None:
        found = [output.value for output in outputs if isinstance(output.value, Event)]
        self.events += found
        self._queue += found


def slip_of(event: LeadRouted | LeadUnrouted) -> str:
    """Who is asked, or why nobody is."""
    if isinstance(event, LeadUnrouted):
        return event.reason
    return " ".join(leg.campaign + "~" * (not leg.exclusive) for leg in event.slip.candidates)


def route(*groups: dict[str, Any], **settings: Any) -> Route:
    """The route of the vertical: groups g1, g2 …, or one of all."""
    named = [{"name": f"g{number}"} | group for number, group in enumerate(groups, start=1)]
    return Route.model_validate({"id": "main", "vertical": "solar", "groups": named or [{"name": "all"}]} | settings)


def shared(name: str, **changes: Any) -> Campaign:
    """A campaign that shares leads."""
    return campaign(name, exclusivity="shared", **changes)


def returned(name: object, by: str, *, who: object = None, kind: FeedbackKind = FeedbackKind.RETURN) -> Feedback:
    """A lead that a campaign of a buyer of the same name gives back, or what else is said of it."""
    values: dict[str, Any] = {"campaign": by, "buyer": by, "kind": kind, "reason": None, "amount": None}
    return Feedback(
        event_id=event_id(lead_id(name), Step.FEEDBACK),
        lead_id=lead_id(name),
        received_at=NOW,
        occurred_at=NOW,
        release="",
        vertical="solar",
        source="quoteharbor",
        person=person(SECRET, phone=str(who or name), email=None),
        **values,
    )
