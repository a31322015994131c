"""Caps of sources and sub ids: never over, by the source's calendar, the same after any crash."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, configuration, context, lead_id, raw_fields
from kit.history import KINDS, NAMED, PARTITIONS, History

from schemas import topics
from schemas.codec import decode
from schemas.config.cap import CapWindow
from schemas.config.placeholders import UnusableReleaseError
from schemas.config.release import Configuration
from schemas.config.source import Source
from schemas.events import Event, LeadRejected, LeadValidated
from schemas.raw_lead import RawArrival
from schemas.reasons import Reason
from streams.tables import Tables
from streams.topology import PIPELINE
from streams.validation.caps import ADMISSIONS, COUNTS, WINDOWS, WINDOWS_KEPT, share_of
from streams.validation.stage import Validation


def with_caps(*caps: dict[str, Any], **changes: Any) -> Configuration:
    return configuration(sources=[Source.model_validate({"id": "quoteharbor", "caps": caps, **changes})])


class Partition:
    """Validation of one partition, with its tables."""

    def __init__(self, release: Configuration, partition: int = 0, partitions: int = 1) -> None:
        self.stage, self.release, self.partition = Validation(partitions=partitions), release, partition
        self.tables = Tables()

    def take(self, name: object, at: datetime = NOW, *, run: int = 0, **changes: str) -> list[str]:
        """The reasons for which a lead is rejected; none if it is not."""
        fields = raw_fields(**changes)
        arrival = RawArrival(fields, lead_id(name), True, run, at, None, self.partition)
        (output,) = self.stage.process([arrival], self.tables, context(self.release))
        self.tables.commit()
        return [r.reason for r in output.value.reasons] if isinstance(output.value, LeadRejected) else []


DAILY = with_caps({"window": "day", "limit": 2})


def test_a_source_cap_counts_leads_that_pass_everything_else() -> None:
    partition = Partition(DAILY)
    assert partition.take("a", phone="12") == [Reason.PHONE_INVALID]
    assert partition.take("b", test="1") == []
    assert [partition.take(name) for name in "cd"] == [[], []]
    assert partition.take("e") == [Reason.SOURCE_CAP]
    assert partition.take("f", phone="12") == [Reason.PHONE_INVALID]  # a cap is no reason beside another
    assert partition.take("g", test="1") == []
    assert partition.take("h", NOW + timedelta(days=1)) == []


def test_a_lead_that_was_admitted_stays_so_and_counts_once() -> None:
    partition = Partition(DAILY)
    assert [partition.take(name) for name in "aab"] == [[], [], []]
    assert partition.take("c") == [Reason.SOURCE_CAP]
    assert [partition.take(name, run=1) for name in "ab"] == [[], []]
    assert partition.take("c", run=1) == [Reason.SOURCE_CAP]


def test_a_cap_of_a_sub_id_holds_besides_the_source_s() -> None:
    release = with_caps({"window": "day", "limit": 2}, sub_ids=[{"id": "x", "caps": [{"window": "total", "limit": 1}]}])
    partition = Partition(release)
    assert partition.take("a", sub_id="x") == []
    assert partition.take("b", sub_id="x") == [Reason.SUB_ID_CAP]
    assert partition.take("b", sub_id="y") == []
    assert partition.take("c", sub_id="x") == [Reason.SOURCE_CAP, Reason.SUB_ID_CAP]
    assert partition.take("c", NOW + timedelta(days=400), sub_id="x") == [Reason.SUB_ID_CAP]


@pytest.mark.parametrize(
    ("window", "first", "second", "same"),
    [
        ("hour", "2026-03-04T17:00-05:00", "2026-03-04T17:59-05:00", True),
        ("hour", "2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00", False),  # the hour that comes twice
        ("day", "2026-03-08T00:00-05:00", "2026-03-08T23:59-04:00", True),  # a day of 23 hours
        ("day", "2026-03-04T23:59-05:00", "2026-03-05T00:00-05:00", False),
        ("day", "2026-03-05T00:30+00:00", "2026-03-04T23:00-05:00", True),
        ("week", "2026-03-02T00:00-05:00", "2026-03-08T23:59-04:00", True),
        ("week", "2026-03-01T23:59-05:00", "2026-03-02T00:00-05:00", False),
        ("week", "2025-12-31T12:00-05:00", "2026-01-01T12:00-05:00", True),
        ("month", "2026-02-28T23:59-05:00", "2026-03-01T00:00-05:00", False),
        ("total", "2020-01-01T00:00-05:00", "2026-03-01T00:00-05:00", True),
    ],
)
def test_a_window_is_by_the_source_s_calendar_and_clock(window: str, first: str, second: str, same: bool) -> None:
    partition = Partition(with_caps({"window": window, "limit": 1}, time_zone="America/New_York"))
    assert partition.take("a", datetime.fromisoformat(first)) == []
    assert (partition.take("b", datetime.fromisoformat(second)) == []) is not same


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_the_shares_of_all_partitions_are_the_limit(limit: int, partitions: int) -> None:
    shares = [share_of(limit, partition, partitions) for partition in range(partitions)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1
    with pytest.raises(ValueError, match="LEADLINE_PARTITIONS"):
        share_of(limit, partitions, partitions)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=40))
def test_never_over_and_under_by_what_idle_partitions_leave(limit: int, leads: list[tuple[int, int]]) -> None:
    lanes = [Partition(with_caps({"window": "day", "limit": limit}), n, 3) for n in range(3)]
    admitted: defaultdict[int, set[int]] = defaultdict(set)
    came: defaultdict[int, set[int]] = defaultdict(set)
    for place, name in leads:
        came[place].add(name)
        if not lanes[place].take((place, name)):
            admitted[place].add(name)
    for place in range(3):
        assert len(admitted[place]) == min(len(came[place]), share_of(limit, place, 3))


def test_counts_of_windows_long_past_are_given_up() -> None:
    partition = Partition(with_caps({"window": "month", "limit": 1}))
    months = [datetime(2020 + n // 12, n % 12 + 1, 1, 12, tzinfo=UTC) for n in range(40)]
    assert [partition.take(n, at) for n, at in enumerate(months)] == [[]] * 40
    kept = WINDOWS_KEPT[CapWindow.MONTH]
    assert partition.tables[WINDOWS].get("quoteharbor:month") == [
        f"quoteharbor:month@{at:%Y-%m-01T00:00Z}" for at in months[-kept:]
    ]
    assert len(list(partition.tables[COUNTS].values())) == kept
    assert ADMISSIONS.expiry is not None
    assert ADMISSIONS.expiry > timedelta(days=31 + (topics.LEADS.retention_days or 0))


def test_what_a_restart_counts_is_what_was_admitted() -> None:
    release = with_caps({"window": "day", "limit": 3}, {"window": "total", "limit": 3})
    before, after = Partition(release), Partition(release)
    assert [before.take(name) for name in "aab"] == [[], [], []]
    for table in (spec for spec in before.stage.stored_tables if spec.name.startswith("admissions")):
        for name in "ab":
            admission = before.tables[table].get(lead_id(name))
            assert admission is not None
            after.tables[table][lead_id(name)] = admission
    after.stage.rebuild(after.tables)
    assert [after.take(name) for name in "bcd"] == [[], [], [Reason.SOURCE_CAP, Reason.SOURCE_CAP]]


def test_a_validation_that_does_not_know_its_partitions_refuses_caps() -> None:
    with pytest.raises(UnusableReleaseError, match="caps of sources"):
        Validation().prepare(DAILY)
    Validation().prepare(with_caps())
    Validation(partitions=4).prepare(DAILY)


# Crashes

LIMIT = 3


class Capped(History):
    """Crash histories whose source may send three leads a day, in two partitions."""

    kinds = tuple(kind for kind in KINDS if kind is not NAMED)  # a lead that its producer sends again came twice

    def __init__(self, seed: int) -> None:
        super().__init__(seed, stages=[Validation(partitions=PARTITIONS), *PIPELINE[1:]])

    def _apply(self, release: Configuration) -> None:
        source = Source.model_validate({"id": "quoteharbor", "caps": [{"window": "day", "limit": LIMIT}]})
        content = {name: getattr(release, name) for name in type(release).model_fields}
        super()._apply(Configuration(**content | {"sources": (source,)}))


def events(history: History, model: type[Event]) -> Iterable[Any]:
    return (decode(model.TOPIC.name, record.value) for record in history.log.records(model.TOPIC.name))


def outcomes(history: History) -> tuple[set[tuple[UUID, int]], set[tuple[UUID, int]], Counter[str]]:
    validated = {(event.lead_id, event.run): event for event in events(history, LeadValidated)}
    rejected = {(event.lead_id, event.run): event for event in events(history, LeadRejected)}
    days = Counter({e.lead_id: f"{e.received_at:%Y-%m-%d}" for e in validated.values()}.values())
    return set(validated), set(rejected), days


def test_no_crash_lets_a_source_over_its_cap_or_changes_a_lead_s_outcome() -> None:
    capped = full = 0
    for seed in range(300):
        history = Capped(seed).run()
        validated, rejected, days = outcomes(history)
        assert not validated & rejected, f"seed {seed}: a lead has two outcomes"
        assert max(days.values(), default=0) <= LIMIT, f"seed {seed}: {days}"
        reasons: Sequence[LeadRejected] = list(events(history, LeadRejected))
        capped += any(r.reason == Reason.SOURCE_CAP for event in reasons for r in event.reasons)
        full += LIMIT in days.values()
    assert capped > 50
    assert full > 20
