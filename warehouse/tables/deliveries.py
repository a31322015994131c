"""``deliveries``: every leg that was asked, what was sent and what the buyer answered, free of personal data."""

from __future__ import annotations

from typing import Final

from schemas.events import Delivery
from warehouse.tables.body import event_body
from warehouse.tables.table import ATTEMPT, DECISION, IN_TIME, RUN, SOURCE, Source, Table, is_money, is_text, own

DELIVERIES: Final = Table(
    "deliveries",
    own(
        "event_id",
        "lead_id",
        "vertical",
        "campaign",
        "buyer",
        "company",
        "route",
        "tier",
        "exclusive",
        "outcome",
        "received_at",
        "occurred_at",
        "release",
    )
    | {
        "run": RUN,
        "decision": DECISION,
        "attempt": ATTEMPT,
        "source": SOURCE,
        "reason": "ifNull(r.reason, '')",
        "price": "ifNull(r.price, toDecimal64(0, 4))",
        "reference": "ifNull(r.reference, '')",
        "http_status": "accurateCast(ifNull(r.http_status, 0), 'UInt16')",
        "posts": "accurateCast(r.posts, 'UInt16')",
        "latency_ms": "toFloat32(r.latency_ms)",
        "is_last": "r.over",
        "endpoint": "ifNull(r.exchange.endpoint, '')",
        "idempotency_key": "ifNull(r.exchange.key, toUUID('00000000-0000-0000-0000-000000000000'))",
        "request_bytes": "accurateCast(ifNull(r.exchange.request_bytes, 0), 'UInt32')",
        "response_type": "ifNull(r.exchange.response_type, '')",
        "response_bytes": "accurateCast(ifNull(r.exchange.response_bytes, 0), 'UInt32')",
    },
    (Source(Delivery.TOPIC.name, Delivery, event_body, {}),),
    checks=(
        *IN_TIME,
        "latency_ms >= 0 AND isFinite(latency_ms)",
        is_money("price"),
        is_text(
            "vertical", "source", "campaign", "buyer", "company", "route", "tier", "outcome", "reason", "reference"
        ),
        is_text("endpoint", "response_type", "release"),
    ),
)
