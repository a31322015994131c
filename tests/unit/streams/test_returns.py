"""Returned leads: when they are offered again, to whom, and how the sales that stand bind that."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from kit.builders import NOW, answered, campaign, configuration, context, unique
from kit.market import Market, answers, returned, route, shared, slip_of

from schemas.config.buyer import Buyer
from schemas.config.release import Configuration
from schemas.config.vertical import Vertical
from schemas.decision import PriorSale
from schemas.events import Delivery, LeadDelivered, LeadRouted, LeadUnrouted, Outcome
from streams.routing.answers import sales_of
from streams.routing.decided import DECISIONS, MAX_DECISIONS, Status
from streams.routing.explanation import agrees, explain, made_again
from streams.routing.holds import HOLDS, LEADS
from streams.routing.stage import Routing
from streams.tables import Tables

DAYS = 9


def status(market: Market) -> Status:
    (decided,) = market.tables[DECISIONS].values()
    return decided.status


def known_sales(tables: Tables, name: object = 1) -> list[PriorSale]:
    return sales_of(tables, unique(name).person, unique(name).lead_id)


def test_a_return_while_the_slip_is_under_way_is_acted_on_when_it_is_over() -> None:
    own = [shared(name, price=price) for name, price in zip("abcd", (40, 30, 20, 10), strict=True)]
    release = configuration(
        *own, routes=[route({"method": "highest_price"}, max_sales=2, max_candidates=3, reroute_returns_days=DAYS)]
    )
    market = Market(release)
    market.waiting = {"b"}
    market.give(unique(1))
    assert market.give(returned(1, "a")) == []
    market.resume()
    # b bought meanwhile, and keeps it: one more may.
    assert market.slips == ["a~ b~ c~", "c~ d~"]
    assert market.sold == ["a", "b", "c"]
    assert status(market) is Status.SOLD


def test_a_return_that_is_read_before_its_sale_is_not_lost() -> None:
    tables, routing, release = Tables(), Routing(), configuration(
        campaign("a"), campaign("b"), routes=[route(reroute_returns_days=DAYS)]
    )  # fmt: skip

    def give(event: Any) -> list[Any]:
        found = routing.process([event], tables, context(release))
        tables.commit(NOW)
        return [output.value for output in found]

    give(unique(1))
    assert give(returned(1, "a")) == []
    assert give(returned(1, "nobody")) == []
    routed, offer = give(answered(1, "a"))
    assert (slip_of(routed), offer.decision) == ("b", 1)
    assert [(sale.campaign, sale.returned) for sale in known_sales(tables)] == [("a", True)]


def test_a_lead_that_could_have_been_sold_more_often_is_offered_again_all_the_same() -> None:
    release = configuration(*map(shared, "abc"), routes=[route(max_sales=3, reroute_returns_days=DAYS)])
    market = Market(release, answers(c="error", b="error"))
    market.give(unique(1))
    market.answer = answers()
    market.give(returned(1, "a"))
    assert market.sold == ["a", "b", "c"]


def test_a_lead_is_offered_again_once_even_if_it_waited_on_hold_in_between() -> None:
    def release(*active: str) -> Configuration:
        own = [campaign(name, status="active" if name in active else "paused") for name in "zabc"]
        groups = {"name": "first", "campaigns": ["z"]}, {"name": "rest"}
        return configuration(*own, routes=[route(*groups, reroute_returns_days=5, unsold={"hold": {}})])

    market = Market(release("a"))
    market.give(unique(1))
    market.give(returned(1, "a"))
    assert market.slips[1:] == ["route.no_campaign"]
    market.release = release("z", "b")
    market.wait(seconds=5)
    assert market.slips[2:] == ["b"]  # z is of a group before the one that returned it
    assert market.why()["z"] == "lead.sold"
    assert market.give(returned(1, "b")) == []


OVERFLOW = [Vertical(name="solar"), Vertical(name="roofing")]


def test_a_return_from_the_second_vertical_resumes_there() -> None:
    groups = [{"name": "g", "campaigns": ["r"]}, {"name": "h", "campaigns": ["s", "t"]}]
    roofs = route(*groups, id="roofs", vertical="roofing")
    unsold = {"vertical": "roofing", "sweeper": "swept"}
    first = route({"name": "g", "campaigns": ["a"]}, unsold=unsold, reroute_returns_days=DAYS)
    own = [campaign("a"), campaign("swept"), *(campaign(name, vertical="roofing") for name in "rst")]
    release = configuration(*own, verticals=OVERFLOW, routes=[first, roofs])
    market = Market(release, answers(a="error", r="error"))
    market.give(unique(1))
    assert market.slips == ["a r s t swept"]
    market.give(returned(1, "s"))
    assert market.slips[1:] == ["t swept"]
    assert market.why() == {"a": "lead.sold", "r": "lead.sold", "s": "lead.sold"}
    # From its own vertical's group of that name it is the others that come next.
    market = Market(release)
    market.give(unique(1))
    market.give(returned(1, "a"))
    assert market.slips[1:] == ["r t s swept"]


def test_a_return_from_the_sweeper_leaves_nobody() -> None:
    own = [campaign("a"), campaign("swept"), campaign("r", vertical="roofing")]
    unsold = {"vertical": "roofing", "sweeper": "swept"}
    release = configuration(*own, verticals=OVERFLOW, routes=[route(unsold=unsold, reroute_returns_days=DAYS)])
    market = Market(release, answers(a="error", r="error"))
    market.give(unique(1))
    market.give(returned(1, "swept"))
    assert market.slips == ["a r swept", "route.no_campaign"]


def test_sales_that_stand_use_up_their_group_and_end_it() -> None:
    """As if the slip had made them: the group's own limit, and no later group where one sale ends the slip."""
    groups = [{"name": "one", "campaigns": list("abc"), "max_sales": 2, "if_sold": "stop"}, {"name": "two"}]
    release = configuration(*map(shared, "abcz"), routes=[route(*groups, max_sales=4, reroute_returns_days=DAYS)])
    market = Market(release, answers(c="error"))
    market.give(unique(1))
    assert market.sold == ["a", "b"]
    routed = next(e for e in market.give(returned(1, "b")) if isinstance(e, LeadRouted))
    assert (slip_of(routed), routed.slip.max_sales, routed.slip.tiers[0].max_sales) == ("c~", 3, 1)
    assert market.why() == {"a": "lead.sold", "b": "lead.sold", "z": "lead.sold"}
    told = explain(routed, unique(1), release)
    assert told.agrees
    failing = told.verdict("z").failing
    assert failing is not None
    assert (failing.expected, failing.actual) == ("no sale in group one, which ends with one", "one keeps it")


def test_a_group_that_has_sold_all_it_may_is_closed() -> None:
    groups = [{"name": "one", "campaigns": list("abc"), "max_sales": 1}, {"name": "two"}]
    release = configuration(*map(shared, "abcyz"), routes=[route(*groups, max_sales=2, reroute_returns_days=DAYS)])
    market = Market(release)
    market.give(unique(1))
    assert market.sold == ["a", "y"]
    routed = next(e for e in market.give(returned(1, "y")) if isinstance(e, LeadRouted))
    assert slip_of(routed) == "z~"
    market = Market(release, answers(b="unknown"))
    market.give(unique(2), returned(2, "a"))
    # y keeps it, b may have it: nobody else can.
    assert market.slips == ["a~ b~ c~ y~ z~", "b~ c~ z~"]
    assert (market.sold, status(market)) == (["a", "y"], Status.SOLD)


def test_the_second_vertical_is_not_asked_while_somebody_keeps_the_lead() -> None:
    own = [shared("a"), shared("b"), shared("r", vertical="roofing")]
    release = configuration(
        *own, verticals=OVERFLOW, routes=[route(max_sales=2, unsold={"vertical": "roofing"}, reroute_returns_days=DAYS)]
    )
    market = Market(release)
    market.give(unique(1))
    routed = next(e for e in market.give(returned(1, "a")) if isinstance(e, LeadUnrouted))
    failing = explain(routed, unique(1), release).verdict("r").failing
    assert failing is not None
    assert (failing.reason, failing.actual) == ("lead.sold", "1 keep it")
    market.give(returned(1, "b"))
    assert market.sold == ["a", "b"]  # once


def test_an_unknown_sale_counts_as_one_that_is_held() -> None:
    own = [*map(shared, "ab"), campaign("x")]
    release = configuration(*own, routes=[route(max_sales=2, legs="shared_first", reroute_returns_days=DAYS)])
    market = Market(release, answers(b="unknown"))
    market.give(unique(1))
    assert status(market) is Status.SOLD
    market.give(returned(1, "a"))
    # x would have it for itself alone, and b may have it.
    assert market.slips == ["a~ b~ x", "route.no_campaign"]
    assert market.why() == {"a": "lead.sold", "b": "lead.sold", "x": "lead.sold"}


def test_only_an_unknown_sale_holds_a_lead_until_it_is_returned() -> None:
    market = Market(
        configuration(campaign("a"), campaign("b"), routes=[route(reroute_returns_days=DAYS)]), answers(a="unknown")
    )
    market.give(unique(1))
    assert (status(market), market.sold) == (Status.HELD, [])
    market.give(returned(1, "a"))  # so it had it
    assert (market.slips, market.sold) == (["a b", "b"], ["b"])


@pytest.mark.parametrize(
    ("outcome", "kept", "now"),
    [
        ("accepted", [("a", False)], Status.SOLD),
        ("rejected", [], Status.UNSOLD),
        ("unknown", [("a", True)], Status.HELD),
    ],
)
def test_a_post_that_is_answered_after_all_takes_the_place_of_the_unknown(
    outcome: str, kept: list[tuple[str, bool]], now: Status
) -> None:
    market = Market(configuration(campaign("a"), routes=[route(reroute_returns_days=DAYS)]), answers(a="unknown"))
    market.give(unique(1))
    market.give(answered(1, "a", outcome))
    assert [(sale.campaign, sale.unknown) for sale in known_sales(market.tables)] == kept
    assert status(market) is now


def test_an_unknown_sale_is_a_purchase_but_makes_no_owner() -> None:
    buyers = [Buyer(id="a", name="A", duplicate_days=30)]
    own = [campaign("a", priority=2), campaign("b", priority=3), campaign("c", priority=1)]
    release = configuration(*own, buyers=buyers, routes=[route(owner_days=60)])
    for outcome, slip in (("accepted", "b c"), ("unknown", "c b")):
        market = Market(release)
        market.give(answered("old", "a", who="ada"), answered("older", "b", outcome, who="ada"))
        market.waiting = {"b", "c"}
        market.give(unique(1, who="ada"))
        assert market.slips == [slip], outcome
        assert market.why() == {"a": "buyer.bought_before"}
    market = Market(release)
    market.give(answered("old", "a", "unknown", who="ada"))
    market.give(unique(1, who="ada"))
    assert market.why() == {"a": "buyer.bought_before"}


def test_the_rules_of_a_route_that_was_renamed_are_those_of_the_one_that_takes_the_lead_now() -> None:
    settings = {"reroute_returns_days": DAYS, "unsold": {"hold": {}}}
    release = configuration(campaign("a"), campaign("b"), routes=[route(**settings)])
    renamed = configuration(campaign("a"), campaign("b"), routes=[route(id="renamed", **settings)])
    market = Market(release, answers(a="error", b="error"))
    market.waiting = {"a"}
    market.give(unique(1))
    market.release = renamed
    market.resume()
    assert len(list(market.tables[HOLDS].items())) == 1
    market = Market(release)
    market.give(unique(1))
    market.release = renamed
    market.give(returned(1, "a"))
    assert market.sold == ["a", "b"]


def test_what_is_kept_for_returns_is_forgotten_when_they_are_not_offered_any_more() -> None:
    market = Market(configuration(campaign("a"), routes=[route(reroute_returns_days=1)]))
    market.give(unique(1))
    market.wait(hours=23)
    market.release = configuration(campaign("a"), campaign("b"), routes=[route(reroute_returns_days=1)])
    assert market.wait(minutes=59) == []  # not on hold: a new release decides nothing
    assert len(list(market.tables[LEADS].items())) == 1
    market.wait(minutes=1)
    assert (list(market.tables[LEADS].items()), list(market.tables[HOLDS].items())) == ([], [])


def test_a_lead_that_was_returned_or_that_nobody_took_is_not_kept_for_returns() -> None:
    market = Market(configuration(*map(campaign, "abc"), routes=[route(reroute_returns_days=DAYS)]))
    market.give(unique(1))
    market.give(returned(1, "a"))
    market.answer = answers(a="error", b="error", c="error")
    market.give(unique(2))
    assert (market.sold, list(market.tables[LEADS].items())) == (["a", "b"], [])


# Whatever happens


def crowded(rng: Random) -> Configuration:
    """Groups with limits, kinds of campaigns, companies, a second vertical and a sweeper."""
    own = []
    for name in "abcdefgh":
        kind = rng.choice(["exclusive", "shared", "shared", "shared", "hybrid"])
        own.append(
            campaign(
                name,
                buyer=f"b{rng.randint(0, 6)}",
                price=rng.randint(1, 9),
                exclusivity=kind,
                exclusive_price=rng.randint(1, 20) if kind == "hybrid" else None,
                status=rng.choice(["active", "active", "active", "paused"]),
                vertical="roofing" if name in "gh" else "solar",
                max_share={"percent": 50} if rng.random() < 0.3 else None,
            )
        )
    limit, stop = rng.choice([None, 1, 2]), rng.choice(["continue", "continue", "stop"])
    groups = [{"name": "one", "campaigns": ["a", "b", "c"], "max_sales": limit, "if_sold": stop}, {"name": "two"}]
    unsold: dict[str, Any] = {"hold": {"recheck_minutes": 10}}
    unsold |= {"vertical": "roofing"} if rng.random() < 0.5 else {}
    unsold |= {"sweeper": "e"} if rng.random() < 0.5 else {}
    made = route(
        *groups,
        max_sales=rng.randint(1, 3),
        legs=rng.choice(["compare", "exclusive_first", "shared_first"]),
        reroute_returns_days=DAYS,
        unsold=unsold,
    )
    buyers = [Buyer(id=f"b{n}", name=f"B{n}", parent="g" if n < 2 else None) for n in range(7)]
    return configuration(*own, verticals=OVERFLOW, buyers=buyers, routes=[made])


def lived_through(rng: Random, release: Configuration) -> tuple[Market, set[str]]:
    """A lead with returns, holds, replays and companies that take their time; and who gave it back."""
    said = [Outcome.ACCEPTED] * 4 + [Outcome.REJECTED, Outcome.DUPLICATE, Outcome.ERROR, Outcome.ERROR, Outcome.UNKNOWN]
    market, run, back = Market(release, lambda _: rng.choice(said)), 0, set[str]()
    market.waiting = {f"b{number}" for number in range(7) if rng.random() < 0.3}
    market.give(unique(1))
    for _ in range(rng.randint(2, 9)):
        what = rng.choice(["return", "return", "wait", "replay", "park", "resume"])
        if what == "return" and market.sold:
            by = rng.choice(market.sold)
            back.add(by)
            market.give(returned(1, by))
        elif what == "wait":
            market.wait(minutes=rng.randint(1, 20))
        elif what == "replay":
            run += 1
            market.give(unique(1, run=run))
        elif what == "park":
            market.waiting.add(rng.choice(["g", "b2", "b3", "b4", "b5", "b6"]))
        elif what == "resume":
            market.resume()
    while market.resume():
        pass
    return market, back


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_a_lead_the_limits_of_its_sales_hold(seed: int) -> None:
    rng, happened = Random(seed), Counter[str]()
    for _ in range(50):
        release = crowded(rng)
        market, back = lived_through(rng, release)
        check(market, back)
        happened["offered again"] += any(isinstance(e, LeadRouted) and e.trace.facts.resumed_at for e in market.events)
        happened["refused"] += any(
            isinstance(e, LeadRouted | LeadUnrouted) and e.trace.facts.refusals for e in market.events
        )
        happened["unknown"] += any(sale.unknown for sale in known_sales(market.tables))
    assert min(happened.values()) > 1, happened


def check(market: Market, back: set[str]) -> None:
    refused: set[tuple[int, str, bool]] = set()
    for event in market.events:
        if isinstance(event, LeadRouted | LeadUnrouted):
            assert agrees(event, made_again(event, unique(1), market.release))
        if isinstance(event, Delivery):
            # Whoever would not have a leg is not asked for it again.
            leg = (event.run, event.campaign, event.exclusive)
            assert leg not in refused
            refused |= {leg} if event.outcome in (Outcome.REJECTED, Outcome.DUPLICATE) else set()
    # No company has the lead twice.
    companies = [event.company for event in market.events if isinstance(event, LeadDelivered)]
    assert len(set(companies)) == len(companies)
    # What stands keeps to the route's limit, and to its group's; an exclusive sale stands alone, and the second
    # vertical's too.
    (made,) = market.release.routes
    standing = [sale for sale in known_sales(market.tables) if not sale.returned]
    assert {sale.campaign for sale in standing if not sale.unknown} == set(market.sold) - back
    assert len(standing) <= made.max_sales
    assert len(standing) == 1 or not any(sale.exclusive for sale in standing)
    for group in made.groups:
        if group.max_sales is not None:
            assert sum(sale.tier == group.name for sale in standing) <= group.max_sales
    (decided,) = market.tables[DECISIONS].values()
    assert decided.status is not Status.OFFERED
    assert len([event for event in market.events if isinstance(event, LeadRouted | LeadUnrouted)]) < MAX_DECISIONS
