"""Dedup: one lead of a person a window, whatever is delivered again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, configuration, context, lead_id, validated, without_clock

from schemas.config.dedup import KeySet
from schemas.config.vertical import Vertical
from schemas.events import LeadDuplicate, LeadUnique, LeadValidated
from streams.dedup.owners import OWNERS, PAYLOADS, WINDOWS_KEPT
from streams.dedup.stage import Dedup
from streams.tables import Tables

DAYS = 10
CONTEXT = context(configuration(verticals=[Vertical(name=v, dedup=(KeySet(days=DAYS),)) for v in ("solar", "roofing")]))
STAGE = Dedup()


def through(tables: Tables, *leads: LeadValidated, now: Any = CONTEXT) -> list[LeadUnique | LeadDuplicate]:
    outputs = STAGE.process(leads, tables, now)
    tables.commit()
    assert [o.key for o in outputs] == [lead.person.encode() for lead in leads]
    return [o.value for o in outputs]  # type: ignore[misc]


def verdict(event: LeadUnique | LeadDuplicate) -> UUID | None:
    """None for a unique lead, else the lead whose duplicate it is."""
    return event.duplicate_of if isinstance(event, LeadDuplicate) else None


def at(days: float) -> Any:
    return NOW + timedelta(days=days)


def test_a_window_opens_with_a_lead_and_ends_to_the_millisecond() -> None:
    tables = Tables()
    moment = at(DAYS) - timedelta(milliseconds=1)
    events = through(
        tables,
        validated("a"),
        validated("b", received_at=moment),
        validated("c", received_at=at(DAYS)),
        validated("d", received_at=at(DAYS + 1)),
    )
    assert [verdict(e) for e in events] == [None, lead_id("a"), None, lead_id("c")]


def test_duplicates_do_not_prolong_a_window() -> None:
    tables = Tables()
    events = through(tables, *(validated(n, received_at=at(n * 6)) for n in range(4)))
    assert [verdict(e) for e in events] == [None, lead_id(0), None, lead_id(2)]


def test_persons_and_verticals_have_windows_of_their_own() -> None:
    events = through(
        Tables(), validated("a"), validated("b", "grace"), validated("c", vertical="roofing"), validated("d", "grace")
    )
    assert [verdict(e) for e in events] == [None, None, None, lead_id("b")]


def test_a_duplicate_names_its_owner_and_holds_no_lead() -> None:
    _, event = through(Tables(), validated("a"), validated("b", received_at=at(1)))
    assert isinstance(event, LeadDuplicate)
    assert (event.first_seen_at, event.rule) == (NOW, "duplicate.person")
    assert not hasattr(event, "lead")


def test_a_replayed_duplicate_keeps_its_owner_when_a_later_window_is_near() -> None:
    tables = Tables()
    leads = [validated("a"), validated("b", received_at=at(7)), validated("c", received_at=at(12))]
    first = [verdict(e) for e in through(tables, *leads)]
    again = through(tables, *(lead.model_copy(update={"run": 1}) for lead in leads))
    assert first == [verdict(e) for e in again] == [None, lead_id("a"), None]


def test_a_late_lead_is_a_duplicate_of_the_later_one_that_came_first() -> None:
    tables = Tables()
    events = through(tables, validated("b", received_at=at(5)), validated("a"), validated("b", received_at=at(5)))
    assert [verdict(e) for e in events] == [None, lead_id("b"), None]


def test_a_vertical_that_is_configured_no_more_keeps_a_window() -> None:
    events = through(Tables(), validated("a", vertical="gone"), validated("b", vertical="gone", received_at=at(29)))
    assert [verdict(e) for e in events] == [None, lead_id("a")]


def test_a_person_has_a_bounded_number_of_windows() -> None:
    tables = Tables()
    through(tables, *(validated(n, received_at=at(n * DAYS)) for n in range(WINDOWS_KEPT + 5)))
    (owners,) = tables[OWNERS].values()
    assert [o.lead_id for o in owners.windows] == [lead_id(n) for n in range(5, WINDOWS_KEPT + 5)]


class Oracle:
    """The same by a list of everything that ever came."""

    def __init__(self) -> None:
        self.verdicts: dict[UUID, UUID | None] = {}
        self.owners: list[LeadValidated] = []

    def judge(self, lead: LeadValidated) -> UUID | None:
        if lead.lead_id not in self.verdicts:
            window = timedelta(days=DAYS)
            near = [
                o
                for o in self.owners
                if (o.person, o.vertical) == (lead.person, lead.vertical)
                and abs(o.received_at - lead.received_at) < window
            ]
            self.verdicts[lead.lead_id] = near[0].lead_id if near else None
            if not near:
                self.owners.append(lead)
        return self.verdicts[lead.lead_id]


@st.composite
def histories(draw: st.DrawFn) -> list[LeadValidated]:
    """Leads of a few persons in any order of time, some delivered again, live or as a replay."""
    made: list[LeadValidated] = []
    for name in range(draw(st.integers(1, 14))):
        hours = draw(st.integers(0, 24 * DAYS * 4))
        who, vertical = draw(st.sampled_from(["ada", "grace"])), draw(st.sampled_from(["solar", "roofing"]))
        made.append(validated(name, who, vertical=vertical, received_at=NOW + timedelta(hours=hours)))
        for _ in range(draw(st.integers(0, 2))):
            made.append(draw(st.sampled_from(made)).model_copy(update={"run": draw(st.integers(0, 2))}))
    return made


@settings(max_examples=300)
@given(histories(), st.data())
def test_every_lead_keeps_its_first_verdict_however_often_it_comes(
    leads: list[LeadValidated], data: st.DataObject
) -> None:
    oracle, tables = Oracle(), Tables()
    expected = [oracle.judge(lead) for lead in leads]

    whole = through(Tables(), *leads)
    assert [verdict(e) for e in whole] == expected
    assert [(e.lead_id, e.run) for e in whole] == [(lead.lead_id, lead.run) for lead in leads]

    in_slices = []
    rest = leads
    while rest:  # cut anywhere, with a restart from the changelog in between
        size = data.draw(st.integers(1, len(rest)))
        in_slices += through(tables, *rest[:size])
        tables = restored(tables)
        rest = rest[size:]
    assert in_slices == whole


def restored(tables: Tables) -> Tables:
    fresh = Tables()
    for spec in (OWNERS, PAYLOADS):
        for key, value in tables.store.items(spec):
            fresh[spec][key] = spec.load(spec.dump(value))
    fresh.commit()
    return fresh


@given(histories())
def test_a_redelivered_event_is_the_same_event_at_another_time(leads: list[LeadValidated]) -> None:
    tables = Tables()
    first = through(tables, *leads)
    later = context(CONTEXT.configuration, now=at(400))
    again = through(tables, *leads, now=later)
    assert [without_clock(e) for e in first] == [without_clock(e) for e in again]
