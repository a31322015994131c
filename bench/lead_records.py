"""Records about made-up leads: an event by itself, and all of a lead that is sold to the first of three campaigns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid4

from schemas.codec import encode
from schemas.decision import Candidate, Facts, Failed, Slip, Tier, Trace
from schemas.events import (
    Consent,
    Delivery,
    Event,
    Exchange,
    Lead,
    LeadDelivered,
    LeadDuplicate,
    LeadRouted,
    LeadUnique,
    LeadValidated,
    Offer,
)
from schemas.identity import event_id
from schemas.topics import LEADS

_RAW: Final = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone": "(415) 555-0199",
    "email": "ada@example.com",
    "zip": "94107",
    "vertical": "solar",
    "source": "quoteharbor",
    "monthly_bill": "180",
    "roof": "tile",
}
_LEAD: Final = Lead(
    first_name="Ada",
    last_name="Lovelace",
    phone="+14155550199",
    email="ada@example.com",
    zip="94107",
    state="CA",
    extra={"monthly_bill": "180", "roof": "tile", "ip": "198.51.100.7"},
    consent=Consent(text_hash="5" * 64, url="https://quoteharbor.example/solar", ip="198.51.100.7"),
)
_SLIP: Final = Slip(
    route="west-first",
    candidates=[
        Candidate(campaign=name, buyer=buyer, company=buyer, price=Decimal(price), exclusive=True, tier=0)
        for name, buyer, price in (("west", "sunpath", "42.5"), ("coast", "lumen", "40"), ("bay", "helio", "38.25"))
    ],
    tiers=[Tier(name="first", max_sales=1, stop=True, unsold=False)],
    max_sales=1,
    deadline=None,
)
_TRACE: Final = Trace(
    failed=[
        Failed(reason=reason, vertical="solar", campaigns=bytes(16))
        for reason in ("filter.state", "filter.zip", "cap.day", "schedule.closed", "price.below_floor")
    ],
    facts=Facts(standings=[], sales=[], refusals=[], shares=[], full={"north": "cap.day"}, bids=[], resumed_at=None),
)
_SALE: Final = {
    "campaign": "west",
    "buyer": "sunpath",
    "company": "sunpath",
    "price": Decimal("42.5"),
    "reference": "R-10293",
    "exclusive": True,
    "route": "west-first",
    "tier": "first",
    "decision": 0,
}
_DETAILS: Final[dict[type[Event], dict[str, Any]]] = {
    LeadValidated: {"lead": _LEAD, "raw": _RAW},
    LeadUnique: {"lead": _LEAD},
    LeadRouted: {"slip": _SLIP, "trace": _TRACE},
    Offer: {"lead": _LEAD, "slip": _SLIP, "cursor": 0, "decision": 0, "declines": [], "sales": []},
    Delivery: {
        **_SALE,
        "outcome": "accepted",
        "reason": None,
        "http_status": 200,
        "posts": 1,
        "latency_ms": 84.2,
        "over": True,
        "exchange": Exchange(
            endpoint="https://leads.sunpath.example",
            key=UUID(int=4),
            request_bytes=312,
            response_type="application/json",
            response_bytes=41,
        ),
    },
    LeadDelivered: {**_SALE, "payout": Decimal("21.25"), "declines": []},
    LeadDuplicate: {
        "duplicate_of": UUID(int=1),
        "rule": "duplicate.person",
        "first_seen_at": datetime(2026, 1, 1, tzinfo=UTC),
    },
}
_OF_A_SALE: Final = (LeadValidated, LeadUnique, LeadRouted, Offer, Delivery, LeadDelivered)
RECORDS_OF_A_SALE: Final = 1 + len(_OF_A_SALE)
"""The raw lead, and its events."""


def event(model: type[Event], lead_id: UUID) -> Event:
    """An event of this moment."""
    now = datetime.now(UTC)
    return model.model_validate(
        {
            "event_id": event_id(lead_id, model.STEP),
            "lead_id": lead_id,
            "received_at": now - timedelta(seconds=1),
            "occurred_at": now,
            "release": "0123456789abcdef",
            "vertical": "solar",
            "source": "quoteharbor",
            "person": lead_id.hex,
            **_DETAILS[model],
        }
    )


def sales(leads: int) -> Iterator[tuple[str, bytes]]:
    """The topic and the value of each record of so many leads that are sold, all of this moment."""
    events = [event(model, UUID(int=0)) for model in _OF_A_SALE]
    for _ in range(leads):
        lead_id = uuid4()
        yield LEADS.name, json.dumps(_RAW | {"lead_id": str(lead_id)}).encode()
        for one in events:
            own = {"event_id": event_id(lead_id, one.STEP), "lead_id": lead_id, "person": lead_id.hex}
            yield one.TOPIC.name, encode(one.model_copy(update=own))
