"""An explanation as a page for people, and as a document for scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from schemas.events import LeadRouted, LeadUnrouted
from schemas.identity import ATTEMPTS_PER_DECISION, Step
from streams.routing.counterfactuals import Counterfactual, counterfactual
from streams.routing.explanation import Explanation, Place, Verdict
from streams.routing.explanation_values import money

FEW: Final = 5
"""Of the campaigns that failed by one reason, so many are shown unless all are asked for."""

Became = Mapping[int, str]
"""What delivery did with each leg of the slip, by its place from 1."""


def what_became(events: Iterable[Mapping[str, Any]], run: int, decision: int) -> dict[int, str]:
    """What the warehouse's events of a lead say about the offers of one decision."""
    found: dict[int, str] = {}
    for event in events:
        number, cursor = divmod(event["attempt"], ATTEMPTS_PER_DECISION)
        if event["stage"] == Step.ATTEMPT and (event["run"], number) == (run, decision):
            found[cursor + 1] = event["reason"] or event["outcome"]
    return found


def page(
    found: Explanation,
    event: LeadRouted | LeadUnrouted,
    became: Became,
    campaign: str | None = None,
    *,
    everything: bool = False,
) -> Iterator[RenderableType]:
    """The page, part by part: the decision, who was asked, who was not and why."""
    yield _head(found, event)
    verdicts = [verdict for verdict in found.verdicts if campaign in (None, verdict.campaign.id)]
    if asked := [verdict for verdict in verdicts if verdict.places]:
        yield Text("")
        yield _asked(found, asked, became)
    by_reason: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.failing is not None:
            by_reason[verdict.failing.reason].append(verdict)
    if by_reason:
        yield Text("")
        yield _not_asked(found, by_reason, len(verdicts) if everything else FEW)


def document(
    found: Explanation, event: LeadRouted | LeadUnrouted, became: Became, campaign: str | None = None
) -> dict[str, Any]:
    """All of it; amounts are text."""
    facts = found.trace.facts
    return {
        "lead_id": str(found.lead.lead_id),
        "run": event.run,
        "decision": event.attempt,
        "decided_at": found.at.isoformat(),
        "release": event.release,
        "vertical": event.vertical,
        "source": event.source,
        "route": found.route,
        "reason": found.reason,
        "agrees": found.agrees,
        "facts": facts.model_dump(mode="json"),
        "campaigns": [
            _campaign(found, verdict, became) for verdict in found.verdicts if campaign in (None, verdict.campaign.id)
        ],
    }


def _campaign(found: Explanation, verdict: Verdict, became: Became) -> dict[str, Any]:
    would = counterfactual(found, verdict)
    return {
        "campaign": verdict.campaign.id,
        "buyer": verdict.campaign.buyer,
        "vertical": verdict.campaign.vertical,
        "places": [_place(place) | {"became": became.get(place.number)} for place in verdict.places],
        "failing": _failing(verdict.failing),
        "would": None if would is None else _would(would),
    }


def _would(would: Counterfactual) -> dict[str, Any]:
    return {
        "changes": [{**(_failing(change.failing) or {}), "supposed": change.supposed} for change in would.changes],
        "places": [_place(place) for place in would.places],
        "blocked": _failing(would.blocked),
        "price": None if would.price is None else str(would.price),
        "between": would.between,
    }


def _place(place: Place) -> dict[str, Any]:
    return {"place": place.number, "tier": place.tier, "price": str(place.price), "exclusive": place.exclusive}


def _failing(failing: Any) -> dict[str, str] | None:
    if failing is None:
        return None
    return {"reason": str(failing.reason), "expected": failing.expected, "actual": failing.actual}


def _head(found: Explanation, event: LeadRouted | LeadUnrouted) -> Text:
    facts, head = found.trace.facts, Text()
    head.append(f"Lead {found.lead.lead_id}: {event.vertical} from {event.source}", style="bold")
    which = f"decision {event.attempt}" + (f" of run {event.run}" if event.run else "")
    when = f"{found.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    head.append(f"\n{which}, {when} UTC, by release {event.release}")
    if found.slip is not None:
        sales = "1 sale" if found.slip.max_sales == 1 else f"{found.slip.max_sales} sales"
        head.append(f"\nroute {found.route}: at most {sales}")
        if found.slip.deadline is not None:
            head.append(f", nobody asked after {found.slip.deadline:%H:%M:%S}")
    else:
        head.append(f"\nroute {found.route or 'none'}: nobody was asked, {found.reason}")
        if isinstance(event, LeadUnrouted) and event.held is not None:
            head.append(f"; on hold until {event.held:%Y-%m-%d %H:%M} UTC")
    known = [
        (len(facts.sales), "earlier sale of this person's leads", "earlier sales of this person's leads"),
        (len(facts.refusals), "refusal of this lead", "refusals of this lead"),
        (len(facts.full), "campaign at a cap", "campaigns at a cap"),
        (len(facts.shares), "share limit", "share limits"),
        (len(facts.bids), "bid", "bids"),
        (len(facts.standings), "group's turns", "groups' turns"),
    ]
    read = [f"{count} {one if count == 1 else many}" for count, one, many in known if count]
    head.append("\nread: " + ("; ".join(read) or "the lead alone"))
    if facts.resumed_at is not None:
        head.append(f"; returned, so from group {facts.resumed_at} on")
    if found.agrees:
        head.append("\nmade again from the log: the same to the last value", style="green")
    else:
        head.append(
            "\nmade again from the log: it does not come out the same; below is what was decided then."
            " Another version of Leadline decided it.",
            style="red",
        )
    return head


def _asked(found: Explanation, verdicts: Iterable[Verdict], became: Became) -> Table:
    places = sorted(
        ((place, verdict) for verdict in verdicts for place in verdict.places), key=lambda pair: pair[0].number
    )
    rows: list[list[str]] = []
    told: set[str] = set()
    for place, verdict in places:
        own = verdict.campaign
        would = None if own.id in told else counterfactual(found, verdict)
        told.add(own.id)
        price = money(place.price) + ("" if place.exclusive else " shared")
        first_at = "" if would is None or would.price is None else money(would.price)
        rows.append([str(place.number), own.id, own.buyer, place.tier, price, became.get(place.number, ""), first_at])
    table = Table(title="Asked, in this order", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    columns = ("", "campaign", "buyer", "group", "price", "delivery", "first in its group at")
    shown = [number for number, name in enumerate(columns) if not name or any(row[number] for row in rows)]
    for number in shown:
        table.add_column(columns[number], justify="right" if columns[number] in ("", "price") else "left")
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table


def _not_asked(found: Explanation, by_reason: Mapping[str, list[Verdict]], most: int) -> Table:
    table = Table(title="Not asked", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in ("reason", "campaign", "asked for", "had", "would have been"):
        table.add_column(column, overflow="fold")
    for reason, verdicts in by_reason.items():
        shown = verdicts[:most]
        for place, verdict in enumerate(shown):
            failing, would = verdict.failing, counterfactual(found, verdict)
            last = place == len(shown) - 1 and len(shown) == len(verdicts)
            table.add_row(
                f"{reason} ({len(verdicts)})" if place == 0 and len(verdicts) > 1 else reason if place == 0 else "",
                verdict.campaign.id,
                failing.expected if failing else "",
                failing.actual if failing else "",
                "" if would is None else supposed(would),
                end_section=last,
            )
        if len(verdicts) > len(shown):
            table.add_row("", f"and {len(verdicts) - len(shown)} more", "", "", "--all shows them", end_section=True)
    return table


def supposed(would: Counterfactual) -> str:
    """A counterfactual in a line: ``at 14.00, open then: place 2``."""
    changes = ", ".join(change.supposed for change in would.changes)
    if would.blocked is not None:
        return f"{changes}: still {would.blocked.reason}" if changes else ""
    places = " and ".join(str(place.number) for place in would.places)
    if would.between is not None:
        places = f"{would.between[0]} to {would.between[1]}, by its turns"
    return f"{changes}: place {places}"
