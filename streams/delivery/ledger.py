"""The ledger of a company's partition: what was promised to, sold to and declined by each of its campaigns.

One entry a lead, campaign and kind of leg: a campaign that did not want a lead for itself alone may be asked to share
it. ``reserve → settle``: a reservation counts until it is settled, and so does an outcome nobody knows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from schemas.events import Exchange, Offer, Outcome
from schemas.values import Frozen, Money, Timestamp
from streams.tables import TableSpec


class Status(StrEnum):
    """How far an entry has come; the settled ones are the outcomes of an offer."""

    RESERVED = "reserved"
    ACCEPTED = Outcome.ACCEPTED.value
    REJECTED = Outcome.REJECTED.value
    DUPLICATE = Outcome.DUPLICATE.value
    ERROR = Outcome.ERROR.value
    SKIPPED = Outcome.SKIPPED.value
    UNKNOWN = Outcome.UNKNOWN.value


NOTHING: Final = Decimal("0.0000")
COUNTED: Final = frozenset({Status.RESERVED, Status.ACCEPTED, Status.UNKNOWN})
"""Sold, promised, or perhaps sold."""
FINAL: Final = frozenset({Status.ACCEPTED, Status.REJECTED, Status.DUPLICATE})
"""Outcomes by the buyer's own word: it has the lead, so not even a replay posts it there again."""


class Entry(Frozen):
    """One lead, campaign and kind of leg. ``reserved_at`` says in which windows it counts; ``posted_at`` has the
    reservations before that one which came to a post. ``payout`` is what the source is paid if this is the lead's first
    sale, ``share`` what it is paid in any case; ``release`` the configuration that decided."""

    campaign: str
    buyer: str
    source: str
    status: Status
    run: int
    decision: int
    reserved_at: Timestamp
    at: Timestamp
    price: Money
    payout: Money = NOTHING
    share: Money = NOTHING
    reason: str | None = None
    reference: str | None = None
    http_status: int | None = None
    posts: int = 0
    latency_ms: float = 0.0
    exchange: Exchange | None = None
    release: str
    posted_at: tuple[Timestamp, ...] = ()

    @property
    def is_sent(self) -> bool:
        """Whether the buyer was, or may have been, sent the lead under the present reservation."""
        if self.status is Status.ERROR:
            return self.posts > 0
        return self.status is not Status.SKIPPED

    @property
    def sent_at(self) -> tuple[datetime, ...]:
        """The reservations under which the buyer was, or may have been, sent the lead."""
        return (*self.posted_at, self.reserved_at) if self.is_sent else self.posted_at

    def answers(self, offer: Offer) -> bool:
        """Whether this is the answer to an offer, so that nothing is decided anew."""
        if self.status is Status.RESERVED:
            return False
        return self.status in FINAL or (self.run, self.decision) == (offer.run, offer.decision)

    def supersedes(self, offer: Offer) -> bool:
        """Whether this is of a later decision about the lead: that was made once all of the offer's had been told."""
        return (self.run, self.decision) > (offer.run, offer.decision)


LEDGER: Final = TableSpec("ledger", Entry, expiry=timedelta(days=120))
"""Kept for longer than any topic that an offer can be made from."""


def entry_key(lead_id: object, campaign: str, *, exclusive: bool) -> str:
    """An entry's key in the ledger."""
    return f"{lead_id}:{campaign}" if exclusive else f"{lead_id}:{campaign}:shared"


def key_of(offer: Offer) -> str:
    """The key of the entry that answers an offer."""
    leg = offer.slip.candidates[offer.cursor]
    return entry_key(offer.lead_id, leg.campaign, exclusive=leg.exclusive)
