"""``routing_evaluations``: what each decision found of each campaign, as compact as the trace says it.

A row is of one lead, decision and reason, with the campaigns that the reason is the first of: a bit a campaign, as in
the event (:class:`schemas.decision.Failed`). The view ``evaluations`` has a row for each campaign.
"""

from __future__ import annotations

from typing import Final

from schemas.events import LeadRouted, LeadUnrouted
from warehouse.tables.body import event_body
from warehouse.tables.table import ATTEMPT, IN_TIME, RUN, Source, Table, is_text, own

CHOSEN: Final = "chosen"
"""The reason of those on the slip, which are ``named``."""
_FAILED: Final = "arrayMap(f -> (f.vertical, f.reason, f.campaigns, CAST([], 'Array(String)')), e.trace.failed)"
_CHOSEN: Final = f"(e.vertical, '{CHOSEN}', '', arrayDistinct(arrayMap(leg -> leg.campaign, e.slip.candidates)))"

ROUTING_EVALUATIONS: Final = Table(
    "routing_evaluations",
    own("lead_id", "route", "received_at", "occurred_at", "release")
    | {
        "run": RUN,
        "decision": ATTEMPT,
        "vertical": "x.vertical",
        "reason": "x.reason",
        "campaigns": "x.campaigns",
        "named": "x.named",
    },
    (
        Source(
            LeadRouted.TOPIC.name,
            LeadRouted,
            event_body,
            {"route": "e.slip.route"},
            each=f"arrayPushBack({_FAILED}, {_CHOSEN})",
        ),
        Source(LeadUnrouted.TOPIC.name, LeadUnrouted, event_body, {}, each=_FAILED),
    ),
    element="Tuple(vertical String, reason String, campaigns String, named Array(String))",
    checks=(*IN_TIME, is_text("vertical", "route", "reason", "release", "arrayStringConcat(named, ' ')")),
)
