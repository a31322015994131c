"""``feedback``: what buyers said later, every word of it."""

from __future__ import annotations

from typing import Final

from schemas.events import Feedback
from warehouse.tables.body import event_body
from warehouse.tables.table import ATTEMPT, IN_TIME, RUN, SOURCE, Source, Table, is_money, is_text, own

FEEDBACK: Final = Table(
    "feedback",
    own("event_id", "lead_id", "vertical", "campaign", "buyer", "kind", "received_at", "occurred_at", "release")
    | {
        "run": RUN,
        "attempt": ATTEMPT,
        "source": SOURCE,
        "reason": "ifNull(r.reason, '')",
        "amount": "ifNull(r.amount, toDecimal64(0, 4))",
    },
    (Source(Feedback.TOPIC.name, Feedback, event_body, {}),),
    checks=(
        *IN_TIME,
        is_money("amount"),
        is_text("vertical", "source", "campaign", "buyer", "kind", "reason", "release"),
    ),
)
