"""The ledger of a buyer's partition: what was promised to, sold to and declined by each campaign, and its daily caps.

One entry a lead and campaign is the only thing stored; a day's count is a projection of the entries, so the two never
disagree. ``reserve → settle``: a reservation counts until it is settled, and so does an outcome nobody knows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from schemas.config.campaign import Campaign
from schemas.events import Frozen, Outcome, Timestamp
from streams.tables import Tables, TableSpec


class Status(StrEnum):
    """How far an entry has come; the settled ones are the outcomes of an offer."""

    RESERVED = "reserved"
    ACCEPTED = Outcome.ACCEPTED.value
    REJECTED = Outcome.REJECTED.value
    DUPLICATE = Outcome.DUPLICATE.value
    ERROR = Outcome.ERROR.value
    SKIPPED = Outcome.SKIPPED.value
    UNKNOWN = Outcome.UNKNOWN.value


COUNTED: Final = frozenset({Status.RESERVED, Status.ACCEPTED, Status.UNKNOWN})
"""What a cap counts: sold, promised, or perhaps sold."""


class Entry(Frozen):
    """One lead and campaign. ``day`` is the campaign's local day that the lead counts on, ``release`` the configuration
    that decided."""

    campaign: str
    day: str
    status: Status
    run: int
    at: Timestamp
    reason: str | None = None
    reference: str | None = None
    http_status: int | None = None
    posts: int = 0
    latency_ms: float = 0.0
    release: str = ""


LEDGER: Final = TableSpec("ledger", Entry, expiry=timedelta(days=120))
"""Kept for longer than any topic that an offer can be made from."""
TAKEN: Final = TableSpec("taken", int, derived=True)


def entry_key(lead_id: object, campaign: str) -> str:
    """An entry's key in the ledger."""
    return f"{lead_id}:{campaign}"


def day_of(campaign: Campaign, now: datetime) -> str:
    """The local day of a campaign, ``YYYY-MM-DD``. A day is what its zone's calendar says, 23 or 25 hours included."""
    return now.astimezone(ZoneInfo(campaign.time_zone)).date().isoformat()


def taken(tables: Tables, campaign: str, day: str) -> int:
    """Leads that count against a campaign's cap on a day."""
    return tables[TAKEN].get(f"{campaign}:{day}") or 0


def has_room(tables: Tables, campaign: Campaign, day: str) -> bool:
    """Whether one more lead stays within the daily cap."""
    return campaign.daily_cap is None or taken(tables, campaign.id, day) < campaign.daily_cap


def write(tables: Tables, key: str, entry: Entry) -> None:
    """Put an entry in the ledger and keep the day's count true."""
    before = tables[LEDGER].get(key)
    tables[LEDGER][key] = entry
    if before is not None and before.status in COUNTED:
        _count(tables, before, -1)
    if entry.status in COUNTED:
        _count(tables, entry, +1)


def recount(tables: Tables) -> None:
    """Project the counts from the entries, after a restore."""
    for entry in tables[LEDGER].values():
        if entry.status in COUNTED:
            _count(tables, entry, +1)


def _count(tables: Tables, entry: Entry, by: int) -> None:
    key = f"{entry.campaign}:{entry.day}"
    tables[TAKEN][key] = (tables[TAKEN].get(key) or 0) + by
