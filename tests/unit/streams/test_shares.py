"""The share-of-qualified limit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from schemas.config.campaign import MaxShare
from streams.routing.shares import ShareCounts, allows, given, seen, within

MONDAY = date(2026, 3, 2)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def offered(counts: ShareCounts, on: date, limit: MaxShare) -> tuple[ShareCounts, bool]:
    """One lead that the campaign qualifies for, and whether it is given."""
    counts = seen(counts, on)
    if not allows(*within(counts, on, limit.days), limit):
        return counts, False
    return given(counts, on), True


@pytest.mark.parametrize(
    ("percent", "qualified", "had", "allowed"),
    [
        ("20", 4, 0, False),
        ("20", 5, 0, True),
        ("20", 9, 1, False),
        ("20", 10, 1, True),
        ("33.3333", 3, 0, False),
        ("33.3333", 4, 0, True),
        ("100", 1, 0, True),
        ("100", 7, 6, True),
        ("0.5", 199, 0, False),
        ("0.5", 200, 0, True),
    ],
)
def test_row_38_share_of_qualified_cap(percent: str, qualified: int, had: int, allowed: bool) -> None:
    assert allows(qualified, had, MaxShare(percent=Decimal(percent))) is allowed


@examples(st.decimals("0.01", 100, places=2), st.integers(1, 31), st.lists(st.integers(0, 6), max_size=200))
def test_never_above_the_share_at_any_prefix(percent: Decimal, days: int, leads: list[int]) -> None:
    limit = MaxShare(percent=percent, days=days)
    counts, history = ShareCounts(), list[tuple[date, bool]]()
    for on in map(day, sorted(leads)):
        counts, had = offered(counts, on, limit)
        history.append((on, had))
        window = [taken for when, taken in history if on - when < timedelta(days=days)]
        assert within(counts, on, days) == (len(window), sum(window))
        if had:
            assert sum(window) * 100 <= percent * len(window)
        else:
            assert (sum(window) + 1) * 100 > percent * len(window)  # not held back without need either
        if days > 6:
            assert sum(window) * 100 <= percent * len(window)


def test_days_that_went_by_count_no_more() -> None:
    limit = MaxShare(percent=Decimal(50), days=2)
    counts = ShareCounts()
    for _ in range(4):
        counts, _ = offered(counts, day(0), limit)
    assert within(counts, day(0), 2) == within(counts, day(1), 2) == (4, 2)
    assert within(counts, day(2), 2) == (0, 0)
    _, had = offered(counts, day(2), limit)
    assert not had


def test_a_longer_look_back_finds_the_days_there_were() -> None:
    counts = ShareCounts()
    for number in range(60):
        counts = given(seen(counts, day(number)), day(number))
    assert len(counts.days) == 31
    assert within(counts, day(59), 31) == (31, 31)


def test_a_lead_of_an_earlier_day_counts_in_its_own_day() -> None:
    counts = seen(seen(seen(ShareCounts(), day(3)), day(1)), day(3))
    assert [(count.day, count.qualified) for count in counts.days] == [(day(1), 1), (day(3), 2)]
    assert within(counts, day(1), 7) == (1, 0)
