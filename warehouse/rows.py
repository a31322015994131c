"""From a record of any topic to its row of ``lead_events``. Pure, and free of personal data by construction."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from schemas import headers, topics
from schemas.codec import UndecodableError
from schemas.decision import Slip, Trace
from schemas.events import (
    Delivery,
    Event,
    Feedback,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
    Offer,
)
from schemas.headers import DeadLetter
from schemas.identity import Step, event_id, lead_id_at
from schemas.raw_lead import RawArrival, label_of
from schemas.record import Record
from warehouse.tables.content import Content, content_of
from warehouse.tables.target import PLACE, Row, moment

SCHEMA_VERSION: Final = 1

COLUMNS: Final = (
    "event_id", "lead_id", "run", "attempt", "stage", "outcome", "reason", "vertical", "source", "buyer", "campaign",
    "company", "route", "tier", "decision", "exclusive", "price", "payout", "buyer_latency_ms", "latency_ms",
    "received_at", "occurred_at", "release", "schema_version", "attributes",
    *PLACE,
)  # fmt: skip

_ELSEWHERE: Final = (topics.CLAIMS, topics.CONFIG, topics.CAPACITY)
"""Steps on the way to an event, and what is not about one lead."""
LEAD_TOPICS: Final = tuple(spec.name for spec in topics.CATALOGUE if spec not in _ELSEWHERE)
"""Every topic about leads."""

Details = dict[str, Any]


def _shown(**details: Any) -> Details:
    return details


def _duration(milliseconds: float) -> float:
    if not 0 <= milliseconds < math.inf:
        raise ValueError("a duration is a number, and not below 0")
    return milliseconds


def _leg(slip: Slip, cursor: int) -> Details:
    """A leg of a slip in the columns for it."""
    leg = slip.candidates[cursor]
    return {
        "buyer": leg.buyer,
        "campaign": leg.campaign,
        "company": leg.company,
        "route": slip.route,
        "tier": slip.tiers[leg.tier].name,
        "exclusive": leg.exclusive,
    }


def _trace(trace: Trace) -> dict[str, Any]:
    """The failed predicates by vertical, each with its campaigns' bits in hex; and the facts."""
    failed: dict[str, dict[str, str]] = {}
    for one in trace.failed:
        failed.setdefault(one.vertical, {})[one.reason] = one.campaigns.hex()
    return {"failed": failed, "facts": trace.facts.model_dump(mode="json")}


DESCRIBE: Final[Mapping[type[Event], Callable[[Any], Details]]] = {
    LeadValidated: lambda e: _shown(
        outcome="validated", attributes={"warnings": [w.model_dump() for w in e.warnings], "test": e.lead.test}
    ),
    LeadRejected: lambda e: _shown(
        outcome="rejected", reason=e.reasons[0].reason, attributes={"reasons": [r.model_dump() for r in e.reasons]}
    ),
    LeadUnique: lambda e: _shown(outcome="unique"),
    LeadDuplicate: lambda e: _shown(
        outcome="duplicate",
        reason=e.rule,
        attributes={
            "duplicate_of": str(e.duplicate_of),
            "first_seen_at": e.first_seen_at.isoformat(),
            "key_set": e.key_set,
        },
    ),
    LeadRouted: lambda e: _shown(
        outcome="routed",
        decision=e.attempt,
        **_leg(e.slip, 0),
        attributes={"slip": e.slip.model_dump(mode="json"), "trace": _trace(e.trace)},
    ),
    LeadUnrouted: lambda e: _shown(
        outcome="unrouted",
        reason=e.reason,
        route=e.route,
        decision=e.attempt,
        attributes={"held": None if e.held is None else e.held.isoformat(), "trace": _trace(e.trace)},
    ),
    Offer: lambda e: _shown(
        outcome="offered", decision=e.decision, **_leg(e.slip, e.cursor), attributes={"cursor": e.cursor}
    ),
    Delivery: lambda e: _shown(
        outcome=e.outcome,
        reason=e.reason or "",
        buyer=e.buyer,
        campaign=e.campaign,
        company=e.company,
        route=e.route,
        tier=e.tier,
        decision=e.decision,
        exclusive=e.exclusive,
        buyer_latency_ms=_duration(e.latency_ms),
        attributes={"reference": e.reference, "http_status": e.http_status, "posts": e.posts, "over": e.over},
    ),
    LeadDelivered: lambda e: _shown(
        outcome="delivered",
        buyer=e.buyer,
        campaign=e.campaign,
        company=e.company,
        route=e.route,
        tier=e.tier,
        decision=e.decision,
        exclusive=e.exclusive,
        price=e.price,
        payout=e.payout,
        attributes={"reference": e.reference, "declines": [d.model_dump() for d in e.declines]},
    ),
    LeadUndelivered: lambda e: _shown(
        outcome="undelivered",
        reason=e.reason,
        route=e.route,
        decision=e.decision,
        attributes={"declines": [d.model_dump() for d in e.declines]},
    ),
    Feedback: lambda e: _shown(
        outcome=e.kind, reason=e.reason or "", buyer=e.buyer, campaign=e.campaign, price=e.amount or Decimal(0)
    ),
}  # fmt: skip


def row_of(record: Record, content: Content | None = None) -> Row:
    """The row of a record of :data:`LEAD_TOPICS`. A record that is no event becomes a row of stage ``dead``."""
    content = content_of(record) if content is None else content
    if record.topic == topics.LEADS.name:
        return _received(record, content)
    if isinstance(content, DeadLetter):
        return _dead(record, content)
    if isinstance(content, UndecodableError | ValueError):
        return _unreadable(record, content)
    event = content
    assert isinstance(event, Event)  # noqa: S101  # the other topics about leads hold events
    try:
        details = DESCRIBE[type(event)](event)
    except (ValueError, LookupError) as error:  # LookupError: a list that is empty, and must not be
        return _unreadable(record, error)
    return _row(
        record,
        event_id=event.event_id,
        lead_id=event.lead_id,
        run=max(event.run, headers.run_of(record.headers)),
        attempt=event.attempt,
        stage=event.STEP,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        vertical=event.vertical,
        source=label_of(event.source),
        release=event.release,
        **details,
    )


def refused_row(record: Record) -> Row:
    """The row in place of one that the table refuses: it holds nothing of the record's value or headers.

    Its time is Kafka's first moment, since the record's own may be what is refused.
    """
    lead_id = lead_id_at(record.topic, record.partition, record.offset)
    return _row(
        record,
        event_id=event_id(lead_id, Step.DEAD),
        lead_id=lead_id,
        stage=Step.DEAD,
        outcome="dead",
        reason="value.refused",
        received_at=moment(0),
        occurred_at=moment(0),
        attributes={"topic": record.topic, "partition": record.partition, "offset": record.offset},
    )


def _received(record: Record, content: Content) -> Row:
    if isinstance(content, RawArrival):
        lead_id, fields = content.lead_id, content.fields
    else:
        lead_id = headers.lead_id_of(record.headers) or lead_id_at(record.topic, record.partition, record.offset)
        fields = {}
    run = headers.run_of(record.headers)
    received_at = headers.received_at_of(record.headers, record.timestamp)
    return _row(
        record,
        event_id=event_id(lead_id, Step.RECEIVED, run),
        lead_id=lead_id,
        run=run,
        stage=Step.RECEIVED,
        outcome="received",
        received_at=received_at,
        occurred_at=received_at,
        vertical=label_of(fields.get("vertical", "")),
        source=label_of(fields.get("source", "")),
    )


def _dead(record: Record, letter: DeadLetter) -> Row:
    run = headers.run_of(record.headers)
    return _row(
        record,
        event_id=event_id(letter.lead_id, Step.DEAD, run),
        lead_id=letter.lead_id,
        run=run,
        stage=Step.DEAD,
        outcome="dead",
        reason=letter.reason,
        received_at=moment(letter.received_at_ms),
        occurred_at=moment(record.timestamp),
        attributes={
            "stage": letter.stage,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
        },
    )


def _unreadable(record: Record, error: Exception) -> Row:
    lead_id = headers.lead_id_of(record.headers) or lead_id_at(record.topic, record.partition, record.offset)
    reason = error.reason.value if isinstance(error, UndecodableError) else "value.not_event"
    return _row(
        record,
        event_id=event_id(lead_id, Step.DEAD),
        lead_id=lead_id,
        stage=Step.DEAD,
        outcome="dead",
        reason=reason,
        received_at=headers.received_at_of(record.headers, record.timestamp),
        occurred_at=moment(record.timestamp),
        attributes={"topic": record.topic, "partition": record.partition, "offset": record.offset},
    )


def _row(
    record: Record,
    *,
    event_id: UUID,
    lead_id: UUID,
    stage: Step,
    outcome: str,
    received_at: datetime,
    occurred_at: datetime,
    run: int = 0,
    attempt: int = 0,
    reason: str = "",
    vertical: str = "",
    source: str = "",
    buyer: str = "",
    campaign: str = "",
    company: str = "",
    route: str = "",
    tier: str = "",
    decision: int = 0,
    exclusive: bool = False,
    price: Decimal = Decimal(0),
    payout: Decimal = Decimal(0),
    buyer_latency_ms: float = 0.0,
    release: str = "",
    attributes: Details | None = None,
) -> Row:
    latency_ms = max((occurred_at - received_at).total_seconds() * 1000, 0.0)
    return (
        event_id, lead_id, run, attempt, stage.value, outcome, reason, vertical, source, buyer, campaign,
        company, route, tier, decision, exclusive, price, payout, buyer_latency_ms, latency_ms,
        received_at, occurred_at, release, SCHEMA_VERSION, json.dumps(attributes or {}),
        record.topic, record.partition, record.offset,
    )  # fmt: skip
