"""Routing: who is offered a lead, in which order, and that nobody is offered it twice."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, STATES, answered, campaign, configuration, context, lead, unique

from schemas.codec import encode
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.events import Event, LeadRouted, LeadUnique, LeadUnrouted, Offer, Outcome
from schemas.identity import Step, event_id
from schemas.reasons import Reason
from streams.routing.decided import DECISIONS, REDECIDABLE, Status
from streams.routing.explanation import reasons_of
from streams.routing.stage import Routing
from streams.stage import Context
from streams.tables import Tables

STAGE = Routing()
OUTCOMES = {Status.SOLD: Outcome.ACCEPTED, Status.HELD: Outcome.UNKNOWN, Status.UNSOLD: Outcome.ERROR}


def through(tables: Tables, now: Context, *arrivals: Event) -> list[Any]:
    outputs = STAGE.process(arrivals, tables, now)
    tables.commit()
    for output in outputs:
        event = output.value
        key = event.slip.candidates[0].company if isinstance(event, Offer) else event.person  # type: ignore[union-attr]
        assert (output.topic, output.key) == (event.TOPIC.name, key.encode())  # type: ignore[union-attr]
    return [output.value for output in outputs]


def ended(name: object, status: Status, run: int = 0) -> Event:
    """How delivery reports the end of a lead."""
    return answered(name, "a", OUTCOMES[status], run=run)


def offers(events: list[Any]) -> list[Offer]:
    return [event for event in events if isinstance(event, Offer)]


campaigns = st.lists(
    st.builds(
        lambda name, states, priority, vertical: campaign(
            name, states=frozenset(states), priority=priority, vertical=vertical
        ),
        st.sampled_from("abcdefg"),
        st.sets(st.sampled_from(STATES), min_size=1),
        st.integers(1, 3),
        st.sampled_from(["solar", "solar", "roofing"]),
    ),
    max_size=6,
    unique_by=lambda c: c.id,
)


def eligible(release: Configuration, event: LeadUnique) -> set[str]:
    return {c.id for c in release.campaigns if c.vertical == event.vertical and event.lead.state in c.states}


@settings(max_examples=200)
@given(campaigns, st.sampled_from(STATES))
def test_a_decision_has_every_campaign_of_the_vertical_and_says_why(found: list[Campaign], state: str) -> None:
    release = configuration(*found)
    event = unique("x", content=lead(state=state))
    decided, *rest = through(Tables(), context(release), event)
    reasons = reasons_of(decided.trace, release)
    qualified = eligible(release, event)
    assert set(reasons) == {c.id for c in found if c.vertical == "solar"} - qualified
    assert set(reasons.values()) <= {Reason.FILTER_STATE}
    assert decided.release == release.release
    if not qualified:
        assert isinstance(decided, LeadUnrouted)
        assert decided.reason == Reason.NO_CAMPAIGN
        assert rest == []
        return
    assert isinstance(decided, LeadRouted)
    assert {c.campaign for c in decided.slip.candidates} == qualified
    priorities = [release.campaign_by_id[c.campaign].priority for c in decided.slip.candidates]
    assert all(a <= b for a, b in pairwise(priorities))
    (offer,) = rest
    assert (offer.slip, offer.cursor, offer.attempt, offer.declines) == (decided.slip, 0, 0, [])
    assert offer.lead == event.lead


@settings(max_examples=100)
@given(st.integers(2, 5), st.integers(1, 30), st.lists(st.integers(1, 7), min_size=1))
def test_equal_priorities_take_turns(size: int, count: int, slices: list[int]) -> None:
    release = configuration(*(campaign(name) for name in "abcdefg"[:size]))
    tables, first = Tables(), Counter(dict.fromkeys("abcdefg"[:size], 0))
    leads = [unique(n) for n in range(count)]
    while leads:
        step = slices[len(leads) % len(slices)]
        for offer in offers(through(tables, context(release), *leads[:step])):
            first[offer.slip.candidates[0].campaign] += 1
            assert max(first.values()) - min(first.values()) <= 1
        leads = leads[step:]
    assert first.total() == count


@settings(max_examples=100)
@given(campaigns, st.lists(st.sampled_from(STATES), max_size=10), st.integers(1, 3))
def test_a_campaign_that_does_not_qualify_changes_nobodys_decision(
    found: list[Campaign], states: list[str], priority: int
) -> None:
    events = [unique(n, content=lead(state=s)) for n, s in enumerate(states)]
    more = campaign("zzz", states=frozenset({"TX"}), priority=priority)
    without = offers(through(Tables(), context(configuration(*found)), *events))
    with_it = offers(through(Tables(), context(configuration(*found, more)), *events))
    assert [o.slip for o in without] == [o.slip for o in with_it]


@settings(max_examples=100)
@given(campaigns, campaigns, st.lists(st.sampled_from(STATES), min_size=1, max_size=6))
def test_a_lead_that_comes_again_in_its_run_is_known_and_a_replay_is_told_what_was_decided(
    found: list[Campaign], later: list[Campaign], states: list[str]
) -> None:
    events = [unique(n, content=lead(state=s)) for n, s in enumerate(states)]
    tables = Tables()
    first = through(tables, context(configuration(*found)), *events)
    stored = {key: DECISIONS.dump(decision) for key, decision in tables.store.items(DECISIONS)}
    now = context(configuration(*later), now=NOW.replace(year=2027))
    # What was decided went out with the transaction that stored it: nothing is emitted, nothing decided anew.
    assert through(tables, now, *events) == []
    assert {key: DECISIONS.dump(decision) for key, decision in tables.store.items(DECISIONS)} == stored
    # A replay of what is on offer is told the very decision, by its release and not by the later one.
    routed = [e for e in first if isinstance(e, LeadRouted)]
    ids = {e.lead_id for e in routed}
    again = through(tables, now, *(e.model_copy(update={"run": 1}) for e in events if e.lead_id in ids))
    assert [encode(e) for e in again] == [
        encode(
            e.model_copy(
                update={
                    "run": 1,
                    "event_id": event_id(e.lead_id, Step.ROUTING, 1),
                }
            )
        )
        for e in routed
    ]
    assert {d.answered_run for key, d in tables.store.items(DECISIONS) if d.slip} <= {1}
    assert through(tables, now, *(e.model_copy(update={"run": 1}) for e in events if e.lead_id in ids)) == []


statuses = st.sampled_from([None, Status.SOLD, Status.HELD, Status.UNSOLD])


@settings(max_examples=100)
@given(statuses, st.integers(1, 5))
def test_a_replay_offers_only_what_nobody_has(status: Status | None, run: int) -> None:
    tables, now = Tables(), context(configuration(campaign("a"), campaign("b")))
    through(tables, now, unique("x"), *([ended("x", status)] if status else []))
    events = through(tables, now, unique("x", run=run))
    assert isinstance(events[0], LeadRouted)
    assert events[0].run == run
    assert bool(offers(events)) == (status is Status.UNSOLD)
    if status is Status.UNSOLD:
        assert {o.run for o in offers(events)} == {run}


def test_a_replay_decides_anew_by_the_configuration_of_now() -> None:
    tables, before, after = Tables(), context(configuration()), context(configuration(campaign("a")))
    assert isinstance(through(tables, before, unique("x"))[0], LeadUnrouted)
    assert through(tables, after, unique("x")) == []  # a redelivery: no new decision
    assert [(d.run, d.answered_run) for d in tables[DECISIONS].values()] == [(0, 0)]
    (offer,) = offers(through(tables, after, unique("x", run=1)))
    assert offer.release == after.configuration.release
    assert [(d.run, d.answered_run) for d in tables[DECISIONS].values()] == [(1, 1)]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.OFFERED, Status.UNROUTED}))
def test_how_a_lead_ended_is_noted(status: Status) -> None:
    tables, now = Tables(), context(configuration(campaign("a")))
    through(tables, now, unique("x"))
    assert through(tables, now, ended("x", status)) == []
    assert [d.status for d in tables[DECISIONS].values()] == [status]


@given(st.permutations([Status.SOLD, Status.UNSOLD, Status.HELD, Status.SOLD]))
def test_a_sale_is_never_forgotten(ends: list[Status]) -> None:
    tables, now = Tables(), context(configuration(campaign("a")))
    through(tables, now, unique("x"), *(ended("x", status) for status in ends))
    assert [d.status for d in tables[DECISIONS].values()] == [Status.SOLD]


def test_an_end_of_an_earlier_run_says_nothing_about_a_later_decision() -> None:
    tables, now = Tables(), context(configuration(campaign("a")))
    through(tables, now, unique("x"), ended("x", Status.UNSOLD), unique("x", run=2), ended("x", Status.UNSOLD))
    assert [(d.status, d.run) for d in tables[DECISIONS].values()] == [(Status.OFFERED, 2)]
    assert not offers(through(tables, now, unique("x", run=3)))


def test_an_end_of_a_lead_that_routing_never_saw_is_no_failure() -> None:
    assert through(Tables(), context(), ended("x", Status.SOLD), ended("y", Status.UNSOLD)) == []


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), statuses), max_size=25))
def test_whatever_comes_a_lead_that_someone_has_is_not_offered_in_another_run(
    steps: list[tuple[int, int, Status | None]],
) -> None:
    """Deliveries, ends and replays of three leads in any order."""
    tables, now = Tables(), context(configuration(campaign("a"), campaign("b")))
    known: dict[int, tuple[Status, int, int]] = {}  # by lead: where it stands, and the run and number of the decision
    told: dict[int, int] = {}  # by lead: the last run that was told
    has: dict[int, Status] = {}  # by lead: that a has it, or perhaps
    for name, run, status in steps:
        before = known.get(name)
        if status is not None:
            through(tables, now, ended(name, status, run))
            if has.get(name) is not Status.SOLD:
                has[name] = status
            if before and (run, 0) >= before[1:]:
                known[name] = (has[name], *before[1:])
            continue
        events = through(tables, now, unique(name, run=run))
        new = name not in told or run > told[name]
        assert bool(events) == new
        taken = has.get(name, Status.UNSOLD) is not Status.UNSOLD
        decided_anew = before is None or (new and before[0] in REDECIDABLE)
        assert bool(offers(events)) == (decided_anew and not taken)
        if new:
            told[name] = run
        if decided_anew:
            number = 0 if not taken else 1 if before is None else before[2] + 1
            known[name] = (Status.UNROUTED if taken else Status.OFFERED, run, number)
    assert {d.answered_run for d in tables[DECISIONS].values()} == set(told.values())
