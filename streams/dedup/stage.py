"""Dedup: ``leads.validated`` in, ``leads.unique`` or ``leads.duplicate`` out. Deterministic.

A lead that owns its fingerprint is not its own duplicate, so redelivery and replay pass. Windows are measured from lead
to lead by the time each was received, never by the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas import topics
from schemas.config.vertical import LONGEST_WINDOW_DAYS
from schemas.events import Frozen, LeadDuplicate, LeadUnique, LeadValidated, Timestamp
from schemas.identity import Step
from schemas.reasons import Reason
from schemas.record import Record
from streams.stage import Context, Output, Stage, decode_event, emit, envelope
from streams.tables import Tables, TableSpec

WINDOWS_KEPT: Final = 16
DEFAULT_WINDOW: Final = timedelta(days=30)  # of a vertical that the configuration no longer has


class Owner(Frozen):
    """The lead that was first with a fingerprint, and so opened a window."""

    lead_id: UUID
    first_seen_at: Timestamp


class Owners(Frozen):
    """A fingerprint's latest windows in the order they were opened: a replayed lead is judged by the window it came in,
    since those opened after it stand behind."""

    windows: tuple[Owner, ...] = ()

    def of(self, lead_id: UUID, received_at: datetime, window: timedelta) -> Owner | None:
        """The owner that decides about a lead: itself if it ever owned a window, else the first one it falls in."""
        for owner in self.windows:
            if owner.lead_id == lead_id:
                return owner
        for owner in self.windows:
            if abs(received_at - owner.first_seen_at) < window:
                return owner
        return None

    def with_owner(self, owner: Owner) -> Owners:
        """The windows with one more."""
        return Owners(windows=(*self.windows, owner)[-WINDOWS_KEPT:])


OWNERS: Final = TableSpec("owners", Owners, expiry=timedelta(days=LONGEST_WINDOW_DAYS + 31))
"""Kept for the longest window, and for as long as the topic before it."""


class Dedup(Stage[LeadValidated]):
    """Lets the first lead of a person through, once a window and vertical."""

    name = "dedup"
    reads = (topics.VALIDATED,)
    writes = (topics.UNIQUE, topics.DUPLICATE)
    tables = (OWNERS,)

    def decode(self, record: Record) -> LeadValidated:
        return decode_event(record, LeadValidated)

    def process(self, arrivals: Sequence[LeadValidated], tables: Tables, context: Context) -> list[Output]:
        owners = tables[OWNERS]
        outputs = []
        for arrival in arrivals:
            fingerprint = f"{arrival.vertical}:{arrival.person}"
            known = owners.get(fingerprint) or Owners()
            owner = known.of(arrival.lead_id, arrival.received_at, self._window(arrival, context))
            if owner is None:
                owner = Owner(lead_id=arrival.lead_id, first_seen_at=arrival.received_at)
                owners[fingerprint] = known.with_owner(owner)
            outputs.append(self._judge(arrival, owner, context))
        return outputs

    def _window(self, arrival: LeadValidated, context: Context) -> timedelta:
        vertical = context.configuration.vertical_by_name.get(arrival.vertical)
        return DEFAULT_WINDOW if vertical is None else vertical.dedup_window

    def _judge(self, arrival: LeadValidated, owner: Owner, context: Context) -> Output:
        common = envelope(arrival, Step.DEDUP, context) | {"person": arrival.person}
        if owner.lead_id == arrival.lead_id:
            return emit(LeadUnique(**common, lead=arrival.lead), arrival.person)
        duplicate = LeadDuplicate(
            **common,
            duplicate_of=owner.lead_id,
            rule=Reason.DUPLICATE_PERSON,
            first_seen_at=owner.first_seen_at,
        )
        return emit(duplicate, arrival.person)
