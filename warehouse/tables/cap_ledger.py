"""``cap_ledger``: what each cap of each campaign had used, each time that was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.messages import Capacity
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import target

COLUMNS: Final = ("campaign", "buyer", "cap", "since", "until", "limit", "used", "full", "occurred_at")


def _rows(_record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, Capacity):
        return ()
    told = {
        "campaign": content.campaign,
        "buyer": content.buyer,
        "full": content.full or "",
        "occurred_at": content.occurred_at,
    }
    uses = {name: [getattr(use, name) for use in content.uses] for name in ("cap", "since", "until", "limit", "used")}
    return [{**told, **dict(zip(uses, of, strict=True))} for of in zip(*uses.values(), strict=True)]


CAP_LEDGER: Final = target("cap_ledger", COLUMNS, [Capacity.TOPIC.name], _rows)
