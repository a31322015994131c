"""One event of every model, about a person whose every detail carries a mark."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from schemas.codec import encode
from schemas.decision import Candidate, Facts, Failed, Slip, Tier, Trace
from schemas.events import (
    Decline,
    Delivery,
    Event,
    Exchange,
    Feedback,
    Lead,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
    Offer,
    Rejection,
)
from schemas.identity import event_id
from schemas.record import KafkaRecord

MARK = "cAnArY"
MOMENT = datetime(2026, 11, 20, 10, 30, 15, 123000, UTC)
LEAD = Lead(
    first_name=f"{MARK}-first",
    last_name=f"{MARK}-last",
    phone=f"+1{MARK}",
    email=f"{MARK}@example.com",
    zip=f"{MARK}-zip",
    state=f"{MARK}-state",
    extra={"ip": f"{MARK}-ip", f"{MARK}-name": "x"},
)
RAW = {"phone": f"{MARK}-raw", f"{MARK}-raw-name": "x", "source": f"{MARK} source"}
SLIP = Slip(
    route="west-first",
    candidates=[
        Candidate(campaign="west", buyer="sunpath", company="sun", price=Decimal("12.5"), exclusive=True, tier=0),
        Candidate(campaign="east", buyer="lumen", company="lumen", price=Decimal(8), exclusive=False, tier=0),
    ],
    tiers=[Tier(name="first", max_sales=None, stop=False, unsold=False)],
    max_sales=2,
    deadline=None,
)
TRACE = Trace(
    failed=[Failed(reason="filter.state", vertical="solar", campaigns=b"\xa0")],
    facts=Facts(standings=[], sales=[], refusals=[], shares=[], full={"north": "cap.day"}, bids=[], resumed_at=None),
)
DECLINES = [Decline(cursor=0, campaign="west", buyer="sunpath", reason="buyer.rejected")]
SOLD = {"campaign": "west", "buyer": "sunpath"}

DETAILS: dict[type[Event], dict[str, Any]] = {
    LeadValidated: {"person": f"{MARK}-person", "lead": LEAD, "raw": RAW},
    LeadRejected: {"reasons": [Rejection(reason="phone.invalid", field="phone", detail="length")], "raw": RAW},
    LeadUnique: {"person": f"{MARK}-person", "lead": LEAD},
    LeadDuplicate: {
        "person": f"{MARK}-person",
        "duplicate_of": UUID(int=1),
        "rule": "duplicate.person",
        "first_seen_at": MOMENT,
    },
    LeadRouted: {"person": f"{MARK}-person", "slip": SLIP, "trace": TRACE},
    LeadUnrouted: {
        "person": f"{MARK}-person",
        "reason": "route.no_campaign",
        "route": "west-first",
        "trace": TRACE,
        "held": MOMENT,
    },
    Offer: {
        "person": f"{MARK}-person",
        "lead": LEAD,
        "slip": SLIP,
        "cursor": 1,
        "decision": 0,
        "declines": DECLINES,
        "sales": [],
    },
    Delivery: {
        "person": f"{MARK}-person",
        **SOLD,
        "outcome": "accepted",
        "reason": None,
        "price": Decimal("12.5"),
        "reference": "R-1",
        "http_status": 200,
        "posts": 1,
        "latency_ms": 12.5,
        "company": "sun",
        "exclusive": True,
        "route": "west-first",
        "tier": "first",
        "decision": 0,
        "over": True,
        "exchange": Exchange(
            endpoint="https://leads.sunpath.example",
            key=UUID(int=4),
            request_bytes=312,
            response_type="application/json",
            response_bytes=41,
        ),
    },
    LeadDelivered: {
        "person": f"{MARK}-person",
        **SOLD,
        "price": Decimal("12.5"),
        "reference": "R-1",
        "company": "sun",
        "payout": Decimal("7.25"),
        "exclusive": True,
        "route": "west-first",
        "tier": "first",
        "decision": 0,
        "declines": [],
    },
    LeadUndelivered: {
        "person": f"{MARK}-person",
        "reason": "delivery.all_declined",
        "declines": DECLINES,
        "route": "west-first",
        "decision": 0,
    },
    Feedback: {"person": f"{MARK}-person", **SOLD, "kind": "return", "reason": None, "amount": Decimal("12.5")},
}


def event(model: type[Event], lead_id: UUID | None = None, **changes: Any) -> Event:
    """An event of a model, of a new lead unless one is given."""
    lead_id = lead_id or uuid4()
    run, attempt = changes.get("run", 0), changes.get("attempt", 0)
    envelope = {
        "event_id": event_id(lead_id, model.STEP, run, attempt),
        "lead_id": lead_id,
        "received_at": MOMENT,
        "occurred_at": MOMENT.replace(second=16),
        "release": "0123456789abcdef",
        "vertical": "solar",
        "source": "quoteharbor",
        "traceparent": f"{MARK}-trace",
    }
    return model(**{**envelope, **DETAILS[model], **changes})


def record_of(sent: Event, *headers: tuple[str, bytes], offset: int = 7) -> KafkaRecord:
    """An event as a record of its topic."""
    return KafkaRecord(sent.TOPIC.name, 3, offset, 1_700_000_000_000, b"key", encode(sent), headers)
