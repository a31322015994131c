"""Who was first with a fingerprint, and for how long that makes others duplicates."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.config.dedup import LONGEST_WINDOW_DAYS
from schemas.values import Frozen, Timestamp
from streams.tables import Table, TableSpec

WINDOWS_KEPT: Final = 16


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
        return Owners.trusted({"windows": (*self.windows, owner)[-WINDOWS_KEPT:]})


NOBODY: Final = Owners()
OWNERS: Final = TableSpec("owners", Owners, expiry=timedelta(days=LONGEST_WINDOW_DAYS + 31))
"""By key-set fingerprint. Kept for the longest window, and for as long as the topic before it."""
PAYLOADS: Final = TableSpec("payloads", Owners, expiry=timedelta(days=62))
"""By payload fingerprint. Kept for as long as a request can be replayed, and for the same again."""


def owner_of(
    table: Table[Owners], fingerprint: str, lead_id: UUID, received_at: datetime, window: timedelta
) -> Owner | None:
    """The other lead that owns a fingerprint within the window; None when the lead itself does, now at the latest."""
    known = table.get(fingerprint) or NOBODY
    owner = known.of(lead_id, received_at, window)
    if owner is None:
        table[fingerprint] = known.with_owner(Owner.trusted({"lead_id": lead_id, "first_seen_at": received_at}))
        return None
    return None if owner.lead_id == lead_id else owner
