"""A buyer's own word: not asked for again in the run, learnt once, and a share that counts a lead once."""

from __future__ import annotations

import pytest
from kit.builders import NOW, answered, campaign, configuration, unique
from kit.market import Market, answers, returned, route, shared

from schemas.config.buyer import Buyer
from schemas.config.release import Configuration
from schemas.events import LeadRouted, LeadUnrouted
from streams.routing.explanation import explain
from streams.routing.memory import RATES, SHARES
from streams.routing.shares import DayCount

HOLD = {"hold": {"recheck_minutes": 15}}


def last_decision(market: Market) -> LeadRouted | LeadUnrouted:
    return next(e for e in reversed(market.events) if isinstance(e, LeadRouted | LeadUnrouted))


def test_row_31_a_re_check_does_not_ask_whoever_would_not_have_the_lead() -> None:
    release = configuration(*map(campaign, "abc"), routes=[route(unsold=HOLD)])
    market = Market(release, answers(a="rejected", b="error", c="rejected"))
    market.give(unique(1))
    market.answer = answers(b="rejected")
    market.wait(minutes=15)
    assert market.slips == ["a b c", "b"]
    assert market.why() == {"a": "lead.declined", "c": "lead.declined"}
    told = explain(last_decision(market), unique(1), release)
    failing = told.verdict("a").failing
    assert failing is not None
    assert (failing.expected, failing.actual) == ("a has not declined this lead", "buyer.rejected")
    assert told.agrees
    # Nobody is left who did not say no: the lead waits, and nothing is said.
    for _ in range(10):
        assert market.wait(minutes=15) == []
    assert len(market.posts) == 4


def test_a_replay_asks_everybody_anew() -> None:
    market = Market(configuration(campaign("a"), routes=[route(unsold=HOLD)]), answers(a="rejected"))
    market.give(unique(1))
    market.wait(minutes=15)
    market.give(unique(1, run=1))
    assert market.slips == ["a", "a"]
    assert len(market.posts) == 1  # the ledger has its word


@pytest.mark.parametrize(("outcome", "slip"), [("rejected", "b c"), ("duplicate", "c")])
def test_a_company_that_has_the_lead_already_is_not_asked_again(outcome: str, slip: str) -> None:
    buyers = [Buyer(id="a", name="A", parent="group"), Buyer(id="b", name="B", parent="group")]
    release = configuration(*map(campaign, "abc"), buyers=buyers, routes=[route(unsold=HOLD)])
    market = Market(release, answers(a=outcome, b="error", c="error"))
    market.give(unique(1))
    market.wait(minutes=15)
    assert market.slips[1] == slip
    if outcome == "duplicate":
        failing = explain(last_decision(market), unique(1), release).verdict("b").failing
        assert failing is not None
        assert (failing.reason, failing.expected) == ("lead.declined", "group has not declined this lead")


def test_a_campaign_that_would_not_have_a_lead_alone_may_share_it() -> None:
    own = [campaign("h", exclusivity="hybrid", exclusive_price=50, price=10), campaign("x", price=40)]
    release = configuration(
        *own, routes=[route(max_sales=2, legs="exclusive_first", reroute_returns_days=9, unsold=HOLD)]
    )
    market = Market(release, answers(h="rejected"))
    market.give(unique(1))
    assert market.slips == ["h x h~"]
    market.give(returned(1, "x"))
    assert market.slips == ["h x h~", "h~"]
    market.wait(minutes=15)
    assert len(market.slips) == 2  # and would not share it either
    assert len(market.posts) == 3


def test_a_word_is_learnt_once_however_often_it_is_told() -> None:
    release = configuration(*map(campaign, "ab"), routes=[route({"method": "highest_earnings"}, unsold=HOLD)])
    market = Market(release, answers(a="rejected", b="error"))
    market.give(unique(1))
    for _ in range(5):
        market.wait(minutes=15)
    assert len(market.slips) == 6
    market.give(answered(1, "a", "rejected", over=False))
    rates = {name: (rate.asked, rate.accepted) for name, rate in market.tables[RATES].items()}
    assert rates == {"a": (1.0, 0.0)}
    market.answer = answers()
    market.wait(minutes=15)
    market.give(answered(1, "b", decision=6))
    rates = {name: (rate.asked, rate.accepted) for name, rate in market.tables[RATES].items()}
    assert rates == {"a": (1.0, 0.0), "b": (1.0, 1.0)}


def counts(market: Market, name: str) -> DayCount:
    (of_day,) = next(shares for key, shares in market.tables[SHARES].items() if key == name).days
    return of_day


def test_row_38_a_share_counts_a_lead_once_however_often_it_is_decided_about() -> None:
    own = [campaign("a", priority=1, max_share={"percent": 50}), campaign("b", priority=2)]
    market = Market(configuration(*own, routes=[route(unsold=HOLD)]), answers(a="error", b="error"))
    market.give(unique("first"))  # one of one would be more than its share
    market.give(unique("second"))
    assert market.slips == ["b", "a b"]
    for _ in range(3):
        market.wait(minutes=15)
    # It had the second one already, so that it may have it again; and the first one is still one too many.
    assert market.slips[2:] == ["b", "a b"] * 3
    assert counts(market, "a") == DayCount(NOW.date(), 2, 1)
    for event in market.events:
        if isinstance(event, LeadRouted):
            name = "first" if event.lead_id == unique("first").lead_id else "second"
            assert explain(event, unique(name), market.release).agrees


def test_a_share_that_was_not_given_a_lead_may_be_given_it_later() -> None:
    own = [campaign("a", priority=1, max_share={"percent": 50}), campaign("b", priority=2)]
    market = Market(configuration(*own, routes=[route(unsold=HOLD)]), answers(a="error", b="error"))
    market.give(unique("first"))
    market.answer = answers()
    for name in ("second", "third", "fourth"):
        market.answer = answers(a="error") if name == "second" else answers()
        market.give(unique(name))
    assert market.slips == ["b", "a b", "b", "a b"]
    market.give(unique("fifth"), unique("sixth"))
    market.wait(minutes=15)
    assert market.slips[4:] == ["b", "a b", "b"]
    assert counts(market, "a") == DayCount(NOW.date(), 6, 3)


def test_a_replay_counts_for_itself() -> None:
    release: Configuration = configuration(shared("a", max_share={"percent": 100}), routes=[route()])
    market = Market(release, answers(a="error"))
    market.give(unique(1))
    market.give(unique(1, run=1))
    assert counts(market, "a") == DayCount(NOW.date(), 2, 2)
