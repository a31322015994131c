"""What the ``capacity`` topic is told of caps: what is used, whether anything fits in, and when it does again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from kit.builders import NOW, campaign, cap, configuration, context, offer, slip

from connectors.outbound.contract import Answer
from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.source import Source
from schemas.decision import Candidate
from schemas.events import Outcome
from schemas.messages import Capacity
from schemas.reasons import Reason
from streams.delivery.capacity import AGAIN, TOLD
from streams.delivery.stage import DeliveryStage, Post
from streams.tables import Tables

SOURCES = [Source(id="acme"), Source(id="quoteharbor")]
MIDNIGHT = NOW.replace(hour=0) + timedelta(days=1)


class Partition:
    """Delivery, and what it has told of capacity."""

    def __init__(self, *campaigns: Campaign, buyers: Iterable[Buyer] = ()) -> None:
        self.stage, self.tables = DeliveryStage(), Tables()
        self.configure(*campaigns, buyers=buyers)

    def configure(self, *campaigns: Campaign, buyers: Iterable[Buyer] = ()) -> None:
        self.release = configuration(*campaigns, buyers=buyers, sources=SOURCES)

    def reserve(
        self, to: Campaign, *names: str, now: datetime = NOW, company: str | None = None, **changes: Any
    ) -> list[Post]:
        leg = Candidate(
            campaign=to.id, buyer=to.buyer, company=company or to.buyer, price=to.price, exclusive=True, tier=0
        )
        offers = [offer(name, slip([leg]), **changes) for name in names]
        plan = self.stage.plan(offers, self.tables, context(self.release, now))
        return self.done(plan.outputs, [post for _, post in plan.effects])

    def answer(self, posts: list[Post], outcome: Outcome = Outcome.ACCEPTED, now: datetime = NOW) -> None:
        results = [(post, Answer(outcome)) for post in posts]
        self.done(self.stage.settle(results, self.tables, context(self.release, now)).outputs, [])

    def tick(self, now: datetime = NOW) -> list[Capacity]:
        self.done(self.stage.tick(self.tables, context(self.release, now)), [])
        return self.told

    def done(self, outputs: list[Any], posts: list[Post]) -> list[Post]:
        self.tables.commit()
        self.told = [output.value for output in outputs if isinstance(output.value, Capacity)]
        assert all(output.key == output.value.campaign.encode() for output in outputs if output.value in self.told)
        return posts


def shown(told: list[Capacity]) -> list[tuple[str, str | None, datetime | None]]:
    return [(event.campaign, event.full, event.until) for event in told]


def test_a_campaign_is_told_of_once_a_slice() -> None:
    one = campaign("one", caps=(cap(5),))
    partition = Partition(one)
    posts = partition.reserve(one, "a", "b", "c")
    assert partition.told == []  # nothing that routing would want to know
    partition.answer(posts)
    (told,) = partition.told
    assert [(use.cap, use.since, use.used, use.limit) for use in told.uses] == [
        ("day:accepted", "2026-03-04T00:00Z", Decimal(3), Decimal(5))
    ]
    assert (told.buyer, told.full, told.until) == ("one", None, None)


def test_a_cap_that_is_used_up_is_told_of_with_its_end() -> None:
    one = campaign("one", caps=(cap(1), cap(1, "hour")))
    partition = Partition(one)
    posts = partition.reserve(one, "a")
    assert shown(partition.told) == [("one", Reason.CAP_DAY, MIDNIGHT)]  # of the two the one that lasts longer
    partition.answer(posts, Outcome.REJECTED)
    assert shown(partition.told) == [("one", None, None)]


def test_campaigns_without_caps_are_not_told_of() -> None:
    one = campaign("one")
    partition = Partition(one)
    partition.answer(partition.reserve(one, "a"))
    assert partition.told == []


def test_a_buyers_cap_is_told_of_each_campaign_that_was_touched() -> None:
    one, two = campaign("one", buyer="sun", price="10"), campaign("two", buyer="sun", price="10")
    partition = Partition(one, two, buyers=[Buyer(id="sun", name="Sun", caps=(cap(1),), credit=Decimal(20))])
    partition.answer(partition.reserve(one, "a"))
    (told,) = partition.told
    assert shown([told]) == [("one", Reason.CAP_DAY, MIDNIGHT)]
    assert [(use.cap, use.used, use.limit) for use in told.uses] == [("buyer:day:accepted", 1, 1), ("credit", 10, 20)]
    partition.reserve(two, "b")
    assert shown(partition.told) == [("two", Reason.CAP_DAY, MIDNIGHT)]
    partition.reserve(two, "c")
    assert partition.told == []  # it is known


def test_spend_is_full_where_the_cheapest_leg_does_not_fit_in() -> None:
    both = campaign(
        "one", price="10", exclusivity="hybrid", exclusive_price="25", caps=(cap("30", "total", counts="spend"),)
    )
    partition = Partition(both)
    assert partition.reserve(both, "a")
    assert partition.told == []
    partition.reserve(both, "b", "c")
    assert shown(partition.told) == [("one", Reason.CAP_TOTAL, None)]


def test_a_cap_on_one_source_says_nothing_of_the_others() -> None:
    one = campaign("one", caps=(cap(1, source="acme"),))
    partition = Partition(one)
    partition.answer(partition.reserve(one, "a", source="acme"))
    assert shown(partition.told) == [("one", None, None)]
    assert [(use.cap, use.used) for use in partition.told[0].uses] == [("day:accepted:acme", 1)]


def test_a_full_campaign_that_is_offered_nothing_is_told_of_when_it_is_free_again() -> None:
    one = campaign("one", caps=(cap(1, "total"),))
    partition = Partition(one)
    partition.answer(partition.reserve(one, "a"))
    assert partition.tick() == []
    partition.configure(one.model_copy(update={"caps": (cap(2, "total"),)}))
    assert shown(partition.tick()) == [("one", None, None)]
    assert partition.tick() == []
    assert list(partition.tables[TOLD].values()) == []


def test_the_end_of_a_window_and_the_end_of_a_campaign_are_told_of() -> None:
    one, two = campaign("one", caps=(cap(1),)), campaign("two", caps=(cap(1, "total"),))
    partition = Partition(one, two)
    partition.reserve(one, "a")
    partition.reserve(two, "b")
    assert partition.tick(MIDNIGHT - timedelta(milliseconds=1)) == []
    assert shown(partition.tick(MIDNIGHT)) == [("one", None, None)]
    partition.configure(one)
    (gone,) = partition.tick(MIDNIGHT)
    assert (gone.campaign, gone.full, gone.uses) == ("two", None, [])


def test_a_cap_that_grows_into_another_is_told_of_anew() -> None:
    one = campaign("one", caps=(cap(1),))
    partition = Partition(one)
    partition.reserve(one, "a")
    partition.configure(one.model_copy(update={"caps": (cap(1), cap(1, "month"))}))
    assert [event.full for event in partition.tick()] == [Reason.CAP_MONTH]


ONE = campaign("one", caps=(cap(2, "total"),))


def of_company(parent: str) -> list[Buyer]:
    return [Buyer(id="one", name="One", parent=parent)]


def test_a_campaign_whose_company_changed_is_taken_back_once_by_its_former_partition() -> None:
    old = Partition(ONE, buyers=of_company("sun"))
    (first, second) = old.reserve(ONE, "a", "b", company="sun")
    assert shown(old.told) == [("one", Reason.CAP_TOTAL, None)]
    old.answer([first])
    old.configure(ONE, buyers=of_company("moon"))
    assert shown(old.tick()) == [("one", None, None)]
    assert old.told[0].uses == []  # it does not know what is used now
    assert old.tick() == []
    # Offers that were on their way, and the answer to the one that was asked, say nothing any more.
    assert old.reserve(ONE, "c", company="sun") == []
    assert old.told == []
    old.answer([second])
    assert old.told == []


def test_an_answer_may_take_back_what_another_company_is_asked_for_now() -> None:
    old = Partition(ONE, buyers=of_company("sun"))
    posts = old.reserve(ONE, "a", "b", company="sun")
    old.configure(ONE, buyers=of_company("moon"))
    old.answer(posts)
    assert shown(old.told) == [("one", None, None)]
    assert old.tick() == []


def test_companies_of_one_partition_do_not_take_back_each_others_word() -> None:
    both = Partition(ONE, buyers=of_company("sun"))
    both.answer(both.reserve(ONE, "a", "b", company="sun"))
    both.configure(ONE, buyers=of_company("moon"))
    both.reserve(ONE, "c", company="moon")
    assert shown(both.told) == [("one", Reason.CAP_TOTAL, None)]
    both.reserve(ONE, "d", company="sun")
    assert both.told == []
    assert both.tick() == []
    both.configure(ONE.model_copy(update={"caps": ()}), buyers=of_company("moon"))
    assert shown(both.tick()) == [("one", None, None)]
    assert both.tick() == []


def test_a_campaign_that_comes_back_to_its_company_is_told_of_anew() -> None:
    old = Partition(ONE, buyers=of_company("sun"))
    old.answer(old.reserve(ONE, "a", "b", company="sun"))
    old.configure(ONE, buyers=of_company("moon"))
    old.tick()
    old.configure(ONE, buyers=of_company("sun"))
    assert old.tick() == []  # nobody asks
    assert old.reserve(ONE, "c", company="sun") == []
    assert shown(old.told) == [("one", Reason.CAP_TOTAL, None)]


def test_a_full_campaign_that_is_offered_leads_is_told_of_again_in_a_while() -> None:
    """Another partition may have covered up the word: the two do not wait for each other."""
    partition = Partition(ONE)
    partition.answer(partition.reserve(ONE, "a", "b"))
    for name, after, told in (
        ("c", AGAIN / 2, []),
        ("d", AGAIN, [("one", Reason.CAP_TOTAL, None)]),
        ("e", AGAIN * 1.5, []),
        ("f", AGAIN * 2, [("one", Reason.CAP_TOTAL, None)]),
    ):
        partition.reserve(ONE, name, now=NOW + after)
        assert shown(partition.told) == told
    assert partition.tick(NOW + AGAIN * 9) == []  # to routing, which asks for nothing, it is no news
