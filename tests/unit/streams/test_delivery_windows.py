"""The windows of caps, by the wall clocks of the world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config.cap import CapWindow
from streams.delivery.windows import TOTAL, span_at

LOS_ANGELES, NEW_YORK, KOLKATA, LORD_HOWE, BEIRUT, AZORES = (
    "America/Los_Angeles", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Beirut", "Atlantic/Azores",
)  # fmt: skip
ZONES = ("UTC", LOS_ANGELES, NEW_YORK, KOLKATA, LORD_HOWE, BEIRUT, AZORES)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CASES = [
    # An hour begins when the minute hand is at twelve.
    ("hour", "UTC", "2026-03-04T17:59:59", "2026-03-04T17:00", "2026-03-04T18:00"),
    ("hour", KOLKATA, "2026-03-04T17:29:59", "2026-03-04T16:30", "2026-03-04T17:30"),
    ("hour", KOLKATA, "2026-03-04T17:30", "2026-03-04T17:30", "2026-03-04T18:30"),
    # Daylight saving begins: two o'clock is three o'clock.
    ("hour", NEW_YORK, "2026-03-08T06:30", "2026-03-08T06:00", "2026-03-08T07:00"),
    ("hour", NEW_YORK, "2026-03-08T07:30", "2026-03-08T07:00", "2026-03-08T08:00"),
    # It ends: the hour from one to two comes twice, and is two windows.
    ("hour", NEW_YORK, "2026-11-01T05:30", "2026-11-01T05:00", "2026-11-01T06:00"),
    ("hour", NEW_YORK, "2026-11-01T06:30", "2026-11-01T06:00", "2026-11-01T07:00"),
    ("hour", NEW_YORK, "2026-11-01T07:30", "2026-11-01T07:00", "2026-11-01T08:00"),
    # Half an hour of daylight saving: the hour from one on lasts until two the second time, or until half past.
    ("hour", LORD_HOWE, "2026-04-04T15:10", "2026-04-04T14:00", "2026-04-04T15:30"),
    ("hour", LORD_HOWE, "2026-10-03T15:40", "2026-10-03T15:30", "2026-10-03T16:00"),
    # Days of 23 and 25 hours.
    ("day", LOS_ANGELES, "2026-03-08T07:59:59", "2026-03-07T08:00", "2026-03-08T08:00"),
    ("day", LOS_ANGELES, "2026-03-08T08:00", "2026-03-08T08:00", "2026-03-09T07:00"),
    ("day", LOS_ANGELES, "2026-03-09T06:59:59", "2026-03-08T08:00", "2026-03-09T07:00"),
    ("day", LOS_ANGELES, "2026-11-01T07:00", "2026-11-01T07:00", "2026-11-02T08:00"),
    ("day", LOS_ANGELES, "2026-11-02T07:59:59", "2026-11-01T07:00", "2026-11-02T08:00"),
    ("day", LOS_ANGELES, "2026-11-02T08:00", "2026-11-02T08:00", "2026-11-03T08:00"),
    ("day", KOLKATA, "2026-03-04T18:30", "2026-03-04T18:30", "2026-03-05T18:30"),
    # Where the clock changes at midnight.
    ("day", BEIRUT, "2026-03-28T22:00", "2026-03-28T22:00", "2026-03-29T21:00"),
    ("day", AZORES, "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T01:00"),
    ("week", NEW_YORK, "2026-03-08T12:00", "2026-03-02T05:00", "2026-03-09T04:00"),
    ("week", NEW_YORK, "2026-03-09T04:00", "2026-03-09T04:00", "2026-03-16T04:00"),
    ("month", NEW_YORK, "2026-03-31T23:00", "2026-03-01T05:00", "2026-04-01T04:00"),
    ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
]  # fmt: skip


@pytest.mark.parametrize(("window", "zone", "moment", "begins", "ends"), CASES)
def test_row_37_per_cap_time_zone(window: str, zone: str, moment: str, begins: str, ends: str) -> None:
    span = span_at(CapWindow(window), zone, utc(moment))
    assert (span.key, span.end) == (f"{begins}Z", utc(ends))


def test_the_window_without_an_end_is_one() -> None:
    assert span_at(CapWindow.TOTAL, NEW_YORK, utc("1999-01-01")) == span_at(CapWindow.TOTAL, KOLKATA, utc("2026-01-01"))
    assert TOTAL.end is None


@given(
    st.sampled_from([CapWindow.HOUR, CapWindow.DAY, CapWindow.WEEK, CapWindow.MONTH]),
    st.sampled_from([*ZONES, "America/Havana", "Africa/Cairo"]),
    st.integers(0, 12 * 365 * 86_400),
)
def test_windows_follow_one_another_without_a_gap(window: CapWindow, zone: str, seconds: int) -> None:
    moment = utc("2020-01-01") + timedelta(seconds=seconds)
    span = span_at(window, zone, moment)
    begins = datetime.strptime(span.key, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    assert span.end is not None
    assert begins <= moment < span.end
    for inside in (begins, moment, span.end - timedelta(microseconds=1)):
        assert span_at(window, zone, inside) == span
    assert span_at(window, zone, span.end).key == f"{span.end:%Y-%m-%dT%H:%MZ}"
    assert span_at(window, zone, begins - timedelta(microseconds=1)).end == begins
