"""``feedback``: what buyers said later, every word of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from schemas.events import Feedback
from schemas.raw_lead import label_of
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import run_of, target

COLUMNS: Final = (
    "event_id", "lead_id", "run", "attempt", "vertical", "source", "campaign", "buyer", "kind", "reason", "amount",
    "received_at", "occurred_at", "release",
)  # fmt: skip


def _rows(record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, Feedback):
        return ()
    row = {name: getattr(content, name) for name in COLUMNS} | {
        "run": run_of(record, content),
        "source": label_of(content.source),
        "reason": content.reason or "",
        "amount": content.amount or Decimal(0),
    }
    return (row,)


FEEDBACK: Final = target("feedback", COLUMNS, [Feedback.TOPIC.name], _rows)
