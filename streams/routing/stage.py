"""Routing: ``leads.unique`` in, ``leads.routed`` with the first of the ``offers``, or ``leads.unrouted`` out.

The decision is stored under the lead, in the transaction that emits it: a lead that comes again in the same run is
known, and nothing is emitted twice. Routing also reads how its leads ended: a replay decides anew only about a lead
that nobody has, and that no offer is out for. Where the route says so, it decides anew by itself about a lead that
nobody took, from time to time, and once about one that its buyer returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import structlog

from schemas import topics
from schemas.config.release import Configuration
from schemas.config.route import Hold, Route
from schemas.decision import PriorSale, Slip, Trace
from schemas.events import (
    Event,
    Feedback,
    FeedbackKind,
    LeadDelivered,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    Offer,
)
from schemas.identity import Step, attempt_of, event_id
from schemas.reasons import Reason
from schemas.record import Record
from schemas.values import Frozen, Timestamp
from streams.routing.decision import Decision, decide
from streams.routing.market import market_of
from streams.routing.memory import SALES, TABLES, TableMemory, note_answers, note_return, note_sale, remember
from streams.stage import Context, Guarantee, Output, Stage, decode_event, emit, envelope
from streams.tables import Tables, TableSpec

log = structlog.get_logger(__name__)


class Status(StrEnum):
    """Where a lead stands with routing."""

    UNROUTED = "unrouted"
    OFFERED = "offered"
    SOLD = "sold"
    HELD = "held"
    """Its outcome is unknown: perhaps a buyer has it."""
    UNSOLD = "unsold"


REDECIDABLE: Final = frozenset({Status.UNROUTED, Status.UNSOLD})
"""A replay may decide anew: nobody has the lead and nobody is being asked."""
MAX_DECISIONS: Final = 100
"""About one lead in one run. Re-checks that find nobody are not counted."""
RETRY: Final = timedelta(minutes=15)
RECHECKED_AT_ONCE: Final = 500
"""Leads on hold that one tick decides about."""


class Decided(Frozen):
    """The last decision about a lead: in which run, the how many-th in it, when, and by which release and route.
    ``answered_run`` is the last run told of it, ``rerouted`` says that it followed from a return."""

    status: Status
    run: int
    answered_run: int
    number: int
    at: Timestamp
    release: str
    route: str
    slip: Slip | None
    reason: str | None
    trace: Trace
    rerouted: bool = False


class OnHold(Frozen):
    """A lead that waits for somebody to qualify: when it is decided about again, under which release it was last, and
    when that ends."""

    recheck_at: Timestamp
    until: Timestamp
    release: str

    def later(self, at: datetime, release: str) -> OnHold:
        """The same, decided about at another time."""
        return self.model_copy(update={"recheck_at": at, "release": release})


DECISIONS: Final = TableSpec("decisions", Decided, expiry=timedelta(days=120))
"""By lead; kept for longer than any topic that a lead can be replayed from."""
HOLDS: Final = TableSpec("holds", OnHold, expiry=timedelta(days=31))
LEADS: Final = TableSpec("leads", LeadUnique, expiry=timedelta(days=31))
"""The leads that may have to be offered again: only of routes that hold leads or offer returned ones again."""


class Routing(Stage[Event]):
    """Decides who is offered a lead, in which order, and says why."""

    name = "routing"
    reads = (topics.UNIQUE, topics.DELIVERED, topics.UNDELIVERED, topics.FEEDBACK)
    writes = (topics.ROUTED, topics.UNROUTED, topics.OFFERS)
    tables = (DECISIONS, HOLDS, LEADS, *TABLES)
    guarantee = Guarantee.EXACTLY_ONCE
    tick_seconds = 5.0

    def decode(self, record: Record) -> Event:
        return decode_event(record, Event)

    def prepare(self, configuration: Configuration) -> None:
        for vertical in configuration.verticals:
            market_of(configuration, vertical.name).prepare()

    def process(self, arrivals: Sequence[Event], tables: Tables, context: Context) -> list[Output]:
        outputs: list[Output] = []
        for arrival in arrivals:
            if isinstance(arrival, LeadUnique):
                outputs += self._route(arrival, tables, context)
            elif isinstance(arrival, LeadDelivered):
                self._delivered(arrival, tables, context)
            elif isinstance(arrival, LeadUndelivered):
                self._undelivered(arrival, tables, context)
            elif isinstance(arrival, Feedback) and arrival.kind == FeedbackKind.RETURN:
                outputs += self._returned(arrival, tables, context)
        return outputs

    def tick(self, tables: Tables, context: Context) -> list[Output]:
        """Decide again about leads on hold whose time has come, and about all of them under a new release."""
        outputs: list[Output] = []
        due = [
            (key, hold)
            for key, hold in tables[HOLDS].items()
            if hold.recheck_at <= context.now or hold.release != context.configuration.release
        ]
        for key, hold in sorted(due, key=lambda item: (item[1].recheck_at, item[0]))[:RECHECKED_AT_ONCE]:
            lead, decided = tables[LEADS].get(key), tables[DECISIONS].get(key)
            if lead is None or decided is None or hold.until <= context.now:
                _let_go(tables, key)
                continue
            savepoint = tables.savepoint()
            try:
                outputs += self._recheck(lead, decided, tables, context)
            except Exception as error:  # one lead that cannot be decided about must not keep the others on hold
                tables.rollback(savepoint)
                log.exception("re-check failed", lead_id=key, error=type(error).__name__, exc_info=False)
                tables[HOLDS][key] = hold.later(context.now + RETRY, context.configuration.release)
        return outputs

    def _route(self, lead: LeadUnique, tables: Tables, context: Context) -> list[Output]:
        key = str(lead.lead_id)
        decided = tables[DECISIONS].get(key)
        if decided is not None and decided.answered_run >= lead.run:
            return []  # a repeat: what was decided in this run went out with the transaction that decided it
        # What a lead was sold by stays the lead's, so a later decision about it has a number of its own.
        number = 0 if not _sales_of(tables, lead.person, lead.lead_id) else 1 if decided is None else decided.number + 1
        if decided is None or (decided.status in REDECIDABLE and number < MAX_DECISIONS):
            _let_go(tables, key)
            decided, outputs = self._decide(lead, number, tables, context)
        else:  # a replay of a lead that is sold, held or still on offer
            outputs = [_told(lead, decided, context)]
        tables[DECISIONS][key] = decided.model_copy(update={"answered_run": lead.run})
        return outputs

    def _decide(
        self, lead: LeadUnique, number: int, tables: Tables, context: Context, resumed_at: str | None = None
    ) -> tuple[Decided, list[Output]]:
        """A decision and what it has to say; the table of decisions is the caller's to write."""
        found = self._found(lead, tables, context, resumed_at)
        return self._take(lead, number, found, tables, context, rerouted=resumed_at is not None)

    def _found(self, lead: LeadUnique, tables: Tables, context: Context, resumed_at: str | None = None) -> Decision:
        at = _in_milliseconds(context.now)
        memory = TableMemory(tables, lead, at.date(), context.full)
        return decide(lead, at, market_of(context.configuration, lead.vertical), memory, resumed_at)

    def _take(
        self,
        lead: LeadUnique,
        number: int,
        decision: Decision,
        tables: Tables,
        context: Context,
        *,
        rerouted: bool = False,
    ) -> tuple[Decided, list[Output]]:
        """Go by a decision that was made at this moment."""
        configuration, at = context.configuration, _in_milliseconds(context.now)
        remember(tables, decision, at.date())
        decided = Decided.trusted(
            {
                "status": Status.UNROUTED if decision.slip is None else Status.OFFERED,
                "run": lead.run,
                "answered_run": lead.run,
                "number": number,
                "at": at,
                "release": configuration.release,
                "route": decision.route.id if decision.route else "",
                "slip": decision.slip,
                "reason": None if decision.reason is None else str(decision.reason),
                "trace": decision.trace,
                "rerouted": rerouted,
            }
        )
        route = decision.route
        if route is not None and ((route.unsold and route.unsold.hold) or route.reroute_returns_days):
            tables[LEADS][str(lead.lead_id)] = lead
        if decision.slip is None:
            held = _hold(tables, lead, number, route, context)
            if held is None:
                _let_go(tables, str(lead.lead_id))
            return decided, [_told(lead, decided, context, held)]
        return decided, [_told(lead, decided, context), _offer(lead, decided, decision.slip, context)]

    def _recheck(self, lead: LeadUnique, decided: Decided, tables: Tables, context: Context) -> list[Output]:
        key = str(lead.lead_id)
        lead = lead.model_copy(update={"run": decided.run})
        found = self._found(lead, tables, context)
        if found.slip is None:  # nobody yet: nothing that was not said before
            if not _hold(tables, lead, decided.number, found.route, context):
                _let_go(tables, key)
            return []
        del tables[HOLDS][key]
        again, outputs = self._take(lead, decided.number + 1, found, tables, context)
        tables[DECISIONS][key] = again.model_copy(update={"answered_run": decided.answered_run})
        return outputs

    def _delivered(self, event: LeadDelivered, tables: Tables, context: Context) -> None:
        key = str(event.lead_id)
        decided = tables[DECISIONS].get(key)
        note_sale(tables, event)
        note_answers(tables, event, market_of(context.configuration, event.vertical).learners)
        if decided is None or event.run < decided.run:
            return
        tables[DECISIONS][key] = decided.model_copy(update={"status": Status.SOLD})
        route = _route_of(context.configuration, decided)
        if route is None or not route.reroute_returns_days or decided.rerouted:
            _let_go(tables, key)

    def _undelivered(self, event: LeadUndelivered, tables: Tables, context: Context) -> None:
        key = str(event.lead_id)
        decided = tables[DECISIONS].get(key)
        note_answers(tables, event, market_of(context.configuration, event.vertical).learners)
        if decided is None or (event.run, event.decision) < (decided.run, decided.number):
            return
        if decided.status is Status.SOLD:
            return
        # An outcome nobody knows may be a sale: held, never offered to another.
        unknown = event.reason == Reason.OUTCOME_UNKNOWN
        tables[DECISIONS][key] = decided.model_copy(update={"status": Status.HELD if unknown else Status.UNSOLD})
        lead, route = tables[LEADS].get(key), _route_of(context.configuration, decided)
        if unknown or lead is None or not _hold(tables, lead, decided.number, route, context):
            _let_go(tables, key)

    def _returned(self, event: Feedback, tables: Tables, context: Context) -> list[Output]:
        """A lead that its buyer gave back: once, and while it is young enough, it is offered to those who come next.

        Not while its slip is under way, when others may be buying it at this moment.
        """
        key = str(event.lead_id)
        sale, decided = note_return(tables, event.person, event.lead_id, event.campaign), tables[DECISIONS].get(key)
        if sale is None or decided is None or decided.rerouted or decided.number + 1 >= MAX_DECISIONS:
            return []
        sales = _sales_of(tables, event.person, event.lead_id)
        if decided.slip is None or not (len(sales) >= decided.slip.max_sales or any(s.exclusive for s in sales)):
            return []
        lead, route = tables[LEADS].get(key), _route_of(context.configuration, decided)
        if lead is None or route is None:
            return []
        if context.now - lead.received_at >= timedelta(days=route.reroute_returns_days):
            _let_go(tables, key)
            return []
        lead = lead.model_copy(update={"run": decided.run})
        again, outputs = self._decide(lead, decided.number + 1, tables, context, sale.tier)
        tables[DECISIONS][key] = again.model_copy(update={"answered_run": decided.answered_run})
        return outputs


def _sales_of(tables: Tables, person: str, lead_id: UUID) -> list[PriorSale]:
    known = tables[SALES].get(person)
    return [sale for sale in known.sales if sale.lead_id == lead_id] if known else []


def _in_milliseconds(moment: datetime) -> datetime:
    # As the event will tell it, so that the decision can be made again from the event.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _route_of(configuration: Configuration, decided: Decided) -> Route | None:
    return configuration.route_by_id.get(decided.route)


def _hold(tables: Tables, lead: LeadUnique, number: int, route: Route | None, context: Context) -> datetime | None:
    """Put a lead on hold, if its route holds leads; returns until when."""
    rule: Hold | None = route.unsold.hold if route and route.unsold else None
    if rule is None or lead.lead.test or number + 1 >= MAX_DECISIONS:
        return None
    until = lead.received_at + timedelta(hours=rule.maximum_age_hours)
    if until <= context.now:
        return None
    recheck_at = min(context.now + timedelta(minutes=rule.recheck_minutes), until)
    tables[HOLDS][str(lead.lead_id)] = OnHold(recheck_at=recheck_at, until=until, release=context.configuration.release)
    return until


def _let_go(tables: Tables, key: str) -> None:
    """Forget a lead that will not be decided about again, so that its personal data does not stay here."""
    if tables[HOLDS].get(key) is not None:
        del tables[HOLDS][key]
    if tables[LEADS].get(key) is not None:
        del tables[LEADS][key]


def _common(lead: LeadUnique, decided: Decided, context: Context) -> dict[str, Any]:
    # When it was decided, also where a replay tells it again: that moment is part of the decision.
    own = {"person": lead.person, "release": decided.release, "occurred_at": decided.at}
    return envelope(lead, Step.ROUTING, context, attempt=decided.number) | own


def _told(lead: LeadUnique, decided: Decided, context: Context, held: datetime | None = None) -> Output:
    """The event of a decision."""
    values = _common(lead, decided, context)
    if decided.slip is not None:
        values |= {"slip": decided.slip, "trace": decided.trace}
        return emit(LeadRouted.trusted(values), lead.person)
    until = None if held is None else _in_milliseconds(held)
    values |= {"reason": decided.reason, "route": decided.route, "trace": decided.trace, "held": until}
    return emit(LeadUnrouted.trusted(values), lead.person)


def _offer(lead: LeadUnique, decided: Decided, slip: Slip, context: Context) -> Output:
    attempt = attempt_of(decided.number)
    values = _common(lead, decided, context)
    values |= {"event_id": event_id(lead.lead_id, Step.OFFER, lead.run, attempt), "attempt": attempt}
    values |= {"lead": lead.lead, "slip": slip, "cursor": 0, "decision": decided.number, "declines": [], "sales": []}
    return emit(Offer.trusted(values), slip.candidates[0].company)
