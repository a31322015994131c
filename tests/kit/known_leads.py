"""Six leads whose ends are known: sold twice, sold and returned, replayed and not sold, rejected, a duplicate, and one
under way. And what is told beside them: a cap's use, a release, a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from kit.builders import campaign, configuration
from kit.events import MOMENT, TRACE, event, record_of
from schemas.codec import encode
from schemas.config.history import ReleaseHistory
from schemas.config.placeholders import WrittenRelease
from schemas.events import (
    Delivery,
    Event,
    Feedback,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
)
from schemas.headers import DeadLetter
from schemas.messages import Capacity, CapUse
from schemas.record import KafkaRecord

LEADS = [UUID(int=number) for number in range(1, 7)]
SOLD = LEADS[0]
DECIDED_BY = "0123456789abcdef"
"""The release that the events name."""


def happened(leads: Sequence[UUID] = LEADS, vertical: str = "solar") -> list[KafkaRecord]:
    """Every record of six leads, in the order above."""
    sold, returned, unsold, rejected, duplicate, waiting = leads
    failed = [one.model_copy(update={"vertical": vertical}) for one in TRACE.failed]
    decided = {"trace": TRACE.model_copy(update={"failed": failed})}
    records: list[KafkaRecord] = []

    def of(lead_id: UUID, *events: tuple[type[Event], dict[str, Any]]) -> None:
        received = event(LeadUnique, lead_id)
        value = b'{"vertical": "%b", "source": "quoteharbor", "lead_id": "%b"}' % (
            vertical.encode(),
            str(lead_id).encode(),
        )
        at_ms = round(received.received_at.timestamp() * 1000)
        records.append(KafkaRecord("leads", 0, 0, at_ms, None, value))
        for number, (model, changes) in enumerate(events):
            at = MOMENT + timedelta(seconds=1 + number)
            records.append(record_of(event(model, lead_id, **{"occurred_at": at, "vertical": vertical, **changes})))

    def passed(run: int = 0) -> list[tuple[type[Event], dict[str, Any]]]:
        return [(model, {"run": run}) for model in (LeadValidated, LeadUnique)]

    two = {"campaign": "east", "buyer": "lumen", "price": Decimal(8), "payout": Decimal(0), "attempt": 1}
    of(
        sold,
        *passed(),
        (LeadRouted, decided),
        (Delivery, {"outcome": "rejected", "price": None, "latency_ms": 40.0}),
        (Delivery, {"attempt": 1, "latency_ms": 20.0}),
        (LeadDelivered, {}),
        (LeadDelivered, two),
    )
    of(returned, *passed(), (LeadRouted, decided), (Delivery, {}), (LeadDelivered, {}), (Feedback, {}))
    skipped = {"outcome": "skipped", "price": None, "run": 1}
    of(
        unsold,
        *passed(),
        (LeadUnrouted, decided),
        *passed(1),
        (LeadRouted, {"run": 1, **decided}),
        (Delivery, skipped),
        (LeadUndelivered, {"run": 1}),
    )
    of(rejected, (LeadRejected, {}))
    of(duplicate, (LeadValidated, {}), (LeadDuplicate, {}))
    of(waiting, *passed())
    return records


def told() -> list[KafkaRecord]:
    """What is told beside them."""
    records: list[KafkaRecord] = []
    use = CapUse(cap="day:accepted", since="2026-11-20T00:00Z", until=None, limit=Decimal(10), used=Decimal(4))
    full = Capacity(campaign="west", buyer="sunpath", uses=[use], full=None, until=None, occurred_at=MOMENT)
    records.append(KafkaRecord("capacity", 0, 0, 0, b"west", encode(full)))
    release = configuration(campaign("west"), campaign("north"), campaign("east"))
    for key, record in ReleaseHistory().records_of(WrittenRelease.of(release), MOMENT, "ann", "first"):
        # Known by the name that the events' decisions have.
        named = record.model_copy(update={"release": DECIDED_BY}) if record.kind in ("release", "applied") else record
        records.append(KafkaRecord("config", 0, 0, 0, key.encode(), encode(named)))
    at_ms = round(MOMENT.timestamp() * 1000)
    letter = DeadLetter("offers", 0, 5, at_ms, "delivery", "value.not_event", "", "1", SOLD, 0, at_ms)
    records.append(KafkaRecord("dead-letters", 0, 0, at_ms, None, b"{}", letter.headers()))
    return records
