"""``cap_ledger``: what each cap of each campaign had used, each time that was told."""

from __future__ import annotations

from typing import Final

from schemas.messages import Capacity
from warehouse.tables.body import event_body
from warehouse.tables.table import Source, Table, is_money, is_text

CAP_LEDGER: Final = Table(
    "cap_ledger",
    {
        "campaign": "r.campaign",
        "buyer": "r.buyer",
        "cap": "x.cap",
        "since": "x.since",
        "until": "x.until",
        "limit": "x.limit",
        "used": "x.used",
        "full": "ifNull(r.full, '')",
        "occurred_at": "r.occurred_at",
    },
    (Source(Capacity.TOPIC.name, Capacity, event_body, {}, each="e.uses"),),
    element=(
        "Tuple(cap String, since String, until Nullable(DateTime64(3, 'UTC')),"
        " limit Decimal(12, 4), used Decimal(12, 4))"
    ),
    checks=(
        is_money("limit", "used"),
        is_text("campaign", "buyer", "cap", "since", "full"),
    ),
)
