"""Exclusive, shared and hybrid legs, and how they compare."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import campaign, configuration

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign, Exclusivity
from schemas.config.route import Group, Legs, Route
from streams.routing.legs import legs, shared_total
from streams.routing.market import ANY_SOURCE, Row, market_of

FREE = Decimal(0)


def written(text: str) -> Campaign:
    """A campaign from ``name:price`` (exclusive), ``name:~price`` (shared), or ``name:~price/price`` (hybrid)."""
    name, _, price = text.partition(":")
    if not price.startswith("~"):
        return campaign(name, price=price)
    shared, _, exclusive = price[1:].partition("/")
    if exclusive:
        return campaign(name, price=shared, exclusive_price=exclusive, exclusivity="hybrid")
    return campaign(name, price=shared, exclusivity="shared")


def rows(campaigns: Sequence[Campaign], floor: Decimal = FREE) -> list[Row]:
    """The campaigns as a route has them; ``a-1`` and ``a-2`` are buyers of one company."""
    buyers = [Buyer(id=c.id, name=c.id, parent=c.id.partition("-")[0]) for c in campaigns]
    group = Group(name="all", campaigns=tuple(c.id for c in campaigns))
    route = Route(id="main", vertical="solar", groups=(group,), floor=floor, max_sales=2)
    release = configuration(*campaigns, buyers=buyers, routes=[route] if campaigns else [])
    (prepared,) = market_of(release, "solar").routes
    by_id = {row.campaign.id: row for row in prepared.priced(ANY_SOURCE).rows}
    return [by_id[c.id] for c in campaigns]


def asked(campaigns: str, mode: Legs = Legs.COMPARE, max_sales: int = 3, floor: str = "0") -> str:
    found = legs(rows([written(text) for text in campaigns.split()], Decimal(floor)), mode, max_sales)
    return " ".join(f"{leg.campaign}:{'' if leg.exclusive else '~'}{leg.price.normalize():f}" for leg in found)


@pytest.mark.parametrize(
    ("campaigns", "max_sales", "expected"),
    [
        # 20 + 15 + 10 is 45: an exclusive price of that much goes before, one of less behind.
        ("a:45 b:44.99 c:~20 d:~15 e:~10", 3, "a:45 c:~20 d:~15 e:~10 b:44.99"),
        # Two sales bring 35 at best.
        ("a:45 b:44.99 c:~20 d:~15 e:~10", 2, "a:45 b:44.99 c:~20 d:~15 e:~10"),
        # A company buys a lead once: its second campaign adds nothing, the next company's does.
        ("a:35 c-1:~20 c-2:~19 d:~15", 2, "a:35 c-1:~20 c-2:~19 d:~15"),
        ("a:34.99 c-1:~20 c-2:~19 d:~15", 2, "c-1:~20 c-2:~19 d:~15 a:34.99"),
        # The method's order stays within each kind, also where it is not that of prices.
        ("a:30 b:50 c:~10 d:~20", 2, "a:30 b:50 c:~10 d:~20"),
        ("a:20 b:50 c:~10 d:~20", 2, "b:50 c:~10 d:~20 a:20"),
        # Hybrid: exclusive at 40 it beats the shared legs, its own among them; at 29 it does not.
        ("h:~15/40 s:~15", 2, "h:40 h:~15 s:~15"),
        ("h:~15/29 s:~15", 2, "h:~15 s:~15 h:29"),
        # Without shared legs, and without exclusive ones.
        ("a:10 b:20", 2, "a:10 b:20"),
        ("a:~10 b:~20", 2, "a:~10 b:~20"),
        ("", 2, ""),
    ],
)
def test_row_22_exclusive_versus_shared_revenue_comparison(campaigns: str, max_sales: int, expected: str) -> None:
    assert asked(campaigns, max_sales=max_sales) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Legs.EXCLUSIVE_FIRST, "a:1 h:30 s:~40 h:~20"),
        (Legs.SHARED_FIRST, "s:~40 h:~20 a:1 h:30"),
        (Legs.COMPARE, "s:~40 h:~20 a:1 h:30"),
    ],
)
def test_exclusive_first_and_shared_first_whatever_they_pay(mode: Legs, expected: str) -> None:
    assert asked("s:~40 a:1 h:~20/30", mode, 2) == expected


@pytest.mark.parametrize(
    ("campaigns", "expected"),
    [
        ("s:~10 a:40 t:~30 b:5", "s:~10 a:40 t:~30 b:5"),
        ("h:~20/30 g:~30/20 f:~25/25", "h:30 h:~20 g:~30 g:20 f:25 f:~25"),
    ],
)
def test_with_one_sale_to_make_the_legs_stay_in_the_order_of_the_method(campaigns: str, expected: str) -> None:
    assert asked(campaigns, max_sales=1) == expected


def test_row_21_multi_sell_with_max_buyers_n() -> None:
    """All that may share the lead are asked in turn; how many of them get it is the limit of sales."""
    assert asked("a:~9 b:~8 c:~7 d:~6", max_sales=3) == "a:~9 b:~8 c:~7 d:~6"
    shared = [row.shared for row in rows([written(text) for text in ("a-1:~9", "a-2:~8", "c:~7", "d:~6")])]
    assert [shared_total(filter(None, shared), n) for n in (1, 2, 3, 4)] == [9, 16, 22, 22]


def test_a_leg_under_its_least_price_is_left_out() -> None:
    assert (
        asked("a:30 b:19 s:~20 t:~10 h:~10/30 g:~20/20", Legs.EXCLUSIVE_FIRST, 2, "20") == "a:30 h:30 g:20 s:~20 g:~20"
    )
    assert asked("a:30 s:~20 t:~15", max_sales=2, floor="16") == "a:30 s:~20"  # and adds nothing to the others
    assert asked("a:30 s:~20 t:~15", max_sales=2) == "s:~20 t:~15 a:30"


prices = st.decimals(0, 100, places=2)
campaigns = st.lists(
    st.one_of(
        st.tuples(st.just(Exclusivity.EXCLUSIVE), prices, st.none()),
        st.tuples(st.just(Exclusivity.SHARED), prices, st.none()),
        st.tuples(st.just(Exclusivity.HYBRID), prices, prices),
    ),
    max_size=12,
)


@given(campaigns, st.sampled_from(Legs), st.integers(1, 5), prices)
def test_every_leg_there_is_that_pays_enough_once(
    drawn: list[tuple[Exclusivity, Decimal, Decimal | None]], mode: Legs, max_sales: int, floor: Decimal
) -> None:
    own = [
        campaign(f"c{n % 5}-{n}", exclusivity=kind, price=price, exclusive_price=alone)
        for n, (kind, price, alone) in enumerate(drawn)
    ]
    found = legs(rows(own, floor), mode, max_sales)
    assert [leg for leg in found if leg.price < floor] == []
    expected = {(c.id, False, c.price) for c in own if c.exclusivity != "exclusive" and c.price >= floor}
    expected |= {
        (c.id, True, alone)
        for c in own
        for alone in [c.price if c.exclusivity == "exclusive" else c.exclusive_price]
        if alone is not None and alone >= floor
    }
    assert sorted((leg.campaign, leg.exclusive, leg.price) for leg in found) == sorted(expected)
    places = {c.id: place for place, c in enumerate(own)}
    shared = [places[leg.campaign] for leg in found if not leg.exclusive]
    assert shared == sorted(shared)
    if mode is not Legs.COMPARE:
        exclusive_places = [places[leg.campaign] for leg in found if leg.exclusive]
        assert exclusive_places == sorted(exclusive_places)
    elif max_sales > 1 and shared:
        total = shared_total([leg for leg in found if not leg.exclusive], max_sales)
        first_shared = next(place for place, leg in enumerate(found) if not leg.exclusive)
        assert all(leg.price >= total for leg in found[:first_shared])
        assert all(leg.price < total for leg in found[first_shared:] if leg.exclusive)
