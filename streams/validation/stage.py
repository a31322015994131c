"""Validation: ``leads`` in, ``leads.validated`` or ``leads.rejected`` out. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from schemas import topics
from schemas.config.release import Configuration
from schemas.events import LeadRejected, LeadValidated, Rejection
from schemas.identity import Step, event_id, person
from schemas.raw_lead import RawArrival, arrival_of, label_of
from schemas.reasons import Reason
from schemas.record import Record
from streams.stage import Context, Output, Stage, emit
from streams.tables import Tables
from streams.validation.rules import STANDARD_RULES, validate
from streams.validation.vertical_rules import VerticalRules

UNKNOWN: Final = ""
RELEASES_KEPT: Final = 4
"""How many releases' rules stay compiled: the one in force, and those that a replay or a lane still decides by."""


class Validation(Stage[RawArrival]):
    """Says of each raw lead what it is worth, with all reasons when it is nothing."""

    name = "validation"
    reads = (topics.LEADS,)
    writes = (topics.VALIDATED, topics.REJECTED)

    def __init__(self) -> None:
        self._compiled: dict[str, dict[str, VerticalRules]] = {}

    def warm_up(self) -> None:
        # The phone, email and ZIP code packages load their data at the first question, and the long way of each.
        fields = {"first_name": "A", "last_name": "B", "phone": "+1 787 555 0123", "email": "ä@example.com"}
        validate(fields | {"zip": "94105"}, datetime.min.replace(tzinfo=UTC))

    def decode(self, record: Record) -> RawArrival:
        return arrival_of(record)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        return [self._validate(arrival, context) for arrival in arrivals]

    def _validate(self, arrival: RawArrival, context: Context) -> Output:
        fields = arrival.fields
        vertical = fields.get("vertical", "").strip()
        source = label_of(fields.get("source", ""))
        rules = self._rules(context.configuration).get(vertical)
        rejections = []
        if not arrival.lead_id_valid:
            rejections.append(Rejection(reason=Reason.LEAD_ID_INVALID, field="lead_id", detail="not a UUID"))
        if not vertical:
            rejections.append(Rejection(reason=Reason.VERTICAL_MISSING, field="vertical"))
        elif rules is None:
            rejections.append(Rejection(reason=Reason.VERTICAL_UNKNOWN, field="vertical"))
        verdict = validate(fields, arrival.received_at, rules or STANDARD_RULES, source)
        rejections += verdict.rejections
        common: dict[str, Any] = {
            "event_id": event_id(arrival.lead_id, Step.VALIDATION, arrival.run),
            "lead_id": arrival.lead_id,
            "run": arrival.run,
            "received_at": arrival.received_at,
            "occurred_at": context.now,
            "release": context.configuration.release,
            # What was typed as a vertical may be anything, so only a configured name goes into the envelope.
            "vertical": vertical if rules else UNKNOWN,
            "source": source,
            "traceparent": arrival.traceparent,
        }
        lead = verdict.lead
        if lead is None or rejections:
            rejected = LeadRejected(**common, reasons=rejections, raw=fields)
            return emit(rejected, str(arrival.lead_id))
        who = person(context.secret, phone=lead.phone, email=lead.email)
        return emit(LeadValidated(**common, person=who, lead=lead, raw=fields, warnings=verdict.warnings), who)

    def _rules(self, configuration: Configuration) -> dict[str, VerticalRules]:
        rules = self._compiled.get(configuration.release)
        if rules is None:
            while len(self._compiled) >= RELEASES_KEPT:
                del self._compiled[next(iter(self._compiled))]
            rules = {vertical.name: VerticalRules(vertical) for vertical in configuration.verticals}
            self._compiled[configuration.release] = rules
        return rules
