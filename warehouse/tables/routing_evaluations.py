"""``routing_evaluations``: what each decision found of each campaign, as compact as the trace says it.

A row is of one lead, decision and reason, with the campaigns that the reason is the first of: a bit a campaign, as in
the event (:class:`schemas.decision.Failed`). The view ``evaluations`` has a row for each campaign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.events import LeadRouted, LeadUnrouted
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import run_of, target

CHOSEN: Final = "chosen"
"""The reason of those on the slip, which are ``named``."""
COLUMNS: Final = (
    "lead_id", "run", "decision", "vertical", "route", "reason", "campaigns", "named", "received_at", "occurred_at",
    "release",
)  # fmt: skip


def _rows(record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, LeadRouted):
        named = list(dict.fromkeys(leg.campaign for leg in content.slip.candidates))
        chosen = {"vertical": content.vertical, "reason": CHOSEN, "campaigns": b"", "named": named}
        return [*_failed(record, content, content.slip.route), _decided(record, content, content.slip.route) | chosen]
    return _failed(record, content, content.route) if isinstance(content, LeadUnrouted) else ()


def _failed(record: Record, event: LeadRouted | LeadUnrouted, route: str) -> list[dict[str, Any]]:
    decided = _decided(record, event, route)
    return [
        {**decided, "vertical": one.vertical, "reason": one.reason, "campaigns": one.campaigns, "named": []}
        for one in event.trace.failed
    ]


def _decided(record: Record, event: LeadRouted | LeadUnrouted, route: str) -> dict[str, Any]:
    return {
        "lead_id": event.lead_id,
        "run": run_of(record, event),
        "decision": event.attempt,
        "route": route,
        "received_at": event.received_at,
        "occurred_at": event.occurred_at,
        "release": event.release,
    }


ROUTING_EVALUATIONS: Final = target(
    "routing_evaluations", COLUMNS, [LeadRouted.TOPIC.name, LeadUnrouted.TOPIC.name], _rows
)
