"""What routing learns of a leg that was asked: a sale, or perhaps one, and what campaigns answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from schemas.decision import PriorSale, Refusal
from schemas.events import Delivery, Outcome
from schemas.reasons import Reason
from streams.routing.memory import RATES, SALES, UNKNOWN, Sales
from streams.tables import Tables

SALES_KEPT: Final = 64
"""Of one person, the latest."""
REFUSALS: Final = {Outcome.REJECTED.value: Reason.BUYER_REJECTED, Outcome.DUPLICATE.value: Reason.BUYER_DUPLICATE}
"""The buyer's own word; a cap or an error says nothing about what it would take."""


def refusal_of(leg: Delivery) -> Refusal:
    """A leg that ended in one of :data:`REFUSALS`."""
    values = {"campaign": leg.campaign, "buyer": leg.buyer, "company": leg.company, "exclusive": leg.exclusive}
    values["reason"] = REFUSALS[leg.outcome].value
    return Refusal.trusted(values)


def learn(tables: Tables, campaign: str, learners: Collection[str], *, accepted: bool) -> None:
    """Take in one answer, of a campaign that is ranked by how it answers."""
    if campaign in learners:
        rates = tables[RATES]
        rates[campaign] = (rates.get(campaign) or UNKNOWN).after(accepted=accepted)


def sales_of(tables: Tables, person: str, lead_id: UUID) -> list[PriorSale]:
    """The sales of one lead, those that are unknown among them."""
    known = tables[SALES].get(person)
    return [sale for sale in known.sales if sale.lead_id == lead_id] if known else []


def note_leg(tables: Tables, leg: Delivery) -> bool:
    """Keep a sale or an unknown outcome, once; what is known by now takes the place of the latter. Returns whether this
    is a sale that was not known."""
    accepted, unknown = leg.outcome == Outcome.ACCEPTED, leg.outcome == Outcome.UNKNOWN
    known = tables[SALES].get(leg.person)
    left = known.sales if known else ()
    before = next((s for s in left if s.lead_id == leg.lead_id and s.campaign == leg.campaign), None) if left else None
    if before is None and not (accepted or unknown):
        return False
    if before is not None:
        if unknown or not before.unknown:
            return False  # told again
        left = tuple([sale for sale in left if sale is not before])
    if accepted or unknown:
        left = (*left, _sale(leg, unknown=unknown))[-SALES_KEPT:]
    tables[SALES][leg.person] = Sales.trusted({"sales": left})
    return accepted


def note_return(tables: Tables, person: str, lead_id: UUID, campaign: str) -> PriorSale | None:
    """Mark a sale as returned: a buyer that gives a lead back had it, whatever was known of that. None when there is
    none, or it was returned before."""
    known = (tables[SALES].get(person) or Sales()).sales
    for place, sale in enumerate(known):
        if sale.lead_id == lead_id and sale.campaign == campaign and not sale.returned:
            returned = sale.model_copy(update={"returned": True, "unknown": False})
            tables[SALES][person] = Sales(sales=(*known[:place], returned, *known[place + 1 :]))
            return returned
    return None


def _sale(leg: Delivery, *, unknown: bool) -> PriorSale:
    return PriorSale.trusted(
        {
            "lead_id": leg.lead_id,
            "campaign": leg.campaign,
            "buyer": leg.buyer,
            "company": leg.company,
            "tier": leg.tier,
            "received_at": leg.received_at,
            "exclusive": leg.exclusive,
            "returned": False,
            "unknown": unknown,
        }
    )
