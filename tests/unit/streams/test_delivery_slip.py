"""Passing a lead on along its slip: how often it is sold, to whom, until when, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import NOW, campaign, configuration, context, offer, slip

from connectors.outbound.contract import Answer
from schemas.config.buyer import Buyer
from schemas.config.source import Source
from schemas.decision import Candidate, Slip, Tier
from schemas.events import Decline, Delivery, LeadDelivered, LeadUndelivered, Offer, Outcome, Sale
from schemas.identity import Step, event_id, idempotency_key
from schemas.reasons import Reason
from streams.delivery.slip import following, is_late, unsold_reason
from streams.delivery.stage import DeliveryStage, Post
from streams.tables import Tables

COMPANIES = 4
YES, NO, TWICE, FAILED, SILENT = (
    Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE, Outcome.ERROR, Outcome.UNKNOWN,
)  # fmt: skip
BUYERS = [Buyer(id=f"buyer-{n}", name=f"Buyer {n}", parent=f"company-{n % COMPANIES}") for n in range(2 * COMPANIES)]
CAMPAIGNS = [campaign(f"campaign-{n}", buyer=buyer.id, price="10") for n, buyer in enumerate(BUYERS)]
ACME = Source(id="quoteharbor", payout=Decimal(4), revshare=Decimal(10))
RELEASE = configuration(*CAMPAIGNS, buyers=BUYERS, sources=[ACME])


def leg(number: int, *, exclusive: bool = False, tier: int = 0, price: str = "10") -> Candidate:
    """The leg of a campaign; those of equal remainder by the number of companies are of one company."""
    buyer = BUYERS[number]
    return Candidate(
        campaign=CAMPAIGNS[number].id,
        buyer=buyer.id,
        company=buyer.company,
        price=Decimal(price),
        exclusive=exclusive,
        tier=tier,
    )


def tier(name: str, max_sales: int | None = None, *, stop: bool = False, unsold: bool = False) -> Tier:
    return Tier(name=name, max_sales=max_sales, stop=stop, unsold=unsold)


@dataclass
class Told:
    """Everything that came of a lead."""

    attempts: list[Delivery] = field(default_factory=list)
    sold: list[LeadDelivered] = field(default_factory=list)
    unsold: list[LeadUndelivered] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)

    @property
    def asked(self) -> list[int]:
        return [attempt.attempt % 500 for attempt in self.attempts]


def pass_along(
    first: Offer, answers: Sequence[Outcome], tables: Tables | None = None, seconds: float = 0.0, now: datetime = NOW
) -> Told:
    """A lead on its way along its slip; each answer takes so many seconds, and the last repeats."""
    stage, tables, told, waiting = DeliveryStage(), tables or Tables(), Told(), [first]
    while waiting:
        told.offers.append(arrival := waiting.pop())
        plan = stage.plan([arrival], tables, context(RELEASE, now))
        outputs = list(plan.outputs)
        for _, post in plan.effects:
            outcome = answers[min(len(told.posts), len(answers) - 1)]
            told.posts.append(post)
            now += timedelta(seconds=seconds)
            outputs += stage.settle([(post, Answer(outcome))], tables, context(RELEASE, now)).outputs
        tables.commit()
        for output in outputs:
            event: Any = output.value
            if isinstance(event, Offer):
                assert output.key == event.slip.candidates[event.cursor].company.encode()
                waiting.append(event)
            else:
                {Delivery: told.attempts, LeadDelivered: told.sold, LeadUndelivered: told.unsold}[type(event)].append(
                    event
                )
    # Each attempt says what its leg was, and the last one that it is the last.
    assert [attempt.over for attempt in told.attempts] == [False] * (len(told.attempts) - 1) + [True] * bool(
        told.attempts
    )
    for attempt in told.attempts:
        own = first.slip.candidates[attempt.attempt % 500]
        assert (attempt.company, attempt.exclusive) == (own.company, own.exclusive)
        assert (attempt.route, attempt.tier) == (first.slip.route, first.slip.tiers[own.tier].name)
        assert attempt.decision == first.decision
    return told


@pytest.mark.parametrize(
    ("max_sales", "answers", "asked", "sold"),
    [
        (1, [YES], [0], [0]),
        (2, [YES], [0, 1], [0, 1]),
        (3, [YES], [0, 1, 2], [0, 1, 2]),
        (9, [YES], [0, 1, 2, 3], [0, 1, 2, 3]),
        (2, [NO, YES, NO, YES], [0, 1, 2, 3], [1, 3]),
        (2, [YES, FAILED, NO, TWICE], [0, 1, 2, 3], [0]),
        (2, [SILENT, YES], [0, 1], [1]),  # perhaps sold: the second is the last
        (2, [SILENT, SILENT], [0, 1], []),
    ],
)
def test_row_21_multi_sell_with_max_buyers_n(
    max_sales: int, answers: list[Outcome], asked: list[int], sold: list[int]
) -> None:
    told = pass_along(offer("x", slip([leg(n) for n in range(4)], max_sales=max_sales)), answers)
    assert told.asked == asked
    assert [event.campaign for event in told.sold] == [CAMPAIGNS[n].id for n in sold]
    assert [event.reason for event in told.unsold] == ([] if sold else [Reason.OUTCOME_UNKNOWN])


def test_row_21_a_group_has_its_own_max() -> None:
    legs = [leg(0), leg(1), leg(2, tier=1), leg(3, tier=1)]
    limited = slip(legs, max_sales=3, tiers=[tier("first", 1), tier("second")])
    assert pass_along(offer("x", limited), [YES]).asked == [0, 2, 3]
    stopped = slip(legs, max_sales=3, tiers=[tier("first", stop=True), tier("second")])
    assert pass_along(offer("x", stopped), [NO, YES]).asked == [0, 1]
    assert pass_along(offer("x", stopped), [NO, NO, YES]).asked == [0, 1, 2, 3]
    overflow = slip(legs, max_sales=3, tiers=[tier("first"), tier("overflow", unsold=True)])
    assert pass_along(offer("x", overflow), [NO, YES]).asked == [0, 1]
    assert pass_along(offer("x", overflow), [NO, SILENT]).asked == [0, 1]
    assert pass_along(offer("x", overflow), [NO]).asked == [0, 1, 2, 3]
    assert pass_along(offer("x", overflow), [NO, NO, YES]).asked == [0, 1, 2]


def test_an_exclusive_leg_is_nobody_elses_lead() -> None:
    """Sold alone, or not asked once somebody has it; where its outcome is unknown, the lead is held."""
    first = slip([leg(0, exclusive=True), leg(1), leg(2)], max_sales=3)
    assert pass_along(offer("x", first), [YES]).asked == [0]
    assert pass_along(offer("x", first), [NO, YES]).asked == [0, 1, 2]
    held = pass_along(offer("x", first), [SILENT])
    assert (held.asked, [event.reason for event in held.unsold]) == ([0], [Reason.OUTCOME_UNKNOWN])
    later = slip([leg(0), leg(1, exclusive=True), leg(2)], max_sales=3)
    assert pass_along(offer("x", later), [YES]).asked == [0, 2]
    assert pass_along(offer("x", later), [NO, YES]).asked == [0, 1]


def test_a_hybrid_campaign_is_asked_for_each_of_its_legs() -> None:
    both = slip([leg(0, exclusive=True, price="25"), leg(0, price="10")], max_sales=2)
    told = pass_along(offer("x", both), [NO, YES])
    assert [(event.price, event.exclusive) for event in told.sold] == [(Decimal(10), False)]
    keys = [idempotency_key(told.offers[0].lead_id, "campaign-0", exclusive=kind) for kind in (True, False)]
    assert [post.key for post in told.posts] == keys


def test_row_23_same_buyer_and_parent_company_exclusion() -> None:
    """Numbers 0 and 4 are of one company, and so are 1 and 5."""
    legs = slip([leg(0), leg(4), leg(1), leg(5)], max_sales=4)
    assert pass_along(offer("x", legs), [YES]).asked == [0, 2]
    assert pass_along(offer("x", legs), [TWICE, YES]).asked == [0, 2]  # it has the lead: so has its company
    assert pass_along(offer("x", legs), [SILENT, YES]).asked == [0, 2]  # perhaps it has
    assert pass_along(offer("x", legs), [NO]).asked == [0, 1, 2, 3]
    assert pass_along(offer("x", legs), [FAILED]).asked == [0, 1, 2, 3]
    # What a company said stands after a sale to another.
    between = slip([leg(0), leg(1), leg(4)], max_sales=3)
    assert pass_along(offer("x", between), [TWICE, YES]).asked == [0, 1]


def test_row_19_whole_lead_routing_time_budget() -> None:
    """Nobody is asked after the deadline, whoever answered late; what was sold by then is sold."""
    legs = [leg(n) for n in range(4)]
    timed = slip(legs, max_sales=4, deadline=NOW + timedelta(seconds=10))
    assert pass_along(offer("x", timed), [NO], seconds=5).asked == [0, 1, 2]
    late = pass_along(offer("x", timed), [NO], seconds=5)
    assert [(event.reason, len(event.declines)) for event in late.unsold] == [(Reason.TIME_BUDGET, 3)]
    sold = pass_along(offer("x", timed), [NO, YES], seconds=6)
    assert (sold.asked, len(sold.sold), sold.unsold) == ([0, 1], 1, [])
    held = pass_along(offer("x", timed), [SILENT], seconds=11)
    assert [event.reason for event in held.unsold] == [Reason.OUTCOME_UNKNOWN]


def test_row_19_an_offer_that_comes_late_is_not_posted() -> None:
    timed = slip([leg(0), leg(1)], deadline=NOW + timedelta(seconds=10))
    told = pass_along(offer("x", timed), [YES], now=NOW + timedelta(seconds=11))
    assert told.posts == []
    assert [(event.outcome, event.reason) for event in told.attempts] == [("skipped", Reason.TIME_BUDGET)]
    assert [event.reason for event in told.unsold] == [Reason.TIME_BUDGET]
    punctual = pass_along(offer("x", timed), [YES], now=NOW + timedelta(seconds=10))
    assert len(punctual.sold) == 1
    # The last of the slip, whom nobody comes after, is late all the same.
    last = slip([leg(0)], deadline=NOW)
    late = pass_along(offer("x", last), [YES], now=NOW + timedelta(seconds=1))
    assert [event.reason for event in late.unsold] == [Reason.TIME_BUDGET]


def test_a_source_is_paid_once_a_lead_and_its_share_of_each_price() -> None:
    legs = slip([leg(0, price="20"), leg(1, price="12.3456"), leg(2, price="10")], max_sales=3)
    told = pass_along(offer("x", legs), [YES, NO, YES])
    assert [event.payout for event in told.sold] == [Decimal("6.0000"), Decimal("1.0000")]
    told = pass_along(offer("x", legs), [NO, YES])
    assert [event.payout for event in told.sold] == [Decimal("5.2346"), Decimal("1.0000")]
    unsure = pass_along(offer("x", legs), [SILENT, YES])  # perhaps sold: nobody pays for that
    assert [event.payout for event in unsure.sold] == [Decimal("5.2346"), Decimal("1.0000")]
    again = pass_along(offer("x", legs.model_copy(update={"paid": True}), decision=1), [YES])
    assert [event.payout for event in again.sold] == [Decimal("2.0000"), Decimal("1.2346"), Decimal("1.0000")]
    strange = pass_along(offer("x", legs, source="nobody"), [YES])
    assert {event.payout for event in strange.sold} == {Decimal(0)}


def test_each_sale_is_told_at_once_with_the_declines_since_the_one_before() -> None:
    legs = [leg(0), leg(1), leg(2, tier=1), leg(3, tier=1)]
    told = pass_along(
        offer("x", slip(legs, max_sales=3, tiers=[tier("gold"), tier("silver")]), decision=2), [NO, YES, FAILED, YES]
    )
    assert [(e.attempt, e.tier, e.company, e.decision, e.route) for e in told.sold] == [
        (1000, "gold", "company-1", 2, "all"),
        (1001, "silver", "company-3", 2, "all"),
    ]
    assert [[decline.cursor for decline in event.declines] for event in told.sold] == [[0], [2]]
    assert [event.attempt for event in told.attempts] == [1000, 1001, 1002, 1003]
    lead = told.offers[0].lead_id
    assert [event.event_id for event in told.offers] == [event_id(lead, Step.OFFER, 0, 1000 + n) for n in range(4)]
    assert told.unsold == []


def test_a_lead_that_is_decided_again_asks_again_where_nobody_said_no() -> None:
    """A held lead is decided about again in the same run."""
    tables, legs = Tables(), slip([leg(0), leg(1), leg(2)], max_sales=3)
    first = pass_along(offer("x", legs), [FAILED, NO, FAILED], tables)
    assert (len(first.posts), first.unsold[0].attempt) == (3, 0)
    repeated = pass_along(offer("x", legs), [YES], tables)
    assert (repeated.posts, repeated.unsold) == ([], first.unsold)  # the same decision: the ledger answers
    second = pass_along(offer("x", legs, decision=1), [YES], tables)
    assert [post.campaign.id for post in second.posts] == ["campaign-0", "campaign-2"]
    assert [event.attempt for event in second.sold] == [500, 501]


def test_an_offer_of_a_decision_that_was_made_anew_is_told_nothing() -> None:
    """It was told all; told again by what the ledger says now, one sale would be two."""
    tables, legs = Tables(), slip([leg(0), leg(1)], max_sales=2)
    pass_along(offer("x", legs), [FAILED], tables)
    assert len(pass_along(offer("x", legs, decision=1), [YES], tables).sold) == 2
    for old in (offer("x", legs), offer("x", legs, cursor=1)):
        told = pass_along(old, [YES], tables)
        assert (told.posts, told.attempts, told.sold, told.unsold) == ([], [], [], [])


def test_a_campaign_that_now_belongs_to_another_company_is_passed_over() -> None:
    moved = leg(0).model_copy(update={"company": "company-of-before"})
    told = pass_along(offer("x", slip([moved, leg(1)])), [YES])
    assert (told.attempts[0].outcome, told.attempts[0].reason) == ("skipped", Reason.CAMPAIGN_UNKNOWN)
    assert [event.campaign for event in told.sold] == ["campaign-1"]


# For any slip, whatever the buyers answer


@st.composite
def slips(draw: st.DrawFn) -> Slip:
    names = ["first", "second", "third"][: draw(st.integers(1, 3))]
    limits = st.none() | st.integers(1, 3)
    tiers = [tier(n, draw(limits), stop=draw(st.booleans()), unsold=draw(st.booleans())) for n in names]
    numbers = st.integers(0, len(BUYERS) - 1)
    keys = st.tuples(numbers, st.booleans())  # a campaign has one leg of each kind at most
    chosen = draw(st.lists(keys, min_size=1, max_size=9, unique=True))
    legs = [leg(n, exclusive=exclusive, tier=draw(st.integers(0, len(tiers) - 1))) for n, exclusive in chosen]
    deadline = draw(st.none() | st.integers(0, 6).map(lambda s: NOW + timedelta(seconds=s)))
    return slip(legs, tiers=tiers, max_sales=draw(st.integers(1, 4)), deadline=deadline)


OUTCOMES = st.lists(st.sampled_from([YES, YES, NO, TWICE, FAILED, SILENT]), min_size=1, max_size=9)


@settings(max_examples=400, deadline=None)
@given(slips(), OUTCOMES)
def test_no_limit_of_a_slip_is_ever_exceeded(on: Slip, answers: list[Outcome]) -> None:
    told = pass_along(offer("x", on), answers, seconds=1)
    assert told.asked == sorted(set(told.asked)), "a leg twice, or one before"
    sold: list[Candidate] = []
    companies: set[str] = set()
    for attempt in told.attempts:
        asked = on.candidates[attempt.attempt]
        posted = attempt.outcome != Outcome.SKIPPED
        if posted:
            assert len(sold) < on.max_sales
            assert asked.company not in companies
            assert not any(one.exclusive for one in sold)
            assert not (asked.exclusive and sold)
            own = on.tiers[asked.tier]
            assert own.max_sales is None or sum(one.tier == asked.tier for one in sold) < own.max_sales
            assert not (own.unsold and sold)
            assert not any(on.tiers[one.tier].stop and one.tier < asked.tier for one in sold)
        if attempt.outcome in (YES, SILENT):
            sold.append(asked)
        if attempt.outcome in (YES, SILENT, TWICE):
            companies.add(asked.company)
    # Each post takes a second: the deadline lets so many begin.
    assert on.deadline is None or len(told.posts) <= (on.deadline - NOW).total_seconds() + 1
    # Exactly one of: sold to somebody, or not.
    accepted = [attempt for attempt in told.attempts if attempt.outcome == YES]
    assert [event.campaign for event in told.sold] == [attempt.campaign for attempt in accepted]
    assert len(told.unsold) == (0 if accepted else 1)
    assert sum((event.payout for event in told.sold), Decimal(0)) == (4 + len(accepted) if accepted else 0)
    ids = [event.event_id for events in (told.attempts, told.sold, told.unsold, told.offers) for event in events]
    assert len(ids) == len(set(ids))


@settings(max_examples=100, deadline=None)
@given(slips(), OUTCOMES)
def test_a_slip_that_comes_again_is_told_alike_and_posted_to_nobody(on: Slip, answers: list[Outcome]) -> None:
    tables = Tables()
    first = pass_along(offer("x", on), answers, tables, seconds=1)
    again = pass_along(offer("x", on), [YES], tables, now=NOW + timedelta(days=1))
    assert again.posts == []
    assert (again.attempts, again.sold, again.unsold) == (first.attempts, first.sold, first.unsold)


@given(slips())
def test_who_is_next_follows_from_what_became_of_the_legs_before(on: Slip) -> None:
    assert following(on, len(on.candidates) - 1, [], []) is None
    everybody = [Sale(cursor=n, unknown=False) for n in range(len(on.candidates))]
    assert following(on, -1, everybody, []) is None
    declined = [
        Decline(cursor=n, campaign=one.campaign, buyer=one.buyer, reason=Reason.BUYER_DUPLICATE)
        for n, one in enumerate(on.candidates)
    ]
    assert following(on, -1, [], declined) is None
    assert following(on, -1, [], []) == 0


def test_why_a_lead_is_unsold() -> None:
    sold, perhaps = Sale(cursor=0, unknown=False), Sale(cursor=1, unknown=True)
    assert unsold_reason([perhaps, sold], late=True) is None
    assert unsold_reason([perhaps], late=True) is Reason.OUTCOME_UNKNOWN
    assert unsold_reason([], late=True) is Reason.TIME_BUDGET
    assert unsold_reason([], late=False) is Reason.ALL_DECLINED
    assert not is_late(slip([leg(0)]), NOW + timedelta(days=9))


def test_a_sale_of_an_earlier_decision_is_not_told_as_one_of_a_later() -> None:
    tables, now = Tables(), context(configuration(campaign("a"), campaign("b")))
    stage = DeliveryStage()

    def deliver(decision: int) -> list[Any]:
        plan = stage.plan([offer("x", [campaign("a"), campaign("b")], decision=decision)], tables, now)
        results = [(effect, Answer(Outcome.ACCEPTED)) for _, effect in plan.effects]
        outputs = plan.outputs + (stage.settle(results, tables, now).outputs if results else [])
        tables.commit()
        return [output.value for output in outputs]

    assert [type(event).__name__ for event in deliver(0)] == ["Delivery", "LeadDelivered"]
    attempt, passed_on = deliver(1)
    assert (attempt.outcome, attempt.reason) == ("duplicate", Reason.BUYER_DUPLICATE)
    assert (passed_on.cursor, passed_on.declines[0].reason) == (1, Reason.BUYER_DUPLICATE)
