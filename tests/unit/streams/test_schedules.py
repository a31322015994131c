"""Schedules: the wall clock of the campaign's time zone decides, over every change of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.builders import NOW, campaign, lead

from schemas.config.campaign import Campaign
from schemas.config.schedule import DAYS, Schedule
from schemas.reasons import Reason
from streams.routing.eligibility import EligibilityIndex
from streams.routing.predicates import Failing, explain
from streams.routing.schedules import OpeningHours, is_open, open_minutes

NEW_YORK, PHOENIX, KOLKATA, ADELAIDE, LORD_HOWE, LONDON = (
    "America/New_York", "America/Phoenix", "Asia/Kolkata", "Australia/Adelaide", "Australia/Lord_Howe", "Europe/London"
)  # fmt: skip


def scheduled(zone: str, *windows: Any, closed: tuple[str, ...] = ()) -> Campaign:
    """A campaign with windows such as ``"09:00-17:00"`` or ``("mon", "09:00-17:00")``."""
    written = []
    for window in windows:
        days, hours = (list(DAYS), window) if isinstance(window, str) else (window[0].split(","), window[1])
        opens, _, closes = hours.partition("-")
        written.append({"days": days, "from": opens, "to": closes})
    return campaign("one", time_zone=zone, schedule={"open": written, "closed_dates": closed})


def opened(one: Campaign, moment: str) -> bool:
    """Whether a campaign is open at a moment in UTC: by the plain rule, the index and its explanation alike."""
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    plain = is_open(one.schedule, one.time_zone, now)
    assert (OpeningHours([(one, 1)]).open_at(now) == 1) is plain
    assert (EligibilityIndex([one]).evaluate(lead(), now, cel.Context).qualified == (one,)) is plain
    assert (explain(one, lead(), now, cel.Context) is None) is plain
    return plain


WINDOWS: list[tuple[Campaign, str, bool]] = [
    # from the minute it opens up to, not including, the minute it closes
    (scheduled("UTC", "09:00-17:00"), "2026-03-04T08:59:59.999", False),
    (scheduled("UTC", "09:00-17:00"), "2026-03-04T09:00", True),
    (scheduled("UTC", "09:00-17:00"), "2026-03-04T16:59:59.999", True),
    (scheduled("UTC", "09:00-17:00"), "2026-03-04T17:00", False),
    # days; 2026-03-04 is a Wednesday
    (scheduled("UTC", ("mon,tue", "00:00-24:00")), "2026-03-04T12:00", False),
    (scheduled("UTC", ("wed", "00:00-24:00")), "2026-03-04T00:00", True),
    (scheduled("UTC", ("wed", "00:00-24:00")), "2026-03-04T23:59", True),
    (scheduled("UTC", ("wed", "00:00-24:00")), "2026-03-05T00:00", False),
    # any window opens
    (scheduled("UTC", "09:00-12:00", "13:00-17:00"), "2026-03-04T12:30", False),
    (scheduled("UTC", "09:00-12:00", "13:00-17:00"), "2026-03-04T13:00", True),
    # over midnight: it belongs to the day it starts on, Sunday's into Monday too
    (scheduled("UTC", ("wed", "22:00-06:00")), "2026-03-04T21:59", False),
    (scheduled("UTC", ("wed", "22:00-06:00")), "2026-03-04T22:00", True),
    (scheduled("UTC", ("wed", "22:00-06:00")), "2026-03-05T05:59", True),
    (scheduled("UTC", ("wed", "22:00-06:00")), "2026-03-05T06:00", False),
    (scheduled("UTC", ("wed", "22:00-06:00")), "2026-03-04T05:00", False),
    (scheduled("UTC", ("sun", "22:00-06:00")), "2026-03-09T05:59", True),
    (scheduled("UTC", ("sun", "22:00-06:00")), "2026-03-02T21:00", False),
    (scheduled("UTC", ("wed", "22:00-00:00")), "2026-03-04T23:59", True),
    (scheduled("UTC", ("wed", "22:00-00:00")), "2026-03-05T00:00", False),
    # closed dates are local dates, also within a window that began the day before
    (scheduled("UTC", closed=("2026-12-25",)), "2026-12-25T12:00", False),
    (scheduled("UTC", closed=("2026-12-25",)), "2026-12-26T00:00", True),
    (scheduled(NEW_YORK, closed=("2026-12-25",)), "2026-12-25T04:59", True),
    (scheduled(NEW_YORK, closed=("2026-12-25",)), "2026-12-26T04:59", False),
    (scheduled("UTC", "22:00-06:00", closed=("2026-12-25",)), "2026-12-25T01:00", False),
    (scheduled("UTC", "22:00-06:00", closed=("2026-12-25",)), "2026-12-26T01:00", True),
]


@pytest.mark.parametrize(("one", "moment", "expected"), WINDOWS)
def test_opening_hours(one: Campaign, moment: str, expected: bool) -> None:
    assert opened(one, moment) is expected


PER_BUYER_TIME_ZONE: list[tuple[str, str, str, bool]] = [
    # the same moment is another time of day elsewhere
    (NEW_YORK, "09:00-17:00", "2026-07-01T13:00", True),
    ("America/Los_Angeles", "09:00-17:00", "2026-07-01T13:00", False),
    # spring forward in New York: on 2026-03-08 the clock goes from 01:59 (06:59 UTC) to 03:00
    (NEW_YORK, "01:00-02:00", "2026-03-08T06:59", True),
    (NEW_YORK, "02:00-03:00", "2026-03-08T06:59", False),
    (NEW_YORK, "02:00-03:00", "2026-03-08T07:00", False),  # it is 03:00: the window does not open that day
    (NEW_YORK, "02:00-03:00", "2026-03-07T07:00", True),
    (NEW_YORK, "02:00-03:00", "2026-03-09T06:00", True),
    (NEW_YORK, "02:30-03:30", "2026-03-08T07:00", True),  # what is left of it
    (NEW_YORK, "02:30-03:30", "2026-03-08T07:29", True),
    (NEW_YORK, "02:30-03:30", "2026-03-08T07:30", False),
    (NEW_YORK, "22:00-04:00", "2026-03-08T07:59", True),
    (NEW_YORK, "22:00-04:00", "2026-03-08T08:00", False),
    (NEW_YORK, "09:00-17:00", "2026-03-07T13:30", False),  # 08:30 the day before the change
    (NEW_YORK, "09:00-17:00", "2026-03-08T13:30", True),  # 09:30 on the day
    # fall back in New York: on 2026-11-01 01:00 to 01:59 comes at 05:xx and again at 06:xx UTC
    (NEW_YORK, "01:15-01:45", "2026-11-01T05:30", True),
    (NEW_YORK, "01:15-01:45", "2026-11-01T05:50", False),
    (NEW_YORK, "01:15-01:45", "2026-11-01T06:14", False),
    (NEW_YORK, "01:15-01:45", "2026-11-01T06:30", True),
    (NEW_YORK, "01:15-01:45", "2026-11-01T07:30", False),
    (NEW_YORK, "09:00-17:00", "2026-11-01T13:30", False),
    (NEW_YORK, "09:00-17:00", "2026-11-01T21:59", True),
    # no daylight saving: the same hours in UTC all the year
    (PHOENIX, "02:00-03:00", "2026-03-08T09:30", True),
    (PHOENIX, "01:15-01:45", "2026-11-01T08:30", True),
    (PHOENIX, "01:15-01:45", "2026-11-01T09:30", False),
    (PHOENIX, "09:00-17:00", "2026-01-15T15:59", False),
    (PHOENIX, "09:00-17:00", "2026-07-15T16:00", True),
    # half an hour off
    (KOLKATA, "09:00-17:00", "2026-03-04T03:29", False),
    (KOLKATA, "09:00-17:00", "2026-03-04T03:30", True),
    (KOLKATA, "00:00-00:30", "2026-03-03T18:30", True),
    # the southern hemisphere, half an hour off: Adelaide falls back on 2026-04-05 at 03:00 (16:30 UTC the day before)
    (ADELAIDE, "02:15-02:45", "2026-04-04T16:00", True),
    (ADELAIDE, "02:15-02:45", "2026-04-04T17:00", True),
    (ADELAIDE, "02:15-02:45", "2026-04-04T18:00", False),
    # and springs forward on 2026-10-04 at 02:00 (16:30 UTC the day before)
    (ADELAIDE, "02:15-02:45", "2026-10-03T16:29", False),
    (ADELAIDE, "02:15-02:45", "2026-10-03T16:45", False),
    (ADELAIDE, "03:00-03:30", "2026-10-03T16:45", True),
    # a change of half an hour: Lord Howe skips 02:00 to 02:29 on 2026-10-04 (15:30 UTC)
    (LORD_HOWE, "02:00-02:30", "2026-10-03T15:30", False),
    (LORD_HOWE, "02:30-03:00", "2026-10-03T15:30", True),
    # Europe changes on other days
    (LONDON, "01:00-02:00", "2026-03-29T01:00", False),
    (LONDON, "01:00-02:00", "2026-10-25T00:30", True),
    (LONDON, "01:00-02:00", "2026-10-25T01:30", True),
]


@pytest.mark.parametrize(("zone", "hours", "moment", "expected"), PER_BUYER_TIME_ZONE)
def test_per_buyer_time_zone_of_the_schedule(zone: str, hours: str, moment: str, expected: bool) -> None:
    assert opened(scheduled(zone, hours), moment) is expected


@pytest.mark.parametrize("schedule", [None, {}, {"open": []}])
@pytest.mark.parametrize("hour", range(0, 168, 5))
def test_nothing_is_closed_by_omission(schedule: dict[str, Any] | None, hour: int) -> None:
    one = campaign("one", schedule=schedule, time_zone=NEW_YORK)
    assert opened(one, (NOW + timedelta(hours=hour)).replace(tzinfo=None).isoformat())


def test_a_closed_campaign_says_its_hours_and_its_time() -> None:
    now = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)
    hours = scheduled(NEW_YORK, ("mon,fri", "09:00-17:00"), "22:00-01:00")
    assert explain(hours, lead(), now, cel.Context) == Failing(
        Reason.SCHEDULE_CLOSED,
        "mon,fri 09:00-17:00 or mon,tue,wed,thu,fri,sat,sun 22:00-01:00",
        "sun 2026-03-08 03:00 America/New_York",
    )
    holiday = scheduled(NEW_YORK, closed=("2026-03-08",))
    found = explain(holiday, lead(), now, cel.Context)
    assert found == Failing(Reason.SCHEDULE_CLOSED, "not on 2026-03-08", "sun 2026-03-08 03:00 America/New_York")


times = st.integers(0, 24 * 60 - 1)
windows = st.tuples(st.sets(st.sampled_from(DAYS), min_size=1), times, times).filter(lambda w: w[1] != w[2])
schedules = st.lists(windows, max_size=4).map(
    lambda found: Schedule.model_validate(
        {
            "open": [
                {"days": days, "from": f"{a // 60:02}:{a % 60:02}", "to": f"{b // 60:02}:{b % 60:02}"}
                for days, a, b in found
            ],
            "closed_dates": ["2026-03-08", "2026-11-01"][: len(found) // 2],
        }
    )
)
moments = st.integers(0, 365 * 24 * 3600).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


@given(
    st.lists(st.tuples(schedules, st.sampled_from([NEW_YORK, PHOENIX, ADELAIDE, LORD_HOWE, "UTC"])), max_size=5),
    st.lists(moments, min_size=1, max_size=4),
)
def test_all_at_once_is_each_by_itself(found: list[tuple[Schedule, str]], moments: list[datetime]) -> None:
    campaigns = [campaign(f"c{n}", schedule=schedule, time_zone=zone) for n, (schedule, zone) in enumerate(found)]
    hours = OpeningHours((one, 1 << n) for n, one in enumerate(campaigns))
    for moment in [*moments, *moments]:
        each = sum(1 << n for n, c in enumerate(campaigns) if is_open(c.schedule, c.time_zone, moment))
        assert hours.open_at(moment) == each


@given(schedules, st.integers(0, 7 * 24 * 60 - 1))
def test_a_week_of_minutes_is_the_windows(schedule: Schedule, minute: int) -> None:
    week = schedule.model_copy(update={"closed_dates": ()})
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    assert bool(open_minutes(week) >> minute & 1) is is_open(week, "UTC", monday + timedelta(minutes=minute))


def test_the_wall_clock_is_read_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    compute = OpeningHours._compute
    monkeypatch.setattr(OpeningHours, "_compute", lambda self, minute: computed.append(minute) or compute(self, minute))
    hours = OpeningHours([(scheduled(NEW_YORK, "09:00-17:00"), 1)])
    start = datetime(2026, 3, 4, 13, 59, 0, tzinfo=ZoneInfo("UTC"))
    assert [hours.open_at(start + timedelta(seconds=s)) for s in range(0, 120, 10)] == [0] * 6 + [1] * 6
    assert len(computed) == 2
