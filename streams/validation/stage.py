"""Validation: ``leads`` in, ``leads.validated`` or ``leads.rejected`` out. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schemas import topics
from schemas.events import LeadRejected, LeadValidated, Rejection
from schemas.identity import Step, event_id, person
from schemas.raw_lead import RawArrival, arrival_of, label_of
from schemas.reasons import Reason
from schemas.record import Record
from streams.stage import Context, Output, Stage, emit
from streams.tables import Tables
from streams.validation.rules import validate

UNKNOWN: Final = ""


class Validation(Stage[RawArrival]):
    """Says of each raw lead what it is worth, with all reasons when it is nothing."""

    name = "validation"
    reads = (topics.LEADS,)
    writes = (topics.VALIDATED, topics.REJECTED)

    def warm_up(self) -> None:
        # The phone, email and ZIP code packages load their data at the first question.
        validate(
            {"first_name": "A", "last_name": "B", "phone": "+14155552671", "email": "a@example.com", "zip": "94105"}
        )

    def decode(self, record: Record) -> RawArrival:
        return arrival_of(record)

    def process(self, arrivals: Sequence[RawArrival], tables: Tables, context: Context) -> list[Output]:
        return [self._validate(arrival, context) for arrival in arrivals]

    def _validate(self, arrival: RawArrival, context: Context) -> Output:
        fields = arrival.fields
        vertical = fields.get("vertical", "").strip()
        known = vertical in context.configuration.vertical_by_name
        lead, rejections = validate(fields)
        if not arrival.lead_id_valid:
            rejections.append(Rejection(reason=Reason.LEAD_ID_INVALID, field="lead_id", detail="not a UUID"))
        if not vertical:
            rejections.append(Rejection(reason=Reason.VERTICAL_MISSING, field="vertical"))
        elif not known:
            rejections.append(Rejection(reason=Reason.VERTICAL_UNKNOWN, field="vertical"))
        common: dict[str, Any] = {
            "event_id": event_id(arrival.lead_id, Step.VALIDATION, arrival.run),
            "lead_id": arrival.lead_id,
            "run": arrival.run,
            "received_at": arrival.received_at,
            "occurred_at": context.now,
            "release": context.configuration.release,
            # What was typed as a vertical may be anything, so only a configured name goes into the envelope.
            "vertical": vertical if known else UNKNOWN,
            "source": label_of(fields.get("source", "")),
            "traceparent": arrival.traceparent,
        }
        if lead is None or rejections:
            rejected = LeadRejected(**common, reasons=rejections, raw=fields)
            return emit(rejected, str(arrival.lead_id))
        who = person(context.secret, phone=lead.phone, email=lead.email)
        return emit(LeadValidated(**common, person=who, lead=lead, raw=fields), who)
