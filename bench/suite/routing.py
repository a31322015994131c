"""One decision of routing among 1,000 campaigns of a vertical: who is offered a lead, in which order, and why each
other campaign is not, with all that is remembered of it.

The campaigns are a busy vertical's: lists of states, a fifth with a radius, half with opening hours, a third with a CEL
filter of their own, some at a cap, some with a share limit; a route of three groups by different methods, with a
margin over what the source costs. The leads come from all over the country.
"""

from __future__ import annotations

import gc
import random
from datetime import UTC, datetime, timedelta
from time import perf_counter_ns
from typing import Any, Final
from uuid import UUID

import zipcodes

from bench.registry import Samples, benchmark
from bench.session import Session
from schemas.config.campaign import Campaign
from schemas.config.release import Configuration
from schemas.config.schedule import DAYS
from schemas.config.vertical import Vertical
from schemas.events import Lead, LeadUnique
from schemas.reasons import Reason
from streams.routing.decision import decide
from streams.routing.geography import centres
from streams.routing.market import market_of
from streams.routing.memory import TableMemory, remember
from streams.tables import Tables
from streams.validation.states import NAMES

CAMPAIGNS: Final = 1_000
LEADS: Final = 20_000
WARM_UP: Final = 500
START: Final = datetime(2026, 3, 8, 6, 0, tzinfo=UTC)
ZONES: Final = ("America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles")
SOLAR: Final = Vertical.model_validate(
    {
        "name": "solar",
        "fields": [
            {"name": "homeowner", "type": "choice", "choices": ["yes", "no"]},
            {"name": "bill", "type": "number"},
        ],
    }
)

_measured: dict[int, list[dict[str, float]]] = {}


@benchmark("routing-decision", unit="µs", summary="a decision among 1,000 campaigns: the median", at_most=200.0)
def median(session: Session) -> Samples:
    """Half the decisions."""
    return _samples(session, "p50")


@benchmark("routing-decision-p99", unit="µs", summary="the same: 99 of 100 decisions", at_most=1_000.0)
def p99(session: Session) -> Samples:
    """Nearly all the decisions."""
    return _samples(session, "p99")


def _samples(session: Session, percentile: str) -> Samples:
    rounds = _measured.get(id(session))
    if rounds is None:  # one run gives every percentile
        rounds = _measured[id(session)] = [_round(session, n + 1) for n in range(session.rounds)]
    return {"leadline": [found[percentile] for found in rounds]}


def _round(session: Session, number: int) -> dict[str, float]:
    chance = random.Random(number)
    places = [(str(row["zip_code"]), str(row["state"])) for row in zipcodes.list_all()]  # type: ignore[no-untyped-call]
    placed = sorted(centres().by_zip)  # a ZIP code without a known place has no circle around it
    release = _release([_campaign(n, chance, placed) for n in range(CAMPAIGNS)])
    market = market_of(release, "solar")
    market.prepare()
    full = {f"campaign-{n}": str(Reason.CAP_DAY) for n in range(0, CAMPAIGNS, 11)}
    leads = [_lead(n, chance, places) for n in range(session.records or LEADS)]
    now, took, chosen, tables = START, [], 0, Tables()
    gc.collect()
    for lead in [*leads[:WARM_UP], *leads]:
        now += timedelta(milliseconds=100)  # ten a second: the hours are worked out again every 600th
        before = perf_counter_ns()
        decision = decide(lead, now, market, TableMemory(tables, lead, now.date(), full))
        remember(tables, decision, now.date())
        tables.commit(now)
        took.append(perf_counter_ns() - before)
        chosen += len(decision.slip.candidates) if decision.slip else 0
    del took[:WARM_UP]
    took.sort()
    measured = {"p50": took[len(took) // 2] / 1_000, "p99": took[len(took) * 99 // 100] / 1_000}
    for percentile, value in measured.items():
        session.report(number, f"leadline {percentile}", value, "µs")
    session.console.print(f"  {chosen / len(leads):,.0f} legs on the slip on average", style="dim")
    return measured


def _release(campaigns: list[Campaign]) -> Configuration:
    names = [campaign.id for campaign in campaigns]
    groups = [
        {"name": "contracts", "method": "priority", "campaigns": names[:50]},
        {"name": "shares", "method": "weighted", "campaigns": names[50:200]},
        {"name": "market", "method": "highest_price"},
    ]
    margin = {"percent": "15", "of": "bid"}
    return Configuration.model_validate(
        {
            "verticals": [SOLAR],
            "sources": [{"id": "bench", "payout": "12"}],
            "buyers": [{"id": f"buyer-{n}", "name": f"Buyer {n}", "duplicate_days": 30} for n in range(CAMPAIGNS // 4)],
            "campaigns": campaigns,
            "routes": [{"id": "main", "vertical": "solar", "groups": groups, "margin": margin, "max_sales": 3}],
        }
    )


def _campaign(number: int, chance: random.Random, placed: list[str]) -> Campaign:
    document: dict[str, Any] = {
        "id": f"campaign-{number}",
        "buyer": f"buyer-{number // 4}",
        "vertical": "solar",
        "states": chance.sample(sorted(NAMES)[:51], chance.randint(1, 20)),
        "time_zone": chance.choice(ZONES),
        "price": chance.choice(["12.00", "18.50", "25.00", "40.00"]),
        "weight": chance.randint(1, 10),
        "priority": chance.randint(1, 20),
        "exclusivity": chance.choice(["exclusive", "shared"]),
        "delivery": {"url": "http://127.0.0.1:9/leads"},
    }
    if chance.random() < 0.2:
        document |= {"states": [], "radius": [{"zip": chance.choice(placed), "miles": chance.choice([15, 50, 150])}]}
    if chance.random() < 0.5:
        opens, closes = chance.randint(6, 10), chance.randint(16, 24)
        document["schedule"] = {
            "open": [{"days": DAYS[: chance.randint(5, 7)], "from": f"{opens:02}:00", "to": f"{closes}:00"}]
        }
    if chance.random() < 0.3:
        bill = chance.randint(50, 200)
        document["filters"] = [{"name": "bill", "require": f"homeowner == 'yes' && bill > {bill}"}]
    if chance.random() < 0.02:
        document["max_share"] = {"percent": "25"}
    return Campaign.model_validate(document)


def _lead(number: int, chance: random.Random, places: list[tuple[str, str]]) -> LeadUnique:
    zip_code, state = chance.choice(places)
    lead = Lead(
        first_name="Ada",
        last_name="McDonald",
        phone=f"+1{chance.choice((404, 213, 312, 212, 602))}5550123",
        email="ada@example.com",
        zip=zip_code,
        state=state,
        extra={"homeowner": chance.choice(("yes", "yes", "no")), "bill": f"{chance.randint(40, 400)}"},
    )
    return LeadUnique(
        event_id=UUID(int=number),
        lead_id=UUID(int=number),
        received_at=START,
        occurred_at=START,
        release="",
        vertical="solar",
        source="bench",
        person=f"{number:032x}",
        lead=lead,
    )
