"""Purchases: which leads of a person a company has bought, or is perhaps buying at this moment.

Routing looks at what was sold; here, where one writer owns all of a company's offers, leads that are under way are seen
too, so two leads of a person that come at once are not both sold to it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from schemas.config.buyer import Buyer
from schemas.config.release import Configuration
from schemas.events import Offer
from schemas.values import Frozen, Timestamp
from streams.tables import Tables, TableSpec

LONGEST: Final = timedelta(days=400)
"""The longest ``duplicate_days``."""


class Purchase(Frozen):
    """A lead that a buyer has, or may get; ``entry`` is the ledger's key."""

    entry: str
    lead_id: UUID
    buyer: str
    received_at: Timestamp


class Purchases(Frozen):
    """A person's, by one company."""

    purchases: tuple[Purchase, ...] = ()


PURCHASES: Final = TableSpec("purchases", Purchases, expiry=LONGEST + timedelta(days=30))
"""By company and person."""
NOTHING: Final = Purchases()


def watchful_companies(configuration: Configuration) -> frozenset[str]:
    """Companies of which any buyer looks for duplicates: only their purchases are kept."""
    return frozenset(buyer.company for buyer in configuration.buyers if buyer.duplicate_days)


def bought_before(tables: Tables, buyer: Buyer, offer: Offer) -> bool:
    """Whether the buyer, or by its scope any of its company, has or may get another lead of the person, received within
    its days."""
    if not buyer.duplicate_days:
        return False
    known = tables[PURCHASES].get(_key(buyer.company, offer.person)) or NOTHING
    within = timedelta(days=buyer.duplicate_days)
    return any(
        purchase.lead_id != offer.lead_id
        and (buyer.duplicate_scope == "parent" or purchase.buyer == buyer.id)
        and abs(offer.received_at - purchase.received_at) < within
        for purchase in known.purchases
    )


def add(tables: Tables, entry: str, buyer: Buyer, offer: Offer) -> None:
    """The lead is being sold to the buyer."""
    key = _key(buyer.company, offer.person)
    before = (tables[PURCHASES].get(key) or NOTHING).purchases
    own = Purchase(entry=entry, lead_id=offer.lead_id, buyer=buyer.id, received_at=offer.received_at)
    kept = (p for p in before if p.entry != entry and abs(offer.received_at - p.received_at) < LONGEST)
    tables[PURCHASES][key] = Purchases(purchases=(*kept, own))


def remove(tables: Tables, entry: str, company: str, person: str) -> None:
    """The buyer has not got the lead."""
    key = _key(company, person)
    before = (tables[PURCHASES].get(key) or NOTHING).purchases
    kept = tuple(purchase for purchase in before if purchase.entry != entry)
    if len(kept) < len(before):
        if kept:
            tables[PURCHASES][key] = Purchases(purchases=kept)
        else:
            del tables[PURCHASES][key]


def _key(company: str, person: str) -> str:
    return f"{company}:{person}"
