"""Buyer-level duplicates where leads are delivered: what was sold, and what is being sold at this moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
from kit.builders import NOW, campaign, configuration, context, offer, slip

from connectors.outbound.contract import Answer
from schemas.config.buyer import Buyer
from schemas.decision import Candidate
from schemas.events import Delivery, Offer, Outcome
from schemas.reasons import Reason
from streams.delivery.purchases import PURCHASES
from streams.delivery.stage import DeliveryStage, Post
from streams.tables import Tables

EAST, WEST, OTHER = (campaign(name, buyer=name, price="10") for name in ("east", "west", "other"))


class Company:
    """The partition of one company with two buyers, and of another one."""

    def __init__(self, days: int = 30, scope: Literal["buyer", "parent"] = "buyer") -> None:
        watchful: dict[str, Any] = {"duplicate_days": days, "duplicate_scope": scope}
        buyers = [
            Buyer(id="east", name="East", parent="sun", **watchful),
            Buyer(id="west", name="West", parent="sun", **watchful),
            Buyer(id="other", name="Other"),
        ]
        self.release = configuration(EAST, WEST, OTHER, buyers=buyers)
        self.stage, self.tables = DeliveryStage(), Tables()

    def offer(self, name: str, to: str = "east", who: str = "ada", days: float = 0, **changes: Any) -> Offer:
        buyer = self.release.buyer_by_id[to]
        leg = Candidate(campaign=to, buyer=to, company=buyer.company, price=10, exclusive=True, tier=0)  # type: ignore[arg-type]
        return offer(name, slip([leg]), who=who, received_at=NOW + timedelta(days=days), **changes)

    def reserve(self, *arrivals: Offer) -> list[Post | str | None]:
        plan = self.stage.plan(arrivals, self.tables, context(self.release))
        self.tables.commit()
        skipped = [output.value.reason for output in plan.outputs if isinstance(output.value, Delivery)]
        return [*(post for _, post in plan.effects), *skipped]

    def sell(self, arrival: Offer, outcome: Outcome = Outcome.ACCEPTED) -> str | None:
        (found,) = self.reserve(arrival)
        if isinstance(found, Post):
            self.stage.settle([(found, Answer(outcome))], self.tables, context(self.release))
            self.tables.commit()
            return outcome
        return found


BEFORE = Reason.BUYER_BOUGHT_BEFORE


@pytest.mark.parametrize(
    ("scope", "to", "days", "who", "result"),
    [
        ("buyer", "east", 0, "ada", BEFORE),
        ("buyer", "east", 29.9, "ada", BEFORE),
        ("buyer", "east", -29.9, "ada", BEFORE),  # received before, and later to come
        ("buyer", "east", 30, "ada", "accepted"),
        ("buyer", "east", 0, "grace", "accepted"),
        ("buyer", "west", 0, "ada", "accepted"),
        ("parent", "west", 0, "ada", BEFORE),
        ("parent", "west", 30, "ada", "accepted"),
        ("parent", "other", 0, "ada", "accepted"),
    ],
)
def test_row_50_buyer_level_dedup(
    scope: Literal["buyer", "parent"], to: str, days: float, who: str, result: str
) -> None:
    company = Company(scope=scope)
    assert company.sell(company.offer("first")) == "accepted"
    assert company.sell(company.offer("second", to, who, days)) == result


def test_row_50_two_leads_of_a_person_at_once_are_one_sale() -> None:
    company = Company()
    post, skipped = company.reserve(company.offer("first"), company.offer("second"))
    assert isinstance(post, Post)
    assert skipped == BEFORE


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome.REJECTED, "accepted"),
        (Outcome.ERROR, "accepted"),
        (Outcome.DUPLICATE, "accepted"),
        (Outcome.UNKNOWN, BEFORE),  # perhaps it has bought it
    ],
)
def test_row_50_what_a_buyer_did_not_take_it_has_not_bought(outcome: Outcome, result: str) -> None:
    company = Company()
    assert company.sell(company.offer("first"), outcome) == outcome
    assert company.sell(company.offer("second")) == result


def test_the_same_lead_is_no_duplicate_of_itself() -> None:
    company = Company()
    assert company.sell(company.offer("first"), Outcome.ERROR) == "error"
    assert company.sell(company.offer("first", run=1)) == "accepted"
    assert company.sell(company.offer("first", "west", run=1)) == "accepted"


def test_nothing_is_kept_of_companies_that_do_not_ask() -> None:
    company = Company(days=0)
    assert [company.sell(company.offer(name)) for name in ("first", "second")] == ["accepted"] * 2
    assert list(company.tables[PURCHASES].values()) == []


def test_what_is_over_is_kept_no_longer() -> None:
    company = Company()
    company.sell(company.offer("first", days=-401))
    company.sell(company.offer("second"))
    (kept,) = company.tables[PURCHASES].values()
    assert len(kept.purchases) == 1
    company.sell(company.offer("third", who="grace"), Outcome.REJECTED)
    assert len(list(company.tables[PURCHASES].values())) == 1
