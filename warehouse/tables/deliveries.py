"""``deliveries``: every leg that was asked, what was sent and what the buyer answered, free of personal data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from schemas.events import Delivery
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import run_of, target

COLUMNS: Final[tuple[str, ...]] = (
    "event_id", "lead_id", "run", "decision", "attempt", "vertical", "source", "campaign", "buyer", "company", "route",
    "tier", "exclusive", "outcome", "reason", "price", "reference", "http_status", "posts", "latency_ms", "is_last",
    "endpoint", "idempotency_key", "request_bytes", "response_type", "response_bytes",
    "received_at", "occurred_at", "release",
)  # fmt: skip
FIELDS: Final = tuple(name for name in COLUMNS if name in Delivery.model_fields)
NIL: Final = UUID(int=0)


def _rows(record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, Delivery):
        return ()
    sent = content.exchange
    row: dict[str, Any] = {name: getattr(content, name) for name in FIELDS} | {
        "run": run_of(record, content),
        "reason": content.reason or "",
        "price": content.price or Decimal(0),
        "reference": content.reference or "",
        "http_status": content.http_status or 0,
        "is_last": content.over,
        "endpoint": sent.endpoint if sent else "",
        "idempotency_key": sent.key if sent else NIL,
        "request_bytes": sent.request_bytes if sent else 0,
        "response_type": (sent.response_type if sent else None) or "",
        "response_bytes": sent.response_bytes if sent else 0,
    }
    return (row,)


DELIVERIES: Final = target("deliveries", COLUMNS, [Delivery.TOPIC.name], _rows)
