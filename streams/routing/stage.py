"""Routing: ``leads.unique`` in, ``leads.routed`` with the first of the ``offers``, or ``leads.unrouted`` out.

The decision is stored under the lead, in the transaction that emits it: a lead that comes again in the same run is
known, and nothing is emitted twice. Routing also reads how each leg of a slip ended, from ``deliveries``: a replay
decides anew only about a lead that nobody has, and whose slip is over. Where the route says so, it decides anew by
itself about a lead that nobody took, from time to time, and once about one that its buyer returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from schemas import topics
from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.decision import Slip
from schemas.events import Delivery, Event, Feedback, FeedbackKind, LeadRouted, LeadUnique, LeadUnrouted, Offer
from schemas.identity import Step, attempt_of
from schemas.record import Record
from schemas.values import in_milliseconds
from streams.routing.answers import REFUSALS, learn, note_leg, note_return, refusal_of, sales_of
from streams.routing.decided import DECISIONS, MAX_DECISIONS, REDECIDABLE, Decided, Status
from streams.routing.decision import Decision, decide, route_for
from streams.routing.holds import HOLDS, LEADS, Agendas, OnHold, end_of_hold, end_of_returns, let_go
from streams.routing.market import market_of
from streams.routing.memory import TABLES, TableMemory, remember
from streams.stage import Context, Guarantee, Output, Stage, decode_event, emit, envelope
from streams.tables import Tables

log = structlog.get_logger(__name__)

RETRY: Final = timedelta(minutes=15)
"""After a re-check that failed."""


class Routing(Stage[Event]):
    """Decides who is offered a lead, in which order, and says why."""

    name = "routing"
    reads = (topics.UNIQUE, topics.DELIVERIES, topics.FEEDBACK)
    writes = (topics.ROUTED, topics.UNROUTED, topics.OFFERS)
    tables = (DECISIONS, HOLDS, LEADS, *TABLES)
    guarantee = Guarantee.EXACTLY_ONCE
    tick_seconds = 5.0

    def __init__(self) -> None:
        self._agendas = Agendas()

    def decode(self, record: Record) -> Event:
        return decode_event(record, Event)

    def prepare(self, configuration: Configuration) -> None:
        for vertical in configuration.verticals:
            market_of(configuration, vertical.name).prepare()

    def process(self, arrivals: Sequence[Event], tables: Tables, context: Context) -> list[Output]:
        outputs: list[Output] = []
        for arrival in arrivals:
            if type(arrival) is LeadUnique:  # isinstance would ask pydantic's metaclass, of every leg in vain
                outputs += self._route(arrival, tables, context)
            elif type(arrival) is Delivery:
                outputs += self._asked(arrival, tables, context)
            elif type(arrival) is Feedback and arrival.kind == FeedbackKind.RETURN:
                outputs += self._returned(arrival, tables, context)
            elif type(arrival) is Feedback and arrival.kind == FeedbackKind.ERASURE:
                let_go(tables, str(arrival.lead_id))
        return outputs

    def tick(self, tables: Tables, context: Context) -> list[Output]:
        """Decide again about leads on hold whose time has come, and about all of them under a new release; forget those
        whose end has come."""
        outputs: list[Output] = []
        release = context.configuration.release
        for key, hold in self._agendas.due(tables, context.now, release):
            lead, decided = tables[LEADS].get(key), tables[DECISIONS].get(key)
            if lead is None or decided is None or hold.until <= context.now:
                let_go(tables, key)
                continue
            savepoint = tables.savepoint()
            try:
                outputs += self._recheck(lead, decided, tables, context)
            except Exception as error:  # one lead that cannot be decided about must not keep the others on hold
                tables.rollback(savepoint)
                log.exception("re-check failed", lead_id=key, error=type(error).__name__, exc_info=False)
                again = OnHold(recheck_at=context.now + RETRY, until=hold.until, release=release)
                self._agendas.write(tables, key, again)
        return outputs

    # Decisions

    def _route(self, lead: LeadUnique, tables: Tables, context: Context) -> list[Output]:
        key = str(lead.lead_id)
        decided = tables[DECISIONS].get(key)
        if decided is not None and decided.answered_run >= lead.run:
            return []  # a repeat: what was decided in this run went out with the transaction that decided it
        # What a lead was sold by stays the lead's, so a later decision about it has a number of its own.
        number = 0 if not sales_of(tables, lead.person, lead.lead_id) else 1 if decided is None else decided.number + 1
        if decided is None or (decided.status in REDECIDABLE and number < MAX_DECISIONS):
            found = self._found(lead, tables, context)
            tables[DECISIONS][key], outputs = self._take(lead, number, found, tables, context)
            return outputs
        # A replay of a lead that is sold, held or still on offer.
        tables[DECISIONS][key] = decided.model_copy(update={"answered_run": lead.run})
        return [_told(lead, decided, context)]

    def _found(
        self,
        lead: LeadUnique,
        tables: Tables,
        context: Context,
        before: Decided | None = None,
        resumed_at: str | None = None,
    ) -> Decision:
        """A decision of this moment. ``before`` is the one before it in the same run."""
        at = in_milliseconds(context.now)
        memory = TableMemory(tables, lead, at.date(), context.full, before=before)
        return decide(lead, at, market_of(context.configuration, lead.vertical), memory, resumed_at)

    def _take(
        self,
        lead: LeadUnique,
        number: int,
        decision: Decision,
        tables: Tables,
        context: Context,
        before: Decided | None = None,
    ) -> tuple[Decided, list[Output]]:
        """Go by a decision of this moment: what is to be kept of it, for the caller to write, and what is said."""
        configuration, at = context.configuration, in_milliseconds(context.now)
        remember(tables, decision, at.date(), before)
        qualified = tuple([share.campaign for share in decision.trace.facts.shares])
        given = decision.given
        if before is not None:
            qualified = tuple(dict.fromkeys((*before.qualified, *qualified)))
            given = tuple(dict.fromkeys((*before.given, *given)))
        decided = Decided.trusted(
            {
                "status": Status.UNROUTED if decision.slip is None else Status.OFFERED,
                "run": lead.run,
                "answered_run": lead.run if before is None else before.answered_run,
                "number": number,
                "at": at,
                "release": configuration.release,
                "route": decision.route.id if decision.route else "",
                "slip": decision.slip,
                "reason": None if decision.reason is None else decision.reason.value,
                "trace": decision.trace,
                "resumed_at": decision.trace.facts.resumed_at,
                "refusals": before.refusals if before else (),
                "qualified": qualified,
                "given": given,
                "returns": (),
            }
        )
        if decision.slip is None:
            held = self._hold(tables, lead, decided, decision.route, context)
            return decided, [_told(lead, decided, context, held)]
        self._keep(tables, lead, decided, decision.route, context)
        return decided, [_told(lead, decided, context), _offer(lead, decided, decision.slip, context)]

    def _recheck(self, lead: LeadUnique, decided: Decided, tables: Tables, context: Context) -> list[Output]:
        lead = lead.model_copy(update={"run": decided.run})
        found = self._found(lead, tables, context, decided, decided.resumed_at)
        if found.slip is None:  # nobody yet: nothing that was not said before
            self._hold(tables, lead, decided, found.route, context)
            return []
        again, outputs = self._take(lead, decided.number + 1, found, tables, context, decided)
        tables[DECISIONS][str(lead.lead_id)] = again
        return outputs

    # What became of slips

    def _asked(self, leg: Delivery, tables: Tables, context: Context) -> list[Output]:
        """A leg that was asked: what it says about its campaign, and about the lead."""
        key = str(leg.lead_id)
        decided = tables[DECISIONS].get(key)
        learners = market_of(context.configuration, leg.vertical).learners
        if note_leg(tables, leg):
            learn(tables, leg.campaign, learners, accepted=True)
            if decided is not None and leg.campaign in decided.returns:  # the return was read before the sale
                note_return(tables, leg.person, leg.lead_id, leg.campaign)
        if leg.outcome in REFUSALS:
            now = decided if decided is not None and decided.run == leg.run else None
            refusal = refusal_of(leg)
            if now is None or refusal not in now.refusals:
                learn(tables, leg.campaign, learners, accepted=False)
                # Only of a lead that may be decided about again in this run: it is a write for each leg.
                if now is not None and tables[LEADS].get(key) is not None:
                    decided = now.model_copy(update={"refusals": (*now.refusals, refusal)})
                    tables[DECISIONS][key] = decided
        if not leg.over or decided is None or (leg.run, leg.decision) < (decided.run, decided.number):
            return []
        return self._over(leg, decided, tables, context)

    def _over(self, leg: Delivery, decided: Decided, tables: Tables, context: Context) -> list[Output]:
        """A slip's end: where the lead stands now."""
        key, own = str(leg.lead_id), sales_of(tables, leg.person, leg.lead_id)
        kept = [sale for sale in own if not sale.returned]
        sold = any(not sale.unknown for sale in kept)
        status = Status.SOLD if sold else Status.HELD if kept else Status.UNSOLD
        returns = [sale for sale in own if sale.returned and sale.campaign in decided.returns]
        decided = decided.model_copy(update={"status": status, "returns": ()})
        tables[DECISIONS][key] = decided
        lead = tables[LEADS].get(key)
        if lead is None:
            return []
        if returns and (outputs := self._offer_again(lead, decided, returns[0].tier, tables, context)):
            return outputs
        route = _route_of(lead, decided, context.configuration)
        if status is Status.UNSOLD:
            self._hold(tables, lead, decided, route, context)
        else:
            self._keep(tables, lead, decided, route, context, on_offer=False)
        return []

    def _returned(self, event: Feedback, tables: Tables, context: Context) -> list[Output]:
        """A lead that its buyer gave back: it is offered to those who come next, when nobody is being asked."""
        key = str(event.lead_id)
        sale = note_return(tables, event.person, event.lead_id, event.campaign)
        decided = tables[DECISIONS].get(key)
        if decided is None:
            return []
        if decided.status is Status.OFFERED:
            legs = decided.slip.candidates if decided.slip else []
            told = sale is not None or any(leg.campaign == event.campaign for leg in legs)
            if told and event.campaign not in decided.returns:
                returns = (*decided.returns, event.campaign)
                tables[DECISIONS][key] = decided.model_copy(update={"returns": returns})
            return []
        lead = tables[LEADS].get(key)
        if sale is None or lead is None:
            return []
        return self._offer_again(lead, decided, sale.tier, tables, context)

    def _offer_again(
        self, lead: LeadUnique, decided: Decided, tier: str, tables: Tables, context: Context
    ) -> list[Output]:
        """Decide about a lead that came back, from the tier of its buyer on: once in a run, and while it is young."""
        until = end_of_returns(lead, _route_of(lead, decided, context.configuration))
        if decided.resumed_at is not None or not decided.may_be_followed or until is None or until <= context.now:
            return []
        lead = lead.model_copy(update={"run": decided.run})
        found = self._found(lead, tables, context, decided, tier)
        again, outputs = self._take(lead, decided.number + 1, found, tables, context, decided)
        tables[DECISIONS][str(lead.lead_id)] = again
        return outputs

    # What is kept

    def _hold(
        self, tables: Tables, lead: LeadUnique, decided: Decided, route: Route | None, context: Context
    ) -> datetime | None:
        """Put a lead on hold, if its route holds leads, or let it go; returns until when."""
        key, until = str(lead.lead_id), end_of_hold(lead, route)
        if until is None or until <= context.now or not decided.may_be_followed:
            let_go(tables, key)
            return None
        assert route is not None and route.unsold is not None and route.unsold.hold is not None  # noqa: S101, PT018
        recheck_at = min(context.now + timedelta(minutes=route.unsold.hold.recheck_minutes), until)
        hold = OnHold(recheck_at=recheck_at, until=until, release=context.configuration.release)
        self._agendas.write(tables, key, hold)
        _store(tables, key, lead)
        return until

    def _keep(
        self,
        tables: Tables,
        lead: LeadUnique,
        decided: Decided,
        route: Route | None,
        context: Context,
        *,
        on_offer: bool = True,
    ) -> None:
        """Keep a lead that is on offer or sold for as long as it may have to be offered again, or let it go."""
        key, until = str(lead.lead_id), end_of_returns(lead, route)
        if until is not None and until > context.now and decided.resumed_at is None and decided.may_be_followed:
            kept = OnHold(recheck_at=None, until=until, release=context.configuration.release)
            known = tables[HOLDS].get(key)
            if known is None or (known.recheck_at, known.until) != (None, kept.until):
                self._agendas.write(tables, key, kept)
            _store(tables, key, lead)
        elif on_offer and end_of_hold(lead, route) is not None:
            if tables[HOLDS].get(key) is not None:
                del tables[HOLDS][key]
            _store(tables, key, lead)
        else:
            let_go(tables, key)


def _store(tables: Tables, key: str, lead: LeadUnique) -> None:
    if tables[LEADS].get(key) is None:  # written once, however often it is decided about
        tables[LEADS][key] = lead


def _route_of(lead: LeadUnique, decided: Decided, configuration: Configuration) -> Route | None:
    """The route that decided, or the one that takes the lead now, where a release has removed or renamed that."""
    if (route := configuration.route_by_id.get(decided.route)) is not None:
        return route
    prepared = route_for(lead, market_of(configuration, lead.vertical))
    return None if prepared is None else prepared.route


def _common(lead: LeadUnique, decided: Decided, step: Step, attempt: int, context: Context) -> dict[str, Any]:
    values = envelope(lead, step, context, attempt=attempt)
    # When it was decided, also where a replay tells it again: that moment is part of the decision.
    values["occurred_at"] = decided.at
    values["release"] = decided.release
    values["person"] = lead.person
    return values


def _told(lead: LeadUnique, decided: Decided, context: Context, held: datetime | None = None) -> Output:
    """The event of a decision."""
    values = _common(lead, decided, Step.ROUTING, decided.number, context)
    if decided.slip is not None:
        values["slip"] = decided.slip
        values["trace"] = decided.trace
        return emit(LeadRouted.trusted(values), lead.person)
    until = None if held is None else in_milliseconds(held)
    values |= {"reason": decided.reason, "route": decided.route, "trace": decided.trace, "held": until}
    return emit(LeadUnrouted.trusted(values), lead.person)


def _offer(lead: LeadUnique, decided: Decided, slip: Slip, context: Context) -> Output:
    values = _common(lead, decided, Step.OFFER, attempt_of(decided.number), context)
    values |= {"lead": lead.lead, "slip": slip, "cursor": 0, "decision": decided.number, "declines": [], "sales": []}
    return emit(Offer.trusted(values), slip.candidates[0].company)
