"""A simulation on the terminal: what changed, and how much of it is known."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from schemas.config.release import Configuration
from schemas.events import (
    Delivery,
    Event,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
)
from streams.routing.explanation import Verdict, explain
from streams.simulation.answers import Answers
from streams.simulation.comparison import DIMENSIONS, LIMITATIONS, UNNAMED, Comparison
from streams.simulation.direct import Dead
from streams.simulation.tally import Figures

COLUMNS = ("offered", "sold", "revenue", "payout", "margin")


def print_comparison(console: Console, found: Comparison) -> None:
    """The whole report."""
    period = f"{found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC"
    beside = {None: "", "recorded": " beside what happened"}.get(found.against, f" beside release {found.against}")
    console.print(f"Release {found.release}{beside}: {len(found.after.leads):,} leads, {period}", highlight=False)
    if found.rows_passed_over:
        console.print(f"{found.rows_passed_over:,} rows of the file are no leads.", style="yellow", highlight=False)
    console.print(_outcomes(found))
    for dimension in DIMENSIONS:
        console.print(_figures(found, dimension))
    for line in _coverage(found):
        console.print(line, highlight=False)
    if not found.conserved:
        console.print("Leads are missing an outcome, or have two: this report is wrong.", style="bold red")
    for limitation in LIMITATIONS:
        console.print(f"- {limitation}", style="dim", highlight=False)


def print_journey(console: Console, events: Sequence[Event | Dead], configuration: Configuration) -> None:
    """One lead's way under a configuration: each decision with what it says about each campaign, who would be asked,
    and its end."""
    unique: LeadUnique | None = None
    for event in events:
        if isinstance(event, LeadUnique):
            unique = event
        elif isinstance(event, (LeadRouted, LeadUnrouted)) and unique is not None:
            console.print(f"{event.occurred_at:%Y-%m-%d %H:%M:%S} UTC, release {event.release}", highlight=False)
            console.print(_verdicts(explain(event, unique, configuration).verdicts))
        if line := _told(event):
            console.print(line, highlight=False, markup=False)


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    table = Table(Column("campaign", no_wrap=True), "asked", "price", "why not", "wanted", "found")
    for verdict in verdicts:
        asked = ", ".join(f"{place.number}." for place in verdict.places)
        prices = ", ".join(f"{place.price:,.2f}" for place in verdict.places)
        failing = verdict.failing
        why = ("", "", "") if failing is None else (str(failing.reason), failing.expected, failing.actual)
        table.add_row(verdict.campaign.id, asked, prices, *why)
    return table


def _told(event: Event | Dead) -> str:
    if isinstance(event, Dead):
        return f"dead: {event.reason} {event.detail}".rstrip()
    if isinstance(event, LeadRejected):
        reasons = (f"{r.reason} ({r.field}) {r.detail}".rstrip() for r in event.reasons)
        return "rejected: " + "; ".join(reasons)
    if isinstance(event, LeadDuplicate):
        return f"duplicate of {event.duplicate_of}: {event.rule}"
    if isinstance(event, LeadUnrouted):
        return f"unrouted: {event.reason}" + (f", held until {event.held:%Y-%m-%d %H:%M} UTC" if event.held else "")
    if isinstance(event, Delivery):
        return f"{event.campaign} ({event.buyer}): {event.outcome}" + (f", {event.reason}" if event.reason else "")
    if isinstance(event, LeadDelivered):
        return f"sold to {event.buyer} by {event.campaign} for {event.price:,.2f}, payout {event.payout:,.2f}"
    return f"undelivered: {event.reason}" if isinstance(event, LeadUndelivered) else ""


def _outcomes(found: Comparison) -> Table:
    table = Table("outcome", title="Leads by outcome", title_justify="left")
    compared = found.before is not None
    for name in ("before", "after", "change") if compared else ("leads",):
        table.add_column(name, justify="right")
    for outcome, counts in found.outcomes().items():
        cells = [f"{counts['after']:,}"]
        if compared:
            cells = [f"{counts['before']:,}", *cells, _signed(counts["after"] - counts["before"])]
        table.add_row(outcome, *cells)
    return table


def _figures(found: Comparison, dimension: str) -> Table:
    table = Table(Column(dimension, no_wrap=True), title=f"By {dimension}", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    rows = found.by(dimension)
    for name, (before, after) in rows.items():
        table.add_row(name or UNNAMED, *_cells(before, after))
    if dimension in ("vertical", "source") and len(rows) > 1:
        table.add_section()
        table.add_row("all", *_cells(*found.total()))
    return table


def _cells(before: Figures | None, after: Figures) -> list[Text]:
    return [_cell(None if before is None else getattr(before, name), getattr(after, name)) for name in COLUMNS]


def _cell(before: Decimal | int | None, after: Decimal | int) -> Text:
    text = Text(_number(after))
    if before is not None and before != after:
        text.append(f" ({_signed(after - before)})", "green" if after > before else "red")
    return text


def _number(value: Decimal | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _signed(value: Decimal | int) -> str:
    if not value:
        return "0"
    return f"{value:+,}" if isinstance(value, int) else f"{value:+,.2f}"


def _coverage(found: Comparison) -> list[str]:
    lines = [f"Answers of buyers: {_answers(found.answers)}."]
    if found.before_answers is not None:
        lines.append(f"Answers of buyers before: {_answers(found.before_answers)}.")
    if found.decisions_differ is not None:
        lines.append(
            f"{found.decisions_differ:,} leads are decided otherwise;"
            f" {found.outcomes_differ:,} end otherwise or go to other campaigns."
        )
    return lines


def _answers(answers: Answers) -> str:
    modelled = sum(answers.modelled.values())
    share = 100 * answers.recorded / max(answers.recorded + modelled, 1)
    if not modelled:
        return f"{answers.recorded:,}, all from the record"
    levels = ", ".join(f"{count:,} by {_level(level)}" for level, count in sorted(answers.modelled.items()))
    return f"{answers.recorded:,} from the record ({share:.1f} %), {modelled:,} from acceptance rates ({levels})"


def _level(level: str) -> str:
    return {"all": "that of all buyers", "nothing": "a half, for nothing is on record"}.get(level, f"the {level}'s")
