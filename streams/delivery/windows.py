"""The window of a cap that a moment lies in, by the calendar and the wall clock of a time zone.

An hour begins when the minute hand is at twelve, so the hour that comes twice when daylight saving ends is two windows;
a day is what the calendar says, 23 and 25 hours included; a week begins on Monday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.config.cap import CapWindow

HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A window: its name, which is the moment it began at in UTC (empty for ``total``), and when it ends."""

    key: str
    end: datetime | None


TOTAL: Final = Span("", None)


def span_at(window: CapWindow, zone: str, moment: datetime) -> Span:
    """The window that a moment lies in."""
    # Every zone's hour begins at a quarter of UTC's, so that moment is as good, and soon asked for again.
    return _span_at(window, zone, moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0))


@lru_cache(maxsize=32_768)
def _span_at(window: CapWindow, zone: str, moment: datetime) -> Span:
    if window is CapWindow.TOTAL:
        return TOTAL
    local = moment.astimezone(ZoneInfo(zone))
    if window is CapWindow.HOUR:
        start = _hour(local)
        return Span(_name(start), _next_hour(local, start))
    midnight = datetime.combine(local.date(), time(), local.tzinfo)
    if window is CapWindow.DAY:
        first, after = midnight, midnight + timedelta(days=1)  # on the wall clock, as arithmetic within a zone is
    elif window is CapWindow.WEEK:
        first = midnight - timedelta(days=midnight.weekday())
        after = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return Span(_name(first.astimezone(UTC)), after.astimezone(UTC))


def _hour(local: datetime) -> datetime:
    return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _next_hour(local: datetime, start: datetime) -> datetime:
    wall = (local.replace(minute=0, second=0, microsecond=0, fold=0) + HOUR).replace(fold=0).astimezone(UTC)
    later = start + HOUR
    # The clock may go back to the beginning of this very hour, which is then another window.
    return min(wall, later) if _hour(later.astimezone(local.tzinfo)) > start and wall > start else max(wall, later)


def _name(start: datetime) -> str:
    return start.strftime("%Y-%m-%dT%H:%MZ")
