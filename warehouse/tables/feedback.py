"""``feedback``: what buyers said later, by names and codes.

The topic is written by others, so whatever they write may be about a person: words of their own stay on the topic.
"""

from __future__ import annotations

from typing import Final

from schemas.events import Feedback
from warehouse.tables.body import event_body
from warehouse.tables.table import ATTEMPT, IN_TIME, RUN, SOURCE, Source, Table, is_blank, is_money, is_text, label, own

FREE_TEXT: Final = "reason.free_text"
"""The reason where a buyer gives none of its codes, but words."""


def said(event: str) -> dict[str, str]:
    """What others write about a lead, as far as it is names and codes."""
    names = {name: label(f"{event}.{name}") for name in ("vertical", "campaign", "buyer")}
    reason = f"ifNull({event}.reason, '')"
    return names | {
        "reason": f"multiIf({is_blank(reason)}, '', empty({label(reason)}), '{FREE_TEXT}', {label(reason)})",
        "release": f"if(match({event}.release, '^[0-9a-f]{{1,64}}$'), {event}.release, '')",
    }


FEEDBACK: Final = Table(
    "feedback",
    own("event_id", "lead_id", "received_at", "occurred_at")
    | said("r")
    | {
        "run": RUN,
        "attempt": ATTEMPT,
        "source": SOURCE,
        "kind": label("r.kind"),
        "amount": "ifNull(r.amount, toDecimal64(0, 4))",
    },
    (Source(Feedback.TOPIC.name, Feedback, event_body, {}),),
    checks=(
        *IN_TIME,
        is_money("amount"),
        is_text("vertical", "source", "campaign", "buyer", "kind", "reason", "release"),
    ),
)
