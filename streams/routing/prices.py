"""What a lead must fetch: its cost, the margin kept, and the lowest price that leaves it.

All of it is exact: amounts are whole ten-thousandths, and the bound is worked out in fractions.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, Literal

from schemas.config.margin import Margin, MarginBase
from schemas.reasons import Reason

PLACES: Final = 4
"""Decimal places of a price."""


def cost(price: Decimal, payout: Decimal, revshare: Decimal) -> Decimal:
    """What a lead costs that is sold at ``price``: the ``payout``, and ``revshare`` percent of the price."""
    return payout + price * revshare / 100


def margin(kept: Margin, price: Decimal, costs: Decimal) -> Decimal:
    """What a margin is worth at a price (the bid) of a lead that costs ``costs``."""
    if kept.percent is None:
        return kept.amount or Decimal(0)
    return (price if kept.of is MarginBase.BID else costs) * kept.percent / 100


def least_price(floor: Decimal, kept: Margin | None, payout: Decimal, revshare: Decimal) -> Decimal | None:
    """The lowest price, in four places, that is at least ``floor`` and where ``price - margin >= cost``; every higher
    one is enough too. None: no price is enough, since as much or more of it goes away again as comes in.

    Without a margin only the floor counts, and a lead may be sold at a loss; an amount of 0 forbids that.
    """
    if kept is None:
        return floor
    # The condition is ``price * remains >= needed``, both linear in what is configured.
    share, cost_before = Fraction(revshare) / 100, Fraction(payout)
    if kept.percent is None:
        remains, needed = 1 - share, cost_before + Fraction(kept.amount or 0)
    elif kept.of is MarginBase.BID:
        remains, needed = 1 - share - Fraction(kept.percent) / 100, cost_before
    else:
        raised = 1 + Fraction(kept.percent) / 100
        remains, needed = 1 - raised * share, raised * cost_before
    if remains < 0 or (remains == 0 and needed > 0):
        return None
    if remains == 0:
        return floor
    return max(floor, Decimal(ceil(needed / remains * 10**PLACES)).scaleb(-PLACES))


def failing(
    price: Decimal, floor: Decimal, kept: Margin | None, payout: Decimal, revshare: Decimal
) -> Literal[Reason.PRICE_FLOOR, Reason.PRICE_MARGIN] | None:
    """Which of the two a price fails, the floor first; None where it is enough."""
    if price < floor:
        return Reason.PRICE_FLOOR
    least = least_price(floor, kept, payout, revshare)
    return Reason.PRICE_MARGIN if least is None or price < least else None
