"""``lead_events``: every event of every lead, one row an event, free of personal data by construction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from schemas import headers, topics
from schemas.codec import UndecodableError
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
from schemas.raw_lead import arrival_of, label_of, lead_id_by_place
from schemas.record import Record
from schemas.values import Frozen, Timestamp
from warehouse.tables.avro_file import long, text
from warehouse.tables.body import REFUSED, event_body, made_body, made_of
from warehouse.tables.feedback import said
from warehouse.tables.json_sql import json_array, json_object
from warehouse.tables.table import (
    ATTEMPT,
    DECISION,
    IN_TIME,
    RUN,
    SOURCE,
    Columns,
    Source,
    Table,
    Unreadable,
    is_money,
    is_text,
    label,
)

SCHEMA_VERSION: Final = 1


class Received(Frozen):
    """What is told of a raw lead."""

    event_id: UUID
    lead_id: UUID
    received_at: Timestamp
    vertical: str
    source: str


class Dead(Frozen):
    """What is told of a record that is dead, or no event: nothing of its value. ``topic`` is its own, ``origin`` where
    it was dead."""

    event_id: UUID
    lead_id: UUID
    reason: str
    received_at: Timestamp
    occurred_at: Timestamp
    topic: str
    stage: str
    detail: str
    origin: str
    partition: int
    offset: int


COLUMNS: Final[Columns] = {
    "event_id": "r.event_id",
    "lead_id": "r.lead_id",
    "run": RUN,
    "attempt": ATTEMPT,
    "reason": "ifNull(r.reason, '')",
    "vertical": "r.vertical",
    "source": SOURCE,
    "buyer": "r.buyer",
    "campaign": "r.campaign",
    "company": "r.company",
    "route": "r.route",
    "tier": "r.tier",
    "decision": DECISION,
    "exclusive": "r.exclusive",
    "price": "toDecimal64(0, 4)",
    "payout": "r.payout",
    "buyer_latency_ms": "toFloat32(0)",
    "latency_ms": "toFloat32(greatest(dateDiff('millisecond', r.received_at, r.occurred_at), 0))",
    "received_at": "r.received_at",
    "occurred_at": "r.occurred_at",
    "release": "r.release",
    "schema_version": str(SCHEMA_VERSION),
    "attributes": "'{}'",
}
_TEXTS: Final = (
    "outcome", "reason", "vertical", "source", "buyer", "campaign", "company", "route", "tier", "release", "attributes",
)  # fmt: skip

_ATTEMPT: Final = "accurateCast(e.attempt, 'UInt16')"
_MILLISECOND: Final = timedelta(milliseconds=1)
_TRACE: Final = json_object(
    failed=json_array(
        json_object(vertical="f.vertical", reason="f.reason", campaigns="lower(hex(f.campaigns))"),
        "e.trace.failed",
        "f",
    ),
    facts="e.trace.facts",
)


def _leg(cursor: str) -> Columns:
    """A leg of a slip in the columns for it."""
    leg = f"e.slip.candidates[{cursor}]"
    return {
        "buyer": f"{leg}.buyer",
        "campaign": f"{leg}.campaign",
        "company": f"{leg}.company",
        "route": "e.slip.route",
        "tier": f"e.slip.tiers[{leg}.tier + 1].name",
        "exclusive": f"{leg}.exclusive",
    }


def _has_leg(cursor: str) -> str:
    tier = f"e.slip.candidates[{cursor}].tier"
    return f"{cursor} <= length(e.slip.candidates) AND {tier} BETWEEN 0 AND length(e.slip.tiers) - 1"


DESCRIBED: Final[Mapping[type[Event], Columns]] = {
    LeadValidated: {
        "outcome": "'validated'",
        "attributes": json_object(warnings="e.warnings", test="e.lead.test"),
    },
    LeadRejected: {
        "outcome": "'rejected'",
        "reason": "e.reasons[1].reason",
        "attributes": json_object(reasons="e.reasons"),
    },
    LeadUnique: {"outcome": "'unique'"},
    LeadDuplicate: {
        "outcome": "'duplicate'",
        "reason": "e.rule",
        "attributes": json_object(duplicate_of="e.duplicate_of", first_seen_at="e.first_seen_at", key_set="e.key_set"),
    },
    LeadRouted: {
        "outcome": "'routed'",
        "decision": _ATTEMPT,
        **_leg("1"),
        "attributes": json_object(slip="e.slip", trace=_TRACE),
    },
    LeadUnrouted: {
        "outcome": "'unrouted'",
        "decision": _ATTEMPT,
        "attributes": json_object(held="e.held", trace=_TRACE),
    },
    Offer: {
        "outcome": "'offered'",
        **_leg("e.cursor + 1"),
        "attributes": json_object(cursor="e.cursor"),
    },
    Delivery: {
        "outcome": "e.outcome",
        "buyer_latency_ms": "toFloat32(e.latency_ms)",
        "attributes": json_object(reference="e.reference", http_status="e.http_status", posts="e.posts", over="e.over"),
    },
    LeadDelivered: {
        "outcome": "'delivered'",
        "price": "e.price",
        "attributes": json_object(reference="e.reference", declines="e.declines"),
    },
    LeadUndelivered: {
        "outcome": "'undelivered'",
        "attributes": json_object(declines="e.declines"),
    },
    Feedback: {
        **said("e"),
        "outcome": label("e.kind"),
        "price": "ifNull(e.amount, toDecimal64(0, 4))",
    },
}
_CHECKS: Final[Mapping[type[Event], tuple[str, ...]]] = {
    LeadRejected: ("notEmpty(e.reasons)",),
    LeadRouted: (_has_leg("1"),),
    Offer: ("e.cursor >= 0", _has_leg("e.cursor + 1")),
    Delivery: ("e.latency_ms >= 0 AND isFinite(toFloat32(e.latency_ms))",),
}


def _received(record: Record) -> bytes:
    """As :class:`Received`, written by hand: raw leads are all read here, and there are many."""
    try:
        arrival = arrival_of(record)
        lead_id, fields = arrival.lead_id, arrival.fields
    except UndecodableError:
        lead_id, fields = lead_id_by_place(record), {}
    received_at = headers.received_at_of(record.headers, record.timestamp)
    return b"".join(
        (
            text(str(event_id(lead_id, Step.RECEIVED, headers.run_of(record.headers)))),
            text(str(lead_id)),
            long((received_at - headers.EPOCH) // _MILLISECOND),
            text(label_of(fields.get("vertical", ""))),
            text(label_of(fields.get("source", ""))),
        )
    )


def _dead(record: Record) -> dict[str, Any]:
    letter = DeadLetter.from_headers(record.headers)
    return {
        "event_id": event_id(letter.lead_id, Step.DEAD, headers.run_of(record.headers)),
        "lead_id": letter.lead_id,
        "reason": letter.reason,
        "received_at": moment(letter.received_at_ms),
        "occurred_at": moment(record.timestamp),
        "topic": record.topic,
        "stage": letter.stage,
        "detail": letter.detail,
        "origin": letter.topic,
        "partition": in_log(letter.partition, 31),
        "offset": in_log(letter.offset, 63),
    }


def _unreadable(record: Record, reason: str) -> bytes:
    if reason == REFUSED:  # its headers may be what is refused, and its time
        lead_id = lead_id_at(record.topic, record.partition, record.offset)
        received_at = occurred_at = headers.EPOCH
    else:
        lead_id = lead_id_by_place(record)
        received_at = headers.received_at_of(record.headers, record.timestamp)
        occurred_at = moment(record.timestamp)
    told = {
        "event_id": event_id(lead_id, Step.DEAD),
        "lead_id": lead_id,
        "reason": reason,
        "received_at": received_at,
        "occurred_at": occurred_at,
        "topic": record.topic,
        "stage": "",
        "detail": "",
        "origin": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    return made_body(Dead, told)


def in_log(number: int, bits: int) -> int:
    """A number of a dead letter's headers, which are anybody's: one that no log has is -1."""
    return number if 0 <= number < 2**bits else -1


def moment(milliseconds: int) -> Any:
    """A record's time, within what ClickHouse holds."""
    return headers.received_at_of((), milliseconds)


_DEAD: Final = {
    "stage": f"'{Step.DEAD}'",
    "outcome": "'dead'",
    "attributes": json_object(
        stage="e.stage", detail="e.detail", topic="e.origin", partition="e.partition", offset="e.offset"
    ),
}
LEAD_EVENTS: Final = Table(
    "lead_events",
    COLUMNS,
    (
        Source(
            topics.LEADS.name,
            Received,
            _received,
            {
                "stage": f"'{Step.RECEIVED}'",
                "outcome": "'received'",
                "latency_ms": "toFloat32(0)",
                "occurred_at": "e.received_at",
            },
        ),
        *(
            Source(
                model.TOPIC.name,
                model,
                event_body,
                {"stage": f"'{model.STEP}'", **columns},
                _CHECKS.get(model, ()),
            )
            for model, columns in DESCRIBED.items()
        ),
        Source(topics.DEAD_LETTERS.name, Dead, made_of(Dead, _dead), _DEAD),
    ),
    Unreadable(
        frozenset([*(model.TOPIC.name for model in DESCRIBED), topics.DEAD_LETTERS.name]),
        Dead,
        _unreadable,
        {
            **_DEAD,
            "_topic": "e.topic",
            "run": "toUInt32(0)",
            "attributes": json_object(topic="e.origin", partition="e.partition", offset="e.offset"),
        },
    ),
    checks=(*IN_TIME, is_money("price", "payout"), is_text(*_TEXTS)),
)
