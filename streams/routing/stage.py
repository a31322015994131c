"""Routing: ``leads.unique`` in, ``leads.routed`` with the first ``offers``, or ``leads.unrouted`` out.

The decision is stored under the lead, in the transaction that emits it: a lead that comes again in the same run is
known, and nothing is emitted twice. Routing also reads how its leads ended: a replay decides anew only about a lead
that nobody has, and that no offer is out for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from schemas import topics
from schemas.events import (
    Candidate,
    Evaluation,
    Event,
    Frozen,
    LeadDelivered,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    Offer,
)
from schemas.identity import Step, event_id
from schemas.reasons import Reason
from schemas.record import Record
from streams.routing.eligibility import index_of
from streams.routing.rules import evaluate
from streams.stage import Context, Guarantee, Output, Stage, decode_event, emit, envelope
from streams.tables import Table, Tables, TableSpec


class Status(StrEnum):
    """Where a lead stands with routing."""

    UNROUTED = "unrouted"
    OFFERED = "offered"
    SOLD = "sold"
    HELD = "held"
    UNSOLD = "unsold"


REDECIDABLE: Final = frozenset({Status.UNROUTED, Status.UNSOLD})
"""A replay may decide anew: nobody has the lead and nobody is being asked."""


class Decision(Frozen):
    """What was decided about a lead, in which run and by which release; ``answered_run`` is the last run told of it."""

    status: Status
    run: int
    answered_run: int
    release: str
    candidates: tuple[Candidate, ...]
    evaluations: tuple[Evaluation, ...]


DECISIONS: Final = TableSpec("decisions", Decision, expiry=timedelta(days=120))
"""Kept for longer than any topic that a lead can be replayed from."""
TURNS: Final = TableSpec("turns", int, expiry=timedelta(days=120))


class Routing(Stage[Event]):
    """Decides who is offered a lead, in which order, and says why."""

    name = "routing"
    reads = (topics.UNIQUE, topics.DELIVERED, topics.UNDELIVERED)
    writes = (topics.ROUTED, topics.UNROUTED, topics.OFFERS)
    tables = (DECISIONS, TURNS)
    guarantee = Guarantee.EXACTLY_ONCE

    def decode(self, record: Record) -> Event:
        return decode_event(record, Event)

    def process(self, arrivals: Sequence[Event], tables: Tables, context: Context) -> list[Output]:
        outputs: list[Output] = []
        for arrival in arrivals:
            if isinstance(arrival, LeadUnique):
                outputs += self._route(arrival, tables, context)
            elif isinstance(arrival, LeadDelivered):
                _note(tables[DECISIONS], arrival, Status.SOLD)
            elif isinstance(arrival, LeadUndelivered):
                # An outcome nobody knows may be a sale: held, never offered to another.
                unknown = arrival.reason == Reason.OUTCOME_UNKNOWN
                _note(tables[DECISIONS], arrival, Status.HELD if unknown else Status.UNSOLD)
        return outputs

    def _route(self, lead: LeadUnique, tables: Tables, context: Context) -> list[Output]:
        decisions = tables[DECISIONS]
        decision = decisions.get(str(lead.lead_id))
        if decision is not None and decision.answered_run >= lead.run:
            return []  # a repeat: what was decided in this run went out with the transaction that decided it
        decide = decision is None or decision.status in REDECIDABLE
        if decide:
            decision = self._decide(lead, tables, context)
        assert decision is not None  # noqa: S101  # decided just now, or before
        decisions[str(lead.lead_id)] = decision.model_copy(update={"answered_run": lead.run})
        common = envelope(lead, Step.ROUTING, context) | {"person": lead.person, "release": decision.release}
        if not decision.candidates:
            unrouted = LeadUnrouted(**common, reason=Reason.NO_CAMPAIGN, evaluations=list(decision.evaluations))
            return [emit(unrouted, lead.person)]
        routed = LeadRouted(**common, candidates=list(decision.candidates), evaluations=list(decision.evaluations))
        if not decide:  # a replay of a lead that is sold, held or still on offer
            return [emit(routed, lead.person)]
        common["event_id"] = event_id(lead.lead_id, Step.OFFER, lead.run)
        offer = Offer(**common, lead=lead.lead, candidates=list(decision.candidates), cursor=0, declines=[])
        return [emit(routed, lead.person), emit(offer, decision.candidates[0].buyer)]

    def _decide(self, lead: LeadUnique, tables: Tables, context: Context) -> Decision:
        index = index_of(context.configuration, lead.vertical)
        candidates, evaluations = evaluate(index, lead, context.now, tables[TURNS])
        return Decision(
            status=Status.OFFERED if candidates else Status.UNROUTED,
            run=lead.run,
            answered_run=lead.run,
            release=context.configuration.release,
            candidates=tuple(candidates),
            evaluations=tuple(evaluations),
        )


def _note(decisions: Table[Decision], ended: LeadDelivered | LeadUndelivered, status: Status) -> None:
    decision = decisions.get(str(ended.lead_id))
    if decision is not None and ended.run >= decision.run and decision.status is not Status.SOLD:
        decisions[str(ended.lead_id)] = decision.model_copy(update={"status": status})
