"""Opening hours: the wall clock of a time zone against a campaign's schedule, for one or for all at once.

A decision looks at local weekday and minute only, so daylight saving needs no rule of its own: a minute that the clock
skips is never seen, and one that comes twice is seen twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.config.campaign import Campaign
from schemas.config.schedule import DAYS, Schedule, Window

DAY: Final = 24 * 60
WEEK: Final = 7 * DAY


def minutes(time: str) -> int:
    """``HH:MM`` as minutes since midnight."""
    return int(time[:2]) * 60 + int(time[3:])


def is_open(schedule: Schedule | None, zone: str, now: datetime) -> bool:
    """Whether a schedule is open at a moment, by the wall clock of ``zone``."""
    if schedule is None:
        return True
    local = now.astimezone(ZoneInfo(zone))
    if local.date() in schedule.closed_dates:
        return False
    return not schedule.open or any(_within(window, local) for window in schedule.open)


def _within(window: Window, local: datetime) -> bool:
    opens, closes, minute = minutes(window.opens), minutes(window.closes), local.hour * 60 + local.minute
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if opens < closes:
        return today in window.days and opens <= minute < closes
    return (today in window.days and minute >= opens) or (yesterday in window.days and minute < closes)


def open_minutes(schedule: Schedule) -> int:
    """The minutes of a week as a bit mask: bit 0 is the first of Monday."""
    mask = 0
    for window in schedule.open:
        length = (minutes(window.closes) - minutes(window.opens)) % DAY or DAY
        for day in window.days:
            mask |= ((1 << length) - 1) << DAYS.index(day) * DAY + minutes(window.opens)
    mask = mask & ((1 << WEEK) - 1) | mask >> WEEK  # Sunday night runs into Monday
    return mask if schedule.open else (1 << WEEK) - 1


class OpeningHours:
    """Which of many campaigns are open: worked out once a minute, each distinct schedule once."""

    def __init__(self, campaigns: Iterable[tuple[Campaign, int]]) -> None:
        """Of campaigns with the bit that stands for each."""
        self._always = 0
        shared: defaultdict[str, defaultdict[Schedule, int]] = defaultdict(lambda: defaultdict(int))
        for campaign, bit in campaigns:
            if campaign.schedule is None:
                self._always |= bit
            else:
                shared[campaign.time_zone][campaign.schedule] |= bit
        self._zones: list[tuple[ZoneInfo, list[tuple[int, frozenset[date], int]]]] = [
            (ZoneInfo(zone), [(open_minutes(s), frozenset(s.closed_dates), bits) for s, bits in schedules.items()])
            for zone, schedules in shared.items()
        ]
        # Some minutes are kept: clocks of lanes differ a little, and a simulation's leads need not come in order.
        self._at_minute = lru_cache(maxsize=64)(self._compute)

    def open_at(self, now: datetime) -> int:
        """The bits of the campaigns that are open."""
        return self._at_minute(int(now.timestamp() // 60))

    def _compute(self, minute: int) -> int:
        moment = datetime.fromtimestamp(minute * 60, UTC)
        open_now = self._always
        for zone, schedules in self._zones:
            local = moment.astimezone(zone)
            today, minute_of_week = local.date(), local.weekday() * DAY + local.hour * 60 + local.minute
            for week, closed_dates, bits in schedules:
                if week >> minute_of_week & 1 and today not in closed_dates:
                    open_now |= bits
        return open_now
