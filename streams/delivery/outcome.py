"""What follows from an entry of the ledger that answers an offer: the attempt, a sale, the next offer, or the end.

All of it follows from the offer and the entry alone, so that an offer that comes again is answered alike.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from schemas.config.source import Source
from schemas.events import Decline, Delivery, Event, LeadDelivered, LeadUndelivered, Offer, Sale
from schemas.identity import Step, attempt_of, event_id
from schemas.reasons import Reason
from streams.delivery.ledger import NOTHING, Entry, Status
from streams.delivery.slip import following, is_late, unsold_reason
from streams.stage import Context, Output, emit, envelope


def outputs_of(offer: Offer, entry: Entry, context: Context) -> list[Output]:
    """The events about an offer that an entry answers, in order."""
    sales, declines = list(offer.sales), list(offer.declines)
    leg = offer.slip.candidates[offer.cursor]
    if entry.status is Status.ACCEPTED:
        sales.append(Sale(cursor=offer.cursor, unknown=False))
    else:
        reason = _reason(entry)
        declines.append(Decline(cursor=offer.cursor, campaign=leg.campaign, buyer=entry.buyer, reason=reason))
        if entry.status is Status.UNKNOWN:
            sales.append(Sale(cursor=offer.cursor, unknown=True))
    next_leg, late = following(offer.slip, offer.cursor, sales, declines), entry.reason == Reason.TIME_BUDGET
    test = entry.reason == Reason.LEAD_TEST  # it has shown where it would have gone first
    over = test or late or next_leg is None or is_late(offer.slip, entry.at)
    outputs = [emit(_attempt(offer, entry, context, over=over), offer.person)]
    if entry.status is Status.ACCEPTED:
        outputs.append(emit(_sold(offer, entry, context), offer.person))
    if next_leg is not None and not over:
        passed_on = _next_offer(offer, next_leg, sales, declines, entry)
        return [*outputs, emit(passed_on, offer.slip.candidates[next_leg].company)]
    why = Reason.LEAD_TEST if test else unsold_reason(sales, late=late or next_leg is not None)
    if why is not None:
        ended = LeadUndelivered(
            **_envelope(offer, entry, Step.DELIVERY, attempt_of(offer.decision), context),
            reason=why,
            declines=declines,
            route=offer.slip.route,
            decision=offer.decision,
        )
        outputs.append(emit(ended, offer.person))
    return outputs


def payout_of(source: Source | None, price: Decimal) -> tuple[Decimal, Decimal]:
    """What a source is paid once a lead, and what it is paid of a price."""
    if source is None:
        return NOTHING, NOTHING
    share = (price * source.revshare / 100).quantize(NOTHING, ROUND_HALF_UP) if source.revshare else NOTHING
    return source.payout or NOTHING, share


def _attempt(offer: Offer, entry: Entry, context: Context, *, over: bool) -> Event:
    leg = offer.slip.candidates[offer.cursor]
    values = _envelope(offer, entry, Step.ATTEMPT, offer.attempt, context)
    values["campaign"] = leg.campaign
    values["buyer"] = entry.buyer
    values["outcome"] = entry.status.value
    values["reason"] = None if entry.reason is None else str(entry.reason)
    values["price"] = entry.price if entry.status is Status.ACCEPTED else None
    values["reference"] = entry.reference
    values["http_status"] = entry.http_status
    values["posts"] = entry.posts
    values["latency_ms"] = entry.latency_ms
    values["company"] = leg.company
    values["exclusive"] = leg.exclusive
    values["route"] = offer.slip.route
    values["tier"] = offer.slip.tiers[leg.tier].name
    values["decision"] = offer.decision
    values["over"] = over
    values["exchange"] = entry.exchange
    return Delivery.trusted(values)


def _sold(offer: Offer, entry: Entry, context: Context) -> Event:
    leg = offer.slip.candidates[offer.cursor]
    before = [sale.cursor for sale in offer.sales if not sale.unknown]
    first = not before and not offer.slip.paid
    last = max(before, default=-1)
    values = _envelope(offer, entry, Step.DELIVERY, attempt_of(offer.decision, len(before)), context)
    values["campaign"] = leg.campaign
    values["buyer"] = entry.buyer
    values["price"] = entry.price
    values["reference"] = entry.reference
    values["company"] = leg.company
    values["payout"] = entry.share + entry.payout if first else entry.share
    values["exclusive"] = leg.exclusive
    values["route"] = offer.slip.route
    values["tier"] = offer.slip.tiers[leg.tier].name
    values["decision"] = offer.decision
    values["declines"] = [decline for decline in offer.declines if decline.cursor > last]
    return LeadDelivered.trusted(values)


def _next_offer(offer: Offer, cursor: int, sales: list[Sale], declines: list[Decline], entry: Entry) -> Offer:
    attempt = attempt_of(offer.decision, cursor)
    changes: dict[str, Any] = {
        "event_id": event_id(offer.lead_id, Step.OFFER, offer.run, attempt),
        "attempt": attempt,
        "cursor": cursor,
        "sales": sales,
        "declines": declines,
        "occurred_at": entry.at,
    }
    return offer.model_copy(update=changes)


def _reason(entry: Entry) -> str:
    # The slip passes over the company of one that has the lead already, in whatever words it said so.
    return Reason.BUYER_DUPLICATE if entry.status is Status.DUPLICATE else entry.reason or entry.status


def _envelope(offer: Offer, entry: Entry, step: Step, attempt: int, context: Context) -> dict[str, Any]:
    values = envelope(offer, step, context, attempt=attempt)
    values["occurred_at"] = entry.at
    values["release"] = entry.release
    values["person"] = offer.person
    return values
