"""The page of `leadline explain`, and its example in the documentation."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from kit.builders import NOW, campaign, configuration, context, lead_id, unique
from rich.console import Console

from leadline.explanation_display import document, page, what_became
from schemas.config.release import Configuration
from schemas.config.route import Route
from schemas.config.source import Source
from schemas.events import LeadRouted, LeadUnrouted
from schemas.identity import attempt_of
from streams.routing.explanation import explain
from streams.routing.stage import Routing
from streams.tables import Tables

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "explain.md"
MARKET: dict[str, Any] = {"name": "market", "method": "highest_price"}
CAMPAIGNS = (
    campaign("sunpath-south", buyer="sunpath", price="41.00"),
    campaign("lumen-ridge-georgia", buyer="lumen-ridge", price="38.50"),
    campaign("homeward-solar", buyer="homeward", price="22.00"),
    campaign("aurora-budget", buyer="aurora", price="9.00"),
    campaign("brightway-night", buyer="brightway", price="45.00", states=frozenset({"NY", "CA"}), status="paused"),
    campaign("keystone-daily", buyer="keystone", price="40.00", caps=({"window": "day", "limit": 50},)),
    *(campaign(f"west-{n}", buyer="west", price="30.00", states=frozenset({"CA"})) for n in range(1, 8)),
)


def market(**settings: Any) -> Configuration:
    route = Route.model_validate({"id": "solar", "vertical": "solar", "groups": [MARKET], "floor": "10.00"} | settings)
    sources = [Source(id="quoteharbor", payout=Decimal(12))]
    return configuration(*CAMPAIGNS, sources=sources, routes=[route])


def decided(release: Configuration, **full: str) -> LeadRouted | LeadUnrouted:
    known = replace(context(release, NOW), full=full)
    event = Routing().process([unique("example")], Tables(), known)[0].value
    assert isinstance(event, LeadRouted | LeadUnrouted)
    return event


def printed(release: Configuration, event: LeadRouted | LeadUnrouted, became: dict[int, str], **options: Any) -> str:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    for part in page(explain(event, unique("example"), release), event, became, **options):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_the_example_of_the_documentation_is_what_is_printed() -> None:
    release = market()
    event = decided(release, **{"keystone-daily": "cap.day"})
    text = printed(release, event, {1: "buyer.rejected", 2: "accepted"})
    assert text.strip() in DOCUMENTATION.read_text(), f"put into {DOCUMENTATION.name}:\n{text}"


def test_a_lead_on_hold_is_said_to_be() -> None:
    release = market(floor="99.00", unsold={"hold": {"maximum_age_hours": 2}})
    text = printed(release, decided(release), {}, everything=True)
    assert "route solar: nobody was asked, route.no_campaign; on hold until 2026-03-04 19:00 UTC" in text
    assert "west-7" in text
    assert "--all" not in text
    assert "Asked, in this order" not in text


def test_one_campaign_alone() -> None:
    release = market()
    text = printed(release, decided(release), {}, campaign="aurora-budget")
    assert "at 12.00: place 5" in text
    assert "west-1" not in text


def test_a_document_is_json_with_every_campaign() -> None:
    release = market()
    event = decided(release)
    told = json.loads(json.dumps(document(explain(event, unique("example"), release), event, {})))
    assert {one["campaign"] for one in told["campaigns"]} == {own.id for own in CAMPAIGNS}
    assert told["lead_id"] == str(lead_id("example"))


def test_what_became_of_the_offers_of_one_decision() -> None:
    def attempt(number: int, reason: str = "", run: int = 0, stage: str = "attempt") -> dict[str, Any]:
        return {"attempt": number, "reason": reason, "run": run, "stage": stage, "outcome": "accepted"}

    events = [
        attempt(0, "buyer.rejected"),
        attempt(1),
        attempt(2, run=1),
        attempt(attempt_of(1)),
        attempt(3, stage="offer"),
    ]
    assert what_became(events, 0, 0) == {1: "buyer.rejected", 2: "accepted"}
    assert what_became(events, 0, 1) == {1: "accepted"}
