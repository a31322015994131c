"""The agenda of leads on hold: a tick costs what is due, and no step that comes to nothing loses an entry."""

from __future__ import annotations

import time
from datetime import timedelta
from random import Random

import pytest
from kit.builders import NOW, campaign, configuration, context, lead_id, unique
from kit.market import Market, answers, returned, route

from schemas.config.release import Configuration
from schemas.events import FeedbackKind, LeadRouted
from streams.routing import holds
from streams.routing.decided import DECISIONS, MAX_DECISIONS
from streams.routing.holds import HOLDS, LEADS, Agenda, OnHold
from streams.routing.stage import Routing
from streams.simulation.kept_tables import KeptTables
from streams.tables import Tables

SOON, END = NOW + timedelta(minutes=10), NOW + timedelta(hours=20)


def waiting(at: timedelta = timedelta(minutes=10), release: str = "one") -> OnHold:
    return OnHold(recheck_at=NOW + at, until=END, release=release)


def due(agenda: Agenda, tables: Tables, now: timedelta, release: str = "one") -> list[str]:
    return [key for key, _ in agenda.due(tables[HOLDS], NOW + now, release)]


def agenda_of(tables: Tables, release: str = "one") -> Agenda:
    return Agenda(tables[HOLDS].items(), release)


def written(tables: Tables, agenda: Agenda, key: str, hold: OnHold) -> None:
    tables[HOLDS][key] = hold
    agenda.wrote(key, hold)


def test_entries_are_due_in_their_order_and_once() -> None:
    tables = Tables()
    tables[HOLDS]["b"], tables[HOLDS]["a"] = waiting(timedelta(minutes=2)), waiting(timedelta(minutes=3))
    agenda = agenda_of(tables)
    written(tables, agenda, "c", waiting(timedelta(minutes=1)))
    assert due(agenda, tables, timedelta()) == []
    assert due(agenda, tables, timedelta(minutes=3)) == ["c", "b", "a"]
    for key in "abc":
        written(tables, agenda, key, waiting(timedelta(minutes=9)))
    assert due(agenda, tables, timedelta(minutes=4)) == []
    assert due(agenda, tables, timedelta(minutes=9)) == ["a", "b", "c"]


def test_what_was_written_otherwise_or_removed_since_is_passed_over() -> None:
    tables = Tables()
    tables[HOLDS]["a"], tables[HOLDS]["b"] = waiting(), waiting()
    agenda = agenda_of(tables)
    del tables[HOLDS]["a"]
    written(tables, agenda, "b", waiting(timedelta(minutes=15)))
    written(tables, agenda, "c", OnHold(recheck_at=None, until=END, release="one"))
    assert due(agenda, tables, timedelta(minutes=10)) == []
    assert due(agenda, tables, timedelta(minutes=15)) == ["b"]
    assert due(agenda, tables, timedelta(hours=20)) == ["b", "c"]  # b was not touched, so it is still to be done


@pytest.mark.parametrize("kind", [Tables, KeptTables])
def test_a_step_that_comes_to_nothing_loses_no_entry(kind: type[Tables]) -> None:
    tables = kind()

    def undone() -> None:
        tables.undo() if isinstance(tables, KeptTables) else tables.rollback()

    def done() -> None:
        tables.keep() if isinstance(tables, KeptTables) else tables.commit(NOW)

    tables[HOLDS]["a"], tables[HOLDS]["b"] = waiting(), waiting(timedelta(minutes=20))
    done()
    agenda = agenda_of(tables)
    for _ in range(3):  # taken, removed or put off, and all of it undone
        assert due(agenda, tables, timedelta(minutes=20)) == ["a", "b"]
        del tables[HOLDS]["a"]
        written(tables, agenda, "b", waiting(timedelta(minutes=40)))
        undone()
    for _ in range(3):  # the same with a release that they have not seen
        assert due(agenda, tables, timedelta(), "two") == ["a", "b"]
        written(tables, agenda, "a", waiting(timedelta(minutes=30), "two"))
        undone()
    assert due(agenda, tables, timedelta(), "two") == ["a", "b"]
    written(tables, agenda, "a", waiting(timedelta(minutes=30), "two"))
    written(tables, agenda, "b", waiting(timedelta(minutes=5), "two"))
    done()
    assert due(agenda, tables, timedelta(minutes=4), "two") == []
    assert due(agenda, tables, timedelta(minutes=30), "two") == ["b", "a"]


def test_whatever_is_written_and_undone_what_is_due_comes_in_time() -> None:
    """Beside a scan of the whole table."""
    rng, tables, now = Random(3), Tables(), NOW
    agenda, release = agenda_of(tables, "0"), 0
    for _ in range(3000):
        now += timedelta(seconds=rng.choice([0, 5, 60]))
        release += rng.random() < 0.02
        name, kept = str(release), rng.random() < 0.7
        expected = {
            key
            for key, hold in tables[HOLDS].items()
            if hold.due <= now or (hold.recheck_at is not None and hold.release != name)
        }
        found = agenda.due(tables[HOLDS], now, name)
        assert {key for key, _ in found} == expected
        for key, hold in found:
            assert tables[HOLDS].get(key) == hold
            del tables[HOLDS][key]
            if rng.random() < 0.6:
                again = OnHold(recheck_at=now + timedelta(minutes=3), until=now + timedelta(minutes=9), release=name)
                written(tables, agenda, key, again)
        for _ in range(rng.randint(0, 3)):
            at = now + timedelta(seconds=rng.randint(0, 600))
            recheck_at = None if rng.random() < 0.3 else at
            key = str(rng.randint(0, 40))
            written(tables, agenda, key, OnHold(recheck_at=recheck_at, until=at, release=name))
        if rng.random() < 0.2:
            key = str(rng.randint(0, 40))
            del tables[HOLDS][key]
        if kept:
            tables.commit(now)
        else:
            tables.rollback()


def held(count: int, release: Configuration, tables: Tables) -> None:
    for number in range(count):
        recheck_at = NOW + timedelta(hours=1, milliseconds=number)
        tables[HOLDS][str(lead_id(number))] = OnHold(recheck_at=recheck_at, until=END, release=release.release)
    tables.commit(NOW)


def test_a_tick_costs_what_is_due_and_not_what_is_held() -> None:
    release = configuration(campaign("a"), routes=[route(unsold={"hold": {}})])
    tables, routing = Tables(), Routing()
    held(20_000, release, tables)
    routing.tick(tables, context(release))  # the first one makes the agenda
    took = []
    for number in range(1, 20):
        known = context(release, NOW + timedelta(seconds=5 * number))
        begun = time.perf_counter()
        assert routing.tick(tables, known) == []
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.0002


def test_a_new_release_is_shown_to_all_that_wait_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "RECHECKED_AT_ONCE", 3)
    settings = {"unsold": {"hold": {"recheck_minutes": 60}}}
    market = Market(configuration(campaign("a", status="paused"), routes=[route(**settings)]))
    for number in range(8):
        market.give(unique(number))
    assert market.wait(seconds=5) == []
    market.release = configuration(campaign("a"), routes=[route(**settings)])
    sold = []
    for _ in range(4):
        market.wait(seconds=5)
        sold.append(len(market.sold))
    assert sold == [3, 6, 8, 8]
    assert (list(market.tables[HOLDS].items()), list(market.tables[LEADS].items())) == ([], [])


def test_after_a_restart_those_that_the_release_has_not_seen_are_shown_it() -> None:
    settings = {"unsold": {"hold": {"recheck_minutes": 60}}}
    market = Market(configuration(campaign("a", status="paused"), routes=[route(**settings)]))
    market.give(unique(1))
    market.release, market.routing = configuration(campaign("a"), routes=[route(**settings)]), Routing()
    market.wait(seconds=5)
    assert market.sold == ["a"]


def test_many_that_are_only_to_be_forgotten_hold_up_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "RECHECKED_AT_ONCE", 2)
    market = Market(configuration(campaign("a"), routes=[route(reroute_returns_days=1)]))
    for number in range(9):
        market.give(unique(number))
    market.wait(days=1)
    assert list(market.tables[LEADS].items()) == []
    monkeypatch.setattr(holds, "LOOKED_AT_AT_ONCE", 4)
    for number in range(10, 19):
        market.give(unique(number, received_at=market.now))
    left = []
    market.now += timedelta(days=1)
    for _ in range(4):
        market.wait(seconds=5)
        left.append(len(list(market.tables[LEADS].items())))
    assert left == [5, 1, 0, 0]


def test_a_hold_ends_after_a_hundred_decisions() -> None:
    hold = {"hold": {"recheck_minutes": 1, "maximum_age_hours": 24}}
    market = Market(configuration(campaign("a"), routes=[route(unsold=hold)]), answers(a="error"))
    market.give(unique(1))
    for _ in range(2 * MAX_DECISIONS):
        market.wait(minutes=1)
    assert len([event for event in market.events if isinstance(event, LeadRouted)]) == MAX_DECISIONS
    assert (list(market.tables[HOLDS].items()), list(market.tables[LEADS].items())) == ([], [])


def test_a_lead_on_hold_and_returned_is_kept_by_its_hold() -> None:
    settings = {"unsold": {"hold": {"recheck_minutes": 60}}, "reroute_returns_days": 9}
    market = Market(configuration(campaign("a"), routes=[route(**settings)]))
    market.give(unique(1))
    (kept,) = market.tables[HOLDS].values()
    assert (kept.recheck_at, kept.until) == (None, NOW + timedelta(days=9))
    market.give(returned(1, "a"))
    (kept,) = market.tables[HOLDS].values()
    assert kept.recheck_at == NOW + timedelta(hours=1)
    (decided,) = market.tables[DECISIONS].values()
    assert decided.resumed_at == "all"


def test_an_erased_lead_is_let_go_of_and_not_sold_any_more() -> None:
    hold = {"hold": {"recheck_minutes": 1, "maximum_age_hours": 24}}
    waits = Market(configuration(campaign("a"), routes=[route(unsold=hold)]), answers(a="error"))
    waits.give(unique(1), unique(2))
    asked = len(waits.slips)
    waits.give(returned(1, "", kind=FeedbackKind.ERASURE))
    assert [key for key, _ in waits.tables[LEADS].items()] == [str(lead_id(2))]
    waits.wait(minutes=2)
    assert len(waits.slips) == asked + 1  # the other one's
    assert [key for key, _ in waits.tables[HOLDS].items()] == [str(lead_id(2))]

    sold = Market(configuration(campaign("a"), campaign("b"), routes=[route(reroute_returns_days=9)]))
    sold.give(unique(1))
    assert len(sold.sold) == 1
    sold.give(returned(1, "", kind=FeedbackKind.ERASURE))
    assert list(sold.tables[LEADS].items()) == []
    sold.give(returned(1, sold.sold[0]))
    assert len(sold.slips) == 1
