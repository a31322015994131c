"""Floors and margins: the field's worked examples, and that the lowest price found is the lowest there is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config.margin import Margin
from schemas.reasons import Reason
from streams.routing.prices import cost, failing, least_price, margin

STEP = Decimal("0.0001")
ZERO = Decimal(0)
MARGIN_2 = {"amount": "2"}
OF_COST = {"percent": "15", "of": "cost"}
OF_BID = {"percent": "15", "of": "bid"}


@pytest.mark.parametrize(
    ("kept", "payout", "revshare", "floor", "bid", "fails", "least"),
    [
        (MARGIN_2, "10", "0", "0", "11", Reason.PRICE_MARGIN, "12"),
        (MARGIN_2, "10", "0", "0", "12", None, "12"),
        (MARGIN_2, "10", "0", "0", "13", None, "12"),
        (OF_COST, "12", "0", "0", "13.50", Reason.PRICE_MARGIN, "13.80"),
        (OF_COST, "12", "0", "0", "13.80", None, "13.80"),
        (OF_BID, "12", "0", "0", "13.50", Reason.PRICE_MARGIN, "14.1177"),
        (OF_BID, "12", "0", "0", "13.80", Reason.PRICE_MARGIN, "14.1177"),
        (OF_BID, "12", "0", "0", "14.1176", Reason.PRICE_MARGIN, "14.1177"),
        (OF_BID, "12", "0", "0", "14.1177", None, "14.1177"),
        # The floor holds besides the margin, and is told first.
        (MARGIN_2, "10", "0", "15", "13", Reason.PRICE_FLOOR, "15"),
        (MARGIN_2, "10", "0", "15", "11", Reason.PRICE_FLOOR, "15"),
        (MARGIN_2, "10", "0", "11", "11.50", Reason.PRICE_MARGIN, "12"),
        # A publisher's part of the price: 20 less 60 % is 8, less 8 is nothing left over, and that is enough.
        ({"amount": "8"}, "0", "60", "0", "20", None, "20"),
        ({"amount": "8"}, "0", "60", "0", "19.9999", Reason.PRICE_MARGIN, "20"),
        ({"percent": "40", "of": "bid"}, "0", "60", "0", "0.01", None, "0"),
        ({"percent": "25", "of": "cost"}, "0", "80", "0", "5", None, "0"),
        # At no margin a lead may cost what it brings, and without one it may cost more.
        ({"amount": "0"}, "10", "0", "0", "10", None, "10"),
        ({"amount": "0"}, "10", "0", "0", "9.99", Reason.PRICE_MARGIN, "10"),
        (None, "10", "0", "0", "9.99", None, "0"),
        (None, "10", "0", "5", "4.99", Reason.PRICE_FLOOR, "5"),
        # No price is enough.
        (MARGIN_2, "0", "100", "0", "99999999", Reason.PRICE_MARGIN, None),
        ({"percent": "50", "of": "bid"}, "1", "50", "0", "99999999", Reason.PRICE_MARGIN, None),
        ({"percent": "50", "of": "bid"}, "0", "60", "0", "99999999", Reason.PRICE_MARGIN, None),
        ({"percent": "30", "of": "cost"}, "0", "80", "0", "99999999", Reason.PRICE_MARGIN, None),
    ],
)
def test_row_29_margin_or_price_floor_enforced_in_routing(
    kept: dict[str, Any] | None,
    payout: str,
    revshare: str,
    floor: str,
    bid: str,
    fails: Reason | None,
    least: str | None,
) -> None:
    terms = (Decimal(floor), Margin(**kept) if kept else None, Decimal(payout), Decimal(revshare))
    assert failing(Decimal(bid), *terms) is fails
    assert least_price(*terms) == (None if least is None else Decimal(least))


def test_a_margin_of_the_bid_and_one_of_the_cost_differ() -> None:
    bid, costs = Decimal("13.50"), cost(Decimal("13.50"), Decimal(12), ZERO)
    assert margin(Margin(**OF_COST), bid, costs) == Decimal("1.80")
    assert margin(Margin(**OF_BID), bid, costs) == Decimal("2.0250")
    assert margin(Margin(**MARGIN_2), bid, costs) == Decimal(2)
    assert cost(Decimal(40), Decimal(5), Decimal("12.5")) == Decimal(10)


amounts = st.decimals(0, 1000, places=4)
percents = st.decimals(0, 100, places=4)
margins = st.one_of(
    st.builds(lambda amount: Margin(amount=amount), amounts),
    st.builds(lambda percent, of: Margin(percent=percent, of=of), percents, st.sampled_from(["bid", "cost"])),
)


def leaves(kept: Margin, price: Decimal, payout: Decimal, revshare: Decimal) -> bool:
    costs = cost(price, payout, revshare)
    return price - margin(kept, price, costs) >= costs


@given(amounts, margins, amounts, percents)
def test_the_least_price_is_enough_and_a_step_less_is_not(
    floor: Decimal, kept: Margin, payout: Decimal, revshare: Decimal
) -> None:
    least = least_price(floor, kept, payout, revshare)
    if least is None:
        assert not any(leaves(kept, Decimal(price), payout, revshare) for price in ("0.0001", "1", "1000", "99999999"))
        return
    assert least == least.quantize(STEP)
    assert least >= floor
    assert leaves(kept, least, payout, revshare)
    assert least == floor or least - STEP < floor or not leaves(kept, least - STEP, payout, revshare)
    assert failing(least, floor, kept, payout, revshare) is None
    if least:
        assert failing(least - STEP, floor, kept, payout, revshare)


@given(margins, amounts, percents, amounts, amounts)
def test_a_higher_price_is_enough_where_a_lower_one_is(
    kept: Margin, payout: Decimal, revshare: Decimal, price: Decimal, more: Decimal
) -> None:
    if failing(price, ZERO, kept, payout, revshare) is None:
        assert failing(price + more, ZERO, kept, payout, revshare) is None
        assert leaves(kept, price + more, payout, revshare)
