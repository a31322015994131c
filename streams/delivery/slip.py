"""Passing a lead on along its slip: which leg is asked next, if any.

Legs are asked one after the other. A leg that was sold, or may have been, counts towards every limit. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from schemas.decision import Candidate, Slip
from schemas.events import Decline, Sale
from schemas.reasons import Reason


def following(slip: Slip, asked: int, sales: Sequence[Sale], declines: Sequence[Decline]) -> int | None:
    """The leg to ask after the one at ``asked``, whatever time it is; None where nobody is to be asked any more.

    ``sales`` and ``declines`` are what became of the legs so far, the one at ``asked`` among them.
    """
    sold = [slip.candidates[sale.cursor] for sale in sales]
    if len(sold) >= slip.max_sales or any(leg.exclusive for leg in sold):
        return None
    companies = {leg.company for leg in sold} | _with_the_lead(slip, declines)
    for cursor in range(asked + 1, len(slip.candidates)):
        if _may_be_asked(slip, slip.candidates[cursor], sold, companies):
            return cursor
    return None


def is_late(slip: Slip, now: datetime) -> bool:
    """Whether the time to ask somebody is over."""
    return slip.deadline is not None and now > slip.deadline


def unsold_reason(sales: Sequence[Sale], *, late: bool) -> Reason | None:
    """Why a lead that nobody else is asked for is not delivered; None for one that is. ``late``: somebody else would
    have been asked in time."""
    if any(not sale.unknown for sale in sales):
        return None
    if sales:
        return Reason.OUTCOME_UNKNOWN
    return Reason.TIME_BUDGET if late else Reason.ALL_DECLINED


def _may_be_asked(slip: Slip, leg: Candidate, sold: Sequence[Candidate], companies: Collection[str]) -> bool:
    if leg.company in companies or (leg.exclusive and sold):
        return False
    tier = slip.tiers[leg.tier]
    if tier.unsold and sold:
        return False
    if any(one.tier < leg.tier and slip.tiers[one.tier].stop for one in sold):
        return False
    return tier.max_sales is None or sum(one.tier == leg.tier for one in sold) < tier.max_sales


def _with_the_lead(slip: Slip, declines: Sequence[Decline]) -> set[str]:
    """Companies that said they have the lead already: what one buyer knows, its parent knows."""
    return {slip.candidates[d.cursor].company for d in declines if d.reason == Reason.BUYER_DUPLICATE}
