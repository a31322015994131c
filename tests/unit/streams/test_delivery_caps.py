"""Caps in the ledger: what counts, in which window, since when; and that one more is never sold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from kit.builders import NOW, campaign, cap, configuration, context, offer, slip

from connectors.outbound.contract import Answer
from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.cap import CapCounts
from schemas.config.release import Configuration
from schemas.config.source import Source
from schemas.decision import Candidate
from schemas.events import Delivery, Outcome
from schemas.reasons import Reason
from streams.delivery import counters
from streams.delivery.ledger import LEDGER
from streams.delivery.stage import DeliveryStage, Post
from streams.tables import Tables

SOURCES = [Source(id="quoteharbor"), Source(id="acme")]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Seller:
    """A partition that is offered leads, each a new one."""

    def __init__(self, *campaigns: Campaign, buyers: Iterable[Buyer] = ()) -> None:
        self.stage, self.tables = DeliveryStage(), Tables()
        self.names: Iterator[int] = count()
        self.configure(*campaigns, buyers=buyers)

    def configure(self, *campaigns: Campaign, buyers: Iterable[Buyer] = ()) -> Configuration:
        self.release = configuration(*campaigns, buyers=buyers, sources=SOURCES)
        return self.release

    def reserve(self, to: Campaign, now: datetime = NOW, **changes: Any) -> Post | str:
        """A post, or why there is none."""
        price = Decimal(changes.pop("price", to.price))
        company = changes.pop("company", to.buyer)
        leg = Candidate(campaign=to.id, buyer=to.buyer, company=company, price=price, exclusive=True, tier=0)
        arrival = changes.pop("again", None) or offer(next(self.names), slip([leg]), **changes)
        plan = self.stage.plan([arrival], self.tables, context(self.release, now))
        self.tables.commit(now)
        if plan.effects:
            return plan.effects[0][1]
        (attempt,) = (output.value for output in plan.outputs if isinstance(output.value, Delivery))
        assert attempt.reason is not None
        return attempt.reason

    def answer(
        self, post: Post | str, outcome: Outcome = Outcome.ACCEPTED, now: datetime = NOW, posts: int = 1
    ) -> None:
        assert isinstance(post, Post), post
        self.stage.settle([(post, Answer(outcome, posts=posts))], self.tables, context(self.release, now))
        self.tables.commit(now)

    def sell(self, to: Campaign, now: datetime = NOW, **changes: Any) -> str:
        """Sold, or why it is not."""
        found = self.reserve(to, now, **changes)
        if isinstance(found, str):
            return found
        self.answer(found, now=now)
        return "sold"

    def counted(self) -> dict[str, int]:
        """Every counter that is not 0."""
        stored = [*self.tables.store.items(counters.COUNTERS), *self.tables.store.items(counters.TOTALS)]
        return {key: number for key, number in stored if number}

    def counted_anew(self) -> dict[str, int]:
        """The same, summed up over the entries by counts that are new."""
        fresh = Tables()
        for key, entry in self.tables.store.items(LEDGER):
            fresh[LEDGER][key] = entry
        for kept in self.tables[counters.KEPT].values():
            counters.keep(fresh, counters.count_set(kept.counts))
        fresh.commit()
        stored = [*fresh.store.items(counters.COUNTERS), *fresh.store.items(counters.TOTALS)]
        return {key: number for key, number in stored if number}


NEW_YORK, KOLKATA, LORD_HOWE = "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"
WINDOWS = [
    # window, zone, sold at, still full at, sold again at
    ("hour", "UTC", "2026-03-04T17:00", "2026-03-04T17:59:59", "2026-03-04T18:00"),
    ("hour", KOLKATA, "2026-03-04T17:00", "2026-03-04T17:29:59", "2026-03-04T17:30"),
    ("hour", NEW_YORK, "2026-03-08T06:59", "2026-03-08T06:59:59", "2026-03-08T07:00"),  # 1:59, then 3:00
    ("hour", NEW_YORK, "2026-11-01T05:00", "2026-11-01T05:59:59", "2026-11-01T06:00"),  # 1:00, then 1:00 once more
    ("hour", NEW_YORK, "2026-11-01T06:00", "2026-11-01T06:59:59", "2026-11-01T07:00"),
    ("hour", LORD_HOWE, "2026-04-04T14:00", "2026-04-04T15:29:59", "2026-04-04T15:30"),  # an hour of 90 minutes
    ("day", "UTC", "2026-03-04T00:00", "2026-03-04T23:59:59", "2026-03-05T00:00"),
    ("day", NEW_YORK, "2026-03-08T05:00", "2026-03-09T03:59:59", "2026-03-09T04:00"),  # 23 hours
    ("day", NEW_YORK, "2026-11-01T04:00", "2026-11-02T04:59:59", "2026-11-02T05:00"),  # 25 hours
    ("day", KOLKATA, "2026-03-04T18:30", "2026-03-05T18:29:59", "2026-03-05T18:30"),
    ("week", NEW_YORK, "2026-03-02T05:00", "2026-03-09T03:59:59", "2026-03-09T04:00"),  # from Monday
    ("month", NEW_YORK, "2026-03-01T05:00", "2026-04-01T03:59:59", "2026-04-01T04:00"),
    ("month", "UTC", "2026-12-01T00:00", "2026-12-31T23:59:59", "2027-01-01T00:00"),
    ("total", NEW_YORK, "2026-03-01T05:00", "2036-01-01T00:00", None),
]  # fmt: skip


@pytest.mark.parametrize(("window", "zone", "first", "full", "free"), WINDOWS)
def test_row_33_hour_day_week_month_total_caps(window: str, zone: str, first: str, full: str, free: str | None) -> None:
    one = campaign("one", caps=(cap(1, window),), time_zone=zone)
    seller = Seller(one)
    assert seller.sell(one, utc(first)) == "sold"
    assert seller.sell(one, utc(full)) == f"cap.{window}"
    if free is not None:
        assert seller.sell(one, utc(free)) == "sold"


def test_row_33_all_caps_hold_at_once() -> None:
    one = campaign("one", caps=(cap(1, "hour"), cap(2, "day"), cap(3, "total")))
    seller = Seller(one)
    hours = [seller.sell(one, NOW.replace(hour=0) + timedelta(hours=n / 2)) for n in range(5)]
    assert hours == ["sold", "cap.hour", "sold", "cap.hour", "cap.day"]
    assert [seller.sell(one, NOW + timedelta(days=n)) for n in (1, 2)] == ["sold", "cap.total"]
    assert seller.counted() == seller.counted_anew()


def test_a_limit_of_0_takes_nothing() -> None:
    for counts in CapCounts:
        one = campaign("one", price="0", caps=(cap(0, counts=counts),))
        assert Seller(one).sell(one) == "cap.day"


def test_row_34_spend_caps() -> None:
    """What is paid stays within the amount: a lead that would exceed it is not sold, a cheaper one is."""
    one = campaign("one", price="40", caps=(cap("100", "day", counts="spend"),))
    seller = Seller(one)
    assert [seller.sell(one) for _ in range(3)] == ["sold", "sold", "cap.day"]
    assert [seller.sell(one, price="20.0001"), seller.sell(one, price="20"), seller.sell(one, price="0.0001")] == [
        "cap.day", "sold", "cap.day",
    ]  # fmt: skip
    assert seller.sell(one, NOW + timedelta(days=1)) == "sold"


def test_row_34_a_buyers_credit_is_over_all_of_its_campaigns() -> None:
    one, two = (campaign(name, buyer="sun", price="40") for name in ("one", "two"))
    seller = Seller(one, two, buyers=[Buyer(id="sun", name="Sun", credit=Decimal(90))])
    assert [seller.sell(to) for to in (one, two, one)] == ["sold", "sold", Reason.CREDIT_EXHAUSTED]
    assert seller.sell(one, NOW + timedelta(days=400)) == Reason.CREDIT_EXHAUSTED
    seller.configure(one, two, buyers=[Buyer(id="sun", name="Sun", credit=Decimal(130))])  # it has paid 40
    assert [seller.sell(two), seller.sell(one)] == ["sold", Reason.CREDIT_EXHAUSTED]


def test_row_34_a_cap_on_all_spend_and_the_credit_are_one_sum() -> None:
    one = campaign("one", price="40")
    buyer = Buyer(id="one", name="One", credit=Decimal(90), caps=(cap("85", "total", counts="spend"),))
    seller = Seller(one, buyers=[buyer])
    assert [seller.sell(one) for _ in range(3)] == ["sold", "sold", "cap.total"]
    assert list(seller.counted().values()) == [800_000]


def test_row_35_per_source_caps() -> None:
    one = campaign("one", caps=(cap(2, "day"), cap(1, "day", source="acme")))
    seller = Seller(one)
    assert [seller.sell(one, source=name) for name in ("acme", "acme", "quoteharbor", "quoteharbor")] == [
        "sold", "cap.day", "sold", "cap.day",
    ]  # fmt: skip
    nobodys = campaign("two", caps=(cap(0, "total", source="acme"),))
    seller.configure(nobodys)
    assert [seller.sell(nobodys, source=name) for name in ("acme", "quoteharbor")] == ["cap.total", "sold"]
    assert seller.counted() == seller.counted_anew()


OUTCOMES = [
    # what became of the first lead, and for which counts there is no room for a second
    (Outcome.ACCEPTED, 1, {"accepted", "sent", "spend"}),
    (Outcome.REJECTED, 1, {"sent"}),
    (Outcome.DUPLICATE, 1, {"sent"}),
    (Outcome.ERROR, 2, {"sent"}),
    (Outcome.ERROR, 0, set()),  # no connection: nothing was sent
    (Outcome.UNKNOWN, 1, {"accepted", "sent", "spend"}),
    (None, 0, {"accepted", "sent", "spend"}),  # not answered yet
]


@pytest.mark.parametrize("counts", list(CapCounts))
@pytest.mark.parametrize(("outcome", "posts", "full"), OUTCOMES)
def test_row_36_choice_of_what_a_cap_counts(
    outcome: Outcome | None, posts: int, full: set[str], counts: CapCounts
) -> None:
    one = campaign("one", price="10", caps=(cap(10 if counts is CapCounts.SPEND else 1, counts=counts),))
    seller = Seller(one)
    post = seller.reserve(one)
    assert seller.reserve(one) == "cap.day"
    if outcome is not None:
        seller.answer(post, outcome, posts=posts)
    assert seller.sell(one) == ("cap.day" if counts in full else "sold")
    assert seller.counted() == seller.counted_anew()


def test_row_36_a_lead_that_is_sent_again_was_sent_twice() -> None:
    """A replay posts it anew; each post counts in the window it was reserved in."""
    one = campaign("one", caps=(cap(9, counts="sent"), cap(9)))
    seller = Seller(one)
    post = seller.reserve(one)
    seller.answer(post, Outcome.ERROR)
    assert isinstance(post, Post)
    again = post.offer.model_copy(update={"run": 1})
    seller.answer(seller.reserve(one, NOW + timedelta(days=1), again=again), now=NOW + timedelta(days=1))
    assert seller.counted() == {
        "campaign:one:day:sent::UTC:2026-03-04T00:00Z": 1,
        "campaign:one:day:sent::UTC:2026-03-05T00:00Z": 1,
        "campaign:one:day:accepted::UTC:2026-03-05T00:00Z": 1,
    }
    assert seller.counted() == seller.counted_anew()


def test_row_37_per_buyer_and_per_cap_time_zone() -> None:
    """The cap's own zone, else the campaign's or the buyer's. It is 17:00 in London when it is noon in New York."""
    here = campaign("one", buyer="sun", caps=(cap(1), cap(2, "week", time_zone=KOLKATA)), time_zone=NEW_YORK)
    seller = Seller(here, buyers=[Buyer(id="sun", name="Sun", time_zone=LORD_HOWE, caps=(cap(9),))])
    seller.reserve(here)
    assert sorted(seller.counted()) == [
        "buyer:sun:day:accepted::Australia/Lord_Howe:2026-03-04T13:00Z",
        "campaign:one:day:accepted::America/New_York:2026-03-04T05:00Z",
        "campaign:one:week:accepted::Asia/Kolkata:2026-03-01T18:30Z",
    ]
    midnight = utc("2026-03-05T05:00")
    assert seller.sell(here, midnight - timedelta(seconds=1)) == "cap.day"
    assert seller.sell(here, midnight) == "sold"


def test_a_buyers_caps_are_over_all_of_its_campaigns() -> None:
    one, two, other = campaign("one", buyer="sun"), campaign("two", buyer="sun"), campaign("other", buyer="moon")
    seller = Seller(one, two, other, buyers=[Buyer(id="sun", name="Sun", caps=(cap(2, "hour"),))])
    assert [seller.sell(to) for to in (one, two, two, other)] == ["sold", "sold", "cap.hour", "sold"]


def test_a_place_returns_to_the_window_it_was_taken_from() -> None:
    """Reserved before midnight, declined after it: the new day has lost nothing and won nothing."""
    one = campaign("one", caps=(cap(1),))
    seller = Seller(one)
    tonight, tomorrow = utc("2026-03-04T23:59:59"), utc("2026-03-05T00:00:01")
    post = seller.reserve(one, tonight)
    assert seller.sell(one, tomorrow) == "sold"
    seller.answer(post, Outcome.REJECTED, tomorrow)
    assert seller.sell(one, tomorrow) == "cap.day"
    assert seller.counted() == {"campaign:one:day:accepted::UTC:2026-03-05T00:00Z": 1}


def test_an_acceptance_counts_in_the_window_of_its_reservation() -> None:
    one = campaign("one", caps=(cap(1),))
    seller = Seller(one)
    post = seller.reserve(one, utc("2026-03-04T23:59:59"))
    seller.answer(post, now=utc("2026-03-05T00:00:01"))
    assert seller.sell(one, utc("2026-03-05T00:00:02")) == "sold"


def test_a_new_cap_counts_what_was_sold_before_it_and_is_summed_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = campaign("one")
    seller = Seller(one)
    held = seller.reserve(one)
    assert [seller.sell(one) for _ in range(2)] == ["sold", "sold"]
    capped = one.model_copy(update={"caps": (cap(3), cap(3, "total"))})
    seller.configure(capped)
    assert seller.sell(capped) == "cap.day"
    seller.answer(held, Outcome.REJECTED)  # reserved before there was a cap: it gives its place back all the same
    assert seller.sell(capped) == "sold"
    assert seller.sell(capped, NOW + timedelta(days=1)) == "cap.total"

    def again(*_: object) -> None:
        raise AssertionError("summed up again")

    monkeypatch.setattr(counters, "_sum_up", again)
    assert (
        seller.stage._terms_of(context(seller.release)).limits["one"].refusal(seller.tables, capped.price, "acme", NOW)
        == Reason.CAP_DAY
    )


def scans(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The owners whose new counts each pass over a ledger is for."""
    found: list[set[str]] = []
    sum_up_all = counters._sum_up_all

    def noted(tables: Tables, new: Mapping[str, Iterable[counters.Count]]) -> None:
        found.append(set(new))
        sum_up_all(tables, new)

    monkeypatch.setattr(counters, "_sum_up_all", noted)
    return found


def test_all_that_is_new_in_a_release_is_summed_up_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one", "two", "three")
    plain = [campaign(name) for name in names]
    seller = Seller(*plain)
    assert [seller.sell(to) for to in plain] == ["sold"] * 3
    passes = scans(monkeypatch)
    buyers = [Buyer(id=name, name=name, credit=Decimal(9)) for name in names]
    capped = [to.model_copy(update={"caps": (cap(1),)}) for to in plain]
    seller.configure(*capped, buyers=buyers)
    assert [seller.sell(to) for to in capped] == ["cap.day"] * 3
    assert passes == [{f"{kind}:{name}" for kind in ("campaign", "buyer") for name in names}]
    assert seller.counted() == seller.counted_anew()
    passes.clear()
    seller.stage = DeliveryStage()  # a restart: what is kept is known from the tables
    assert seller.sell(capped[0]) == "cap.day"
    seller.configure(*plain)
    assert seller.sell(plain[0]) == "sold"
    seller.configure(*capped, buyers=buyers)
    assert seller.sell(capped[0]) == "cap.day"
    assert passes == []
    assert seller.counted() == seller.counted_anew()


def test_a_campaign_that_was_sold_nothing_needs_no_pass_over_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    one, new = campaign("one"), campaign("new", caps=(cap(1),))
    seller = Seller(one)
    assert seller.sell(one) == "sold"
    passes = scans(monkeypatch)
    seller.configure(one, new)
    assert [seller.sell(new), seller.sell(new)] == ["sold", "cap.day"]
    seller.configure(one.model_copy(update={"caps": (cap(2),)}), new)
    assert [seller.sell(one), seller.sell(one)] == ["sold", "cap.day"]
    assert passes == [{"campaign:one"}]
    assert seller.counted() == seller.counted_anew()


def test_a_ledger_of_which_nothing_was_counted_yet_is_summed_up() -> None:
    """Its owners are found in it, so that caps of a later release know that they have something to sum up."""
    one = campaign("one")
    before, after = Seller(one), Seller(one)
    assert before.sell(one) == "sold"
    for key, entry in before.tables.store.items(LEDGER):
        after.tables[LEDGER][key] = entry
    after.tables.commit()
    two = campaign("two")
    after.configure(one, two)
    assert after.sell(two) == "sold"
    after.configure(one.model_copy(update={"caps": (cap(1),)}), two)
    assert after.sell(one) == "cap.day"


def test_a_step_that_fails_takes_back_what_it_summed_up() -> None:
    one = campaign("one")
    seller = Seller(one)
    assert seller.sell(one) == "sold"
    capped = one.model_copy(update={"caps": (cap(1),)})
    seller.configure(capped)
    seller.stage.plan([offer("x", slip([capped]))], seller.tables, context(seller.release))
    seller.tables.rollback()
    assert seller.sell(capped) == "cap.day"


def test_what_a_former_buyer_was_sent_stays_its_own() -> None:
    """A campaign that goes to another buyer of the company takes its own counts with it, and not the buyer's."""
    buyers = [Buyer(id=name, name=name, parent="sun", caps=(cap(9, counts="sent"),)) for name in ("b1", "b2")]
    first, second = (campaign("one", buyer=name, caps=(cap(9, counts="sent"),)) for name in ("b1", "b2"))
    seller = Seller(first, buyers=buyers)
    post = seller.reserve(first, company="sun")
    seller.answer(post, Outcome.ERROR)
    assert isinstance(post, Post)
    for run, to in enumerate((second, first, second), 1):
        seller.configure(to, buyers=buyers)
        leg = post.offer.slip.candidates[0].model_copy(update={"buyer": to.buyer})
        again = post.offer.model_copy(update={"run": run, "slip": slip([leg])})
        seller.answer(seller.reserve(to, again=again), Outcome.ERROR)
        day = ":day:sent::UTC:2026-03-04T00:00Z"
        sent = {f"campaign:one{day}": run + 1, f"buyer:b1{day}": 1 + run // 2, f"buyer:b2{day}": (run + 1) // 2}
        assert seller.counted() == sent
        assert seller.counted() == seller.counted_anew()


def test_a_cap_that_is_taken_out_and_put_back_has_counted_on() -> None:
    one = campaign("one", caps=(cap(2),))
    seller = Seller(one)
    held = seller.reserve(one)
    seller.configure(one.model_copy(update={"caps": ()}))
    seller.answer(held, Outcome.REJECTED)
    assert [seller.sell(one) for _ in range(3)] == ["sold", "sold", "sold"]
    seller.configure(one)
    assert seller.sell(one) == "cap.day"
    assert seller.counted() == seller.counted_anew() == {"campaign:one:day:accepted::UTC:2026-03-04T00:00Z": 3}


def test_a_limit_may_be_raised_and_lowered() -> None:
    one = campaign("one", caps=(cap(1),))
    seller = Seller(one)
    assert [seller.sell(one), seller.sell(one)] == ["sold", "cap.day"]
    seller.configure(one.model_copy(update={"caps": (cap(2),)}))
    assert [seller.sell(one), seller.sell(one)] == ["sold", "cap.day"]
    seller.configure(one)
    assert seller.sell(one) == "cap.day"


def test_counters_come_back_from_the_changelog_and_are_not_summed_up() -> None:
    """They are tables like any other: a restart reads them."""
    stored = {spec.name for spec in DeliveryStage().stored_tables}
    assert {spec.name for spec in counters.TABLES} <= stored
    assert counters.TOTALS.expiry is None
    assert counters.COUNTERS.expiry == LEDGER.expiry
