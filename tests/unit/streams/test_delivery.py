"""Delivery's rules one by one: caps, days, outcomes, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from kit.builders import NOW, campaign, cap, configuration, context, lead_id, offer, slip, without_clock

from connectors.outbound.contract import Answer
from schemas.codec import decode, encode
from schemas.config.buyer import Buyer
from schemas.config.release import Configuration
from schemas.decision import Candidate
from schemas.events import Delivery, LeadDelivered, LeadUndelivered, Offer, Outcome
from schemas.identity import idempotency_key
from schemas.messages import Capacity
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from streams.delivery.counters import COUNTERS, TOTALS
from streams.delivery.ledger import LEDGER, Status
from streams.delivery.stage import DeliveryStage, Post
from streams.execution import Intent
from streams.lane import Lane
from streams.tables import Tables

STAGE = DeliveryStage()
ONE, TWO, THREE = campaign("one", price="10", caps=(cap(2),)), campaign("two", price="20"), campaign("three")
SLIP = (ONE, TWO, THREE)
RELEASE = configuration(*SLIP)
ACCEPTED = Answer(Outcome.ACCEPTED, reference="r-1", http_status=200, posts=2, latency_ms=1.5)


def plan(
    tables: Tables, *offers: Offer, release: Configuration = RELEASE, now: datetime = NOW
) -> tuple[list[Any], list[Post]]:
    planned = STAGE.plan(offers, tables, context(release, now))
    tables.commit()
    assert all(cause is post.offer for cause, post in planned.effects)
    told = [o.value for o in planned.outputs if not isinstance(o.value, Capacity)]
    return told, [post for _, post in planned.effects]


def settle(
    tables: Tables, posts: Iterable[Post], answer: Answer, release: Configuration = RELEASE, now: datetime = NOW
) -> list[Any]:
    settled = STAGE.settle([(post, answer) for post in posts], tables, context(release, now))
    tables.commit()
    assert settled.effects == []
    return [o.value for o in settled.outputs]


def statuses(tables: Tables) -> list[Status]:
    return [entry.status for entry in tables[LEDGER].values()]


def test_an_accepted_lead_is_delivered_at_its_price() -> None:
    tables = Tables()
    outputs, (post,) = plan(tables, offer("x", SLIP))
    assert outputs == []
    assert statuses(tables) == [Status.RESERVED]
    assert (post.key, post.campaign, post.repeated) == (idempotency_key(lead_id("x"), "one"), ONE, False)
    attempt, sold, capacity = settle(tables, [post], ACCEPTED)
    assert isinstance(attempt, Delivery)
    assert (attempt.outcome, attempt.price, attempt.posts, attempt.latency_ms) == ("accepted", ONE.price, 2, 1.5)
    assert isinstance(sold, LeadDelivered)
    assert (sold.campaign, sold.buyer, sold.price, sold.reference) == ("one", "one", ONE.price, "r-1")
    assert isinstance(capacity, Capacity)
    assert [(use.cap, use.used, use.limit) for use in capacity.uses] == [("day:accepted", 1, 2)]


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.DUPLICATE, Outcome.ERROR])
def test_a_declined_lead_goes_to_the_next_of_its_slip(outcome: Outcome) -> None:
    tables = Tables()
    _, posts = plan(tables, offer("x", SLIP))
    attempt, following, _ = settle(tables, posts, Answer(outcome, reason := Reason(f"buyer.{outcome}")))
    assert (attempt.outcome, attempt.price) == (outcome, None)
    assert isinstance(following, Offer)
    assert (following.cursor, following.attempt) == (1, 1)
    assert [(d.campaign, d.reason) for d in following.declines] == [("one", reason)]
    assert following.event_id == offer("x", SLIP, cursor=1).event_id


def test_a_lead_that_all_decline_is_undelivered_with_every_reason() -> None:
    tables, following = Tables(), offer("x", SLIP)
    for _ in SLIP:
        _, posts = plan(tables, following)
        _, following, *_ = settle(tables, posts, Answer(Outcome.REJECTED, Reason.BUYER_REJECTED))
    assert isinstance(following, LeadUndelivered)
    assert following.reason == Reason.ALL_DECLINED
    assert [d.campaign for d in following.declines] == ["one", "two", "three"]


def test_an_outcome_nobody_knows_holds_the_lead_and_its_place_under_the_cap() -> None:
    tables = Tables()
    _, posts = plan(tables, offer("x", SLIP))
    attempt, held, capacity = settle(tables, posts, Answer(Outcome.UNKNOWN))
    assert attempt.outcome == "unknown"
    assert isinstance(held, LeadUndelivered)
    assert held.reason == Reason.OUTCOME_UNKNOWN
    assert capacity.uses[0].used == 1


def test_no_more_than_the_cap_within_one_slice() -> None:
    tables = Tables()
    outputs, posts = plan(tables, *(offer(n, SLIP) for n in range(5)))
    assert len(posts) == 2
    skipped = [e for e in outputs if isinstance(e, Delivery)]
    assert [(e.outcome, e.reason, e.posts) for e in skipped] == [("skipped", Reason.CAP_DAY, 0)] * 3
    assert [e.cursor for e in outputs if isinstance(e, Offer)] == [1, 1, 1]


@pytest.mark.parametrize(("answer", "room"), [(Outcome.REJECTED, 2), (Outcome.ERROR, 2), (Outcome.UNKNOWN, 0)])
def test_a_reservation_returns_when_the_buyer_did_not_take_the_lead(answer: Outcome, room: int) -> None:
    tables = Tables()
    _, posts = plan(tables, offer("a", SLIP), offer("b", SLIP))
    settle(tables, posts, Answer(answer))
    assert len(plan(tables, *(offer(n, SLIP) for n in range(3)))[1]) == room


def test_a_cap_of_zero_takes_nothing() -> None:
    closed = campaign("closed", caps=(cap(0),))
    outputs, posts = plan(Tables(), offer("x", [closed]), release=configuration(closed))
    assert posts == []
    assert [type(e) for e in outputs] == [Delivery, LeadUndelivered]


def test_a_day_is_its_campaigns() -> None:
    west = campaign("west", caps=(cap(1),), time_zone="America/Los_Angeles")
    release, tables = configuration(west), Tables()
    for name, hours, posts in (("a", 0, 1), ("b", 14, 0), ("c", 15, 1)):  # 09:00, 23:00 and 00:00 there
        assert len(plan(tables, offer(name, [west]), release=release, now=NOW + timedelta(hours=hours))[1]) == posts


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_repeated_offer_is_answered_from_the_ledger(outcome: Outcome) -> None:
    if outcome is Outcome.SKIPPED:
        full = configuration(campaign("one", caps=(cap(0),)), TWO, THREE)
        tables = Tables()
        first, _ = plan(tables, offer("x", SLIP), release=full)
    else:
        tables = Tables()
        _, posts = plan(tables, offer("x", SLIP))
        first = settle(tables, posts, Answer(outcome))[:2]
    again, posts = plan(tables, offer("x", SLIP), now=NOW + timedelta(days=3))
    assert posts == []
    assert again == first  # occurred_at too: it is when the buyer answered
    assert [without_clock(e) for e in again] == [without_clock(e) for e in first]


def test_two_copies_in_one_slice_are_one_post_and_two_attempts() -> None:
    lane, now = Lane(STAGE, Tables()), context(RELEASE)
    copy = encode(offer("x", SLIP))
    lane.put([KafkaRecord("offers", 0, n, 0, b"one", copy) for n in range(2)])

    def through() -> tuple[list[Any], list[Intent]]:
        step = lane.step(now)
        assert step is not None
        lane.commit(step)
        return [decode(o.topic, o.value) for o in step.outputs], step.intents  # type: ignore[arg-type]

    outputs, (intent,) = through()
    assert outputs == []
    assert lane.step(now) is None  # the second waits for the answer to the first
    lane.give(intent, ACCEPTED)
    first, posts = through()
    assert ([type(e) for e in first], posts) == ([Delivery, LeadDelivered, Capacity], [])
    assert first[-1].uses[0].used == 1
    second, posts = through()
    assert (second, posts) == (first[:2], [])  # from the ledger, under the same ids
    assert lane.idle


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE])
def test_a_buyers_own_word_stands_in_every_run(outcome: Outcome) -> None:
    tables = Tables()
    settle(tables, plan(tables, offer("x", SLIP))[1], Answer(outcome))
    outputs, posts = plan(tables, offer("x", SLIP, run=1))
    assert posts == []
    assert (outputs[0].outcome, outputs[0].run) == (outcome, 1)


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SKIPPED])
def test_a_replay_asks_again_where_nobody_said_no(outcome: Outcome) -> None:
    tables = Tables()
    if outcome is Outcome.SKIPPED:
        plan(tables, offer("x", SLIP), release=configuration(TWO, THREE))  # the campaign is gone, and comes back
    else:
        settle(tables, plan(tables, offer("x", SLIP))[1], Answer(outcome))
    assert statuses(tables) == [Status(outcome)]
    _, (post,) = plan(tables, offer("x", SLIP, run=1), now=NOW + timedelta(days=1))
    assert post.key == idempotency_key(lead_id("x"), "one")  # the same post, whatever the run
    assert not post.repeated
    assert [entry.reserved_at for entry in tables[LEDGER].values()] == [NOW + timedelta(days=1)]


def crashed(idempotent: bool) -> tuple[Tables, Configuration, list[Any]]:
    slip = [campaign("one", caps=(cap(1),), idempotent=idempotent), TWO]
    release, tables = configuration(*slip), Tables()
    plan(tables, offer("x", slip), release=release)
    return tables, release, slip


def test_after_a_crash_the_same_post_goes_out_on_the_same_day() -> None:
    tables, release, slip = crashed(idempotent=True)
    outputs, (post,) = plan(tables, offer("x", slip), release=release, now=NOW + timedelta(days=2))
    assert (outputs, post.repeated) == ([], True)
    assert dict(tables.store.items(COUNTERS)) == {"campaign:one:day:accepted::UTC:2026-03-04T00:00Z": 1}
    _, sold, *_ = settle(tables, [post], ACCEPTED, release)
    assert isinstance(sold, LeadDelivered)


def test_after_a_crash_an_error_does_not_pass_on_a_lead_that_may_be_sold() -> None:
    tables, release, slip = crashed(idempotent=True)
    _, posts = plan(tables, offer("x", slip), release=release)
    attempt, held, _ = settle(tables, posts, Answer(Outcome.ERROR, Reason.BUYER_UNREACHABLE, posts=0), release)
    assert (attempt.outcome, attempt.reason) == ("unknown", Reason.BUYER_UNREACHABLE)
    assert isinstance(held, LeadUndelivered)
    assert held.reason == Reason.OUTCOME_UNKNOWN
    assert list(tables[COUNTERS].values()) == [1]


def test_after_a_crash_a_buyers_no_is_a_no() -> None:
    tables, release, slip = crashed(idempotent=True)
    _, posts = plan(tables, offer("x", slip), release=release)
    _, following, _ = settle(tables, posts, Answer(Outcome.REJECTED), release)
    assert isinstance(following, Offer)
    assert list(tables[COUNTERS].values()) == [0]


def test_after_a_crash_a_buyer_that_knows_no_keys_is_not_asked_again() -> None:
    tables, release, slip = crashed(idempotent=False)
    for run in (0, 1):
        outputs, posts = plan(tables, offer("x", slip, run=run), release=release)
        assert posts == []
        assert [type(e) for e in outputs] == [Delivery, LeadUndelivered]
        assert outputs[1].reason == Reason.OUTCOME_UNKNOWN
    assert list(tables[COUNTERS].values()) == [1]


def test_after_a_crash_a_campaign_that_is_gone_leaves_its_outcome_open() -> None:
    tables, _, slip = crashed(idempotent=True)
    outputs, posts = plan(tables, offer("x", slip), release=configuration(TWO))
    assert posts == []
    assert outputs[1].reason == Reason.OUTCOME_UNKNOWN
    assert list(tables[COUNTERS].values()) == [1]


def test_a_campaign_that_is_gone_is_passed_over() -> None:
    outputs, posts = plan(Tables(), offer("x", SLIP), release=configuration(TWO))
    assert posts == []
    assert [type(e) for e in outputs] == [Delivery, Offer]
    assert outputs[0].reason == Reason.CAMPAIGN_UNKNOWN


def moved() -> tuple[Configuration, Configuration, Offer]:
    """A campaign of b1, the same of b2, and an offer to it while it was b1's; the two are one company."""
    accounts = [Buyer(id=name, name=name, parent="sun", credit=Decimal(100)) for name in ("b1", "b2")]
    first, second = (campaign("one", buyer=name, price="40") for name in ("b1", "b2"))
    leg = Candidate(campaign="one", buyer="b1", company="sun", price=Decimal(40), exclusive=True, tier=0)
    two = Candidate(campaign="two", buyer="two", company="two", price=Decimal(20), exclusive=True, tier=0)
    before, after = (configuration(one, TWO, buyers=accounts) for one in (first, second))
    return before, after, offer("x", slip([leg, two]))


def test_a_campaign_that_another_buyer_has_now_is_passed_over() -> None:
    """Another buyer's money would be spent on a lead that the events say the first one has."""
    _, after, sent = moved()
    tables = Tables()
    (attempt, following), posts = plan(tables, sent, release=after)
    assert posts == []
    assert (attempt.outcome, attempt.buyer, attempt.reason) == ("skipped", "b1", Reason.CAMPAIGN_UNKNOWN)
    assert isinstance(following, Offer)
    assert following.cursor == 1
    assert [entry.buyer for entry in tables[LEDGER].values()] == ["b1"]
    assert list(tables[TOTALS].values()) == []


def test_a_post_under_way_is_charged_to_the_buyer_that_it_was_made_to() -> None:
    before, after, sent = moved()
    tables = Tables()
    _, posts = plan(tables, sent, release=before)
    _, sold, *_ = settle(tables, posts, ACCEPTED, after)
    assert isinstance(sold, LeadDelivered)
    assert (sold.buyer, [entry.buyer for entry in tables[LEDGER].values()]) == ("b1", ["b1"])
    assert dict(tables.store.items(TOTALS)) == {"buyer:b1:total:spend::UTC:": 400_000}


def test_after_a_crash_another_buyer_is_not_asked_in_place_of_the_first() -> None:
    """It does not know the first post's key, so the lead could be sold to both."""
    before, after, sent = moved()
    tables = Tables()
    plan(tables, sent, release=before)
    (attempt, held), posts = plan(tables, sent, release=after)
    assert posts == []
    assert (attempt.outcome, attempt.buyer, held.reason) == ("unknown", "b1", Reason.OUTCOME_UNKNOWN)
    assert dict(tables.store.items(TOTALS)) == {"buyer:b1:total:spend::UTC:": 400_000}


def test_an_offer_of_an_earlier_run_is_told_nothing_of_the_sale_since() -> None:
    tables = Tables()
    settle(tables, plan(tables, sent := offer("x", SLIP, decision=1))[1], Answer(Outcome.ERROR))
    settle(tables, plan(tables, offer("x", SLIP, run=1))[1], ACCEPTED)
    assert plan(tables, sent) == ([], [])


def test_row_4_lead_level_test_flag_is_routed_and_never_posted() -> None:
    """It shows where it would have gone, costs nobody a place under a cap, and ends there."""
    tables = Tables()
    sent = offer("x", SLIP)
    flagged = sent.model_copy(update={"lead": sent.lead.model_copy(update={"test": True})})
    for _ in range(2):
        (attempt, ended), posts = plan(tables, flagged)
        assert posts == []
        assert isinstance(attempt, Delivery)
        assert (attempt.campaign, attempt.outcome, attempt.reason) == ("one", "skipped", Reason.LEAD_TEST)
        assert isinstance(ended, LeadUndelivered)
        assert (ended.reason, [d.campaign for d in ended.declines]) == (Reason.LEAD_TEST, ["one"])
    assert statuses(tables) == [Status.SKIPPED]
    _, posts = plan(tables, offer("y", SLIP), offer("z", SLIP))
    assert len(posts) == 2
