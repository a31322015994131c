"""The share-of-qualified limit: of the leads that a campaign qualified for, at most so many percent are given to it.

Counted by day (UTC). Each partition of routing counts its own leads, and the limit holds in each, hence over all.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple

from schemas.config.campaign import MaxShare
from schemas.values import Frozen

LONGEST: Final = timedelta(days=31)
"""The most days that a limit looks back: all are kept, so that a release may change how far."""


class DayCount(NamedTuple):
    """How many leads of one day a campaign qualified for, and how many of them it was given."""

    day: date
    qualified: int
    given: int


class ShareCounts(Frozen):
    """What is remembered of a campaign that has a share limit: one count a day, the earliest first."""

    days: tuple[DayCount, ...] = ()


def seen(counts: ShareCounts, day: date) -> ShareCounts:
    """After a lead that the campaign qualified for."""
    return _added(counts, day, qualified=1, given=0)


def given(counts: ShareCounts, day: date) -> ShareCounts:
    """After a lead that it was given; that it qualified for it is counted by :func:`seen`."""
    return _added(counts, day, qualified=0, given=1)


def within(counts: ShareCounts, day: date, days: int) -> tuple[int, int]:
    """The leads qualified for and given within so many days up to ``day``, itself included."""
    first, qualified, given = day - timedelta(days=days - 1), 0, 0
    for count in counts.days:
        if first <= count.day <= day:
            qualified += count.qualified
            given += count.given
    return qualified, given


def allows(qualified: int, given: int, limit: MaxShare) -> bool:
    """Whether one more may be given, where ``qualified`` has the lead in question counted and ``given`` has not."""
    return (given + 1) * 100 <= limit.percent * qualified


def _added(counts: ShareCounts, day: date, *, qualified: int, given: int) -> ShareCounts:
    days = counts.days
    if days and days[-1].day == day:  # nearly always
        last = DayCount(day, days[-1].qualified + qualified, days[-1].given + given)
        return ShareCounts(days=(*days[:-1], last))
    by_day = {count.day: count for count in days}
    of_day = by_day.get(day) or DayCount(day, 0, 0)
    by_day[day] = DayCount(day, of_day.qualified + qualified, of_day.given + given)
    latest = max(by_day)
    return ShareCounts(days=tuple(by_day[day] for day in sorted(by_day) if latest - day < LONGEST))
