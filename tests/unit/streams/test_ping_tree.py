"""The ping tree: who is asked for a bid, and what bids do to a decision."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from kit.builders import NOW, campaign, configuration, unique

from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.decision import Bid
from schemas.events import LeadRouted
from schemas.identity import Step, event_id
from streams.routing.decision import Decision, decide
from streams.routing.explanation import agrees, made_again, reasons_of
from streams.routing.market import market_of
from streams.routing.memory import TableMemory
from streams.routing.ping_tree import Ping, in_time, pings
from streams.tables import Tables

BUDGET = timedelta(seconds=2)
LEAD = unique("x")


def release(**settings: Any) -> Configuration:
    own = [
        campaign("fixed", price=20),
        campaign("live", price=1),
        campaign("low", price=1),
        campaign("away", price=1, states=frozenset({"CA"})),
        campaign("both", price=1, exclusivity="hybrid", exclusive_price=1),
    ]
    group = {"name": "market", "method": "highest_price"}
    route = Route.model_validate({"id": "main", "vertical": "solar", "groups": [group], "floor": "10"} | settings)
    return configuration(*own, routes=[route])


def memory(*bids: Bid, full: dict[str, str] | None = None) -> TableMemory:
    return TableMemory(Tables(), LEAD, NOW.date(), full or {}, bids)


def bid(name: str, price: int, shared: int | None = None) -> Bid:
    return Bid(campaign=name, exclusive=Decimal(price), shared=None if shared is None else Decimal(shared))


def written(decision: Decision) -> str:
    assert decision.slip is not None
    return " ".join(
        f"{leg.campaign}{'' if leg.exclusive else '~'}:{leg.price.normalize():f}" for leg in decision.slip.candidates
    )


def test_row_18_parallel_ping_fan_out_is_planned_for_all_who_qualify_at_some_price() -> None:
    configured = release()
    market = market_of(configured, "solar")
    asked = pings(LEAD, NOW, market, memory(full={"low": "cap.day"}), {"live", "low", "away", "both"}, BUDGET)
    assert sorted(ping.campaign for ping in asked) == ["both", "live"]  # one is at its cap, one is elsewhere
    assert {ping.deadline for ping in asked} == {NOW + BUDGET}
    assert pings(LEAD, NOW, market, memory(), set(), BUDGET) == ()


def test_row_17_highest_bid_goes_first_beside_configured_prices() -> None:
    configured = release()
    market = market_of(configured, "solar")
    decision = decide(LEAD, NOW, market, memory(bid("live", 25), bid("low", 9), bid("both", 12, 11)))
    assert written(decision) == "live:25 fixed:20 both:12 both~:11"
    # A bid under the floor keeps it off the slip; a campaign that does not bid is held to its price.
    assert {c: str(r) for c, r in reasons_of(decision.trace, configured).items()} == {
        "low": "price.floor",
        "away": "filter.state",
    }
    assert written(decide(LEAD, NOW, market, memory())) == "fixed:20"


def test_a_bid_that_came_late_is_none() -> None:
    one, late = (Ping(name, name, NOW + BUDGET) for name in ("live", "low"))
    found = in_time({late: (bid("low", 99), NOW + BUDGET * 1.01), one: (bid("live", 5), NOW + BUDGET)})
    assert found == (bid("live", 5),)


def test_a_decision_by_bids_can_be_made_again_from_its_event() -> None:
    configured = release()
    decision = decide(LEAD, NOW, market_of(configured, "solar"), memory(bid("live", 25), bid("both", 12)))
    common = LEAD.model_dump(exclude={"lead"}) | {"event_id": event_id(LEAD.lead_id, Step.ROUTING)}
    event = LeadRouted(**common, slip=decision.slip, trace=decision.trace)
    assert agrees(event, made_again(event, LEAD, configured))
