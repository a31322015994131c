"""``leadline journey``: one lead's life, from the warehouse."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from leadline import environment
from leadline.errors import CommandError


def journey(lead_id: UUID, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show what happened to a lead: every step with its outcome, reason, buyer and time.

    Parameters
    ----------
    lead_id:
        The lead's id, as the intake and `leadline send` give it.
    as_json:
        Print JSON for scripts, with everything the events say.
    """
    from warehouse import queries
    from warehouse.client import connect

    settings = environment.settings()
    client = connect(environment.clickhouse_of(settings))
    events = queries.journey(client, settings.clickhouse_database, lead_id)
    if not events:
        raise CommandError(
            f"The warehouse knows no lead {lead_id}.",
            "A lead is there about a second after it was sent; `leadline status` shows whether the sink is behind.",
        )
    if as_json:
        print(json.dumps([event | {"attributes": json.loads(event["attributes"])} for event in events], default=str))
        return
    Console().print(journey_table(lead_id, events))


def journey_table(lead_id: UUID, events: list[dict[str, Any]]) -> Table:
    """A lead's events as a table, narrow enough for a terminal of 100 columns."""
    day = f"{events[0]['occurred_at']:%Y-%m-%d}"
    table = Table(title=f"Lead {lead_id}, {day} (UTC)", title_justify="left")
    for column in ("time", "after", "step", "outcome"):
        table.add_column(column, no_wrap=True)
    table.add_column("campaign")
    table.add_column("reason or price")
    replayed = any(event["run"] for event in events)
    if replayed:
        table.add_column("run")
    for event in events:
        row = [
            f"{event['occurred_at']:%H:%M:%S.%f}"[:-3],
            f"{event['latency_ms'] / 1000:.3f} s",
            event["stage"],
            event["outcome"],
            event["campaign"],
            event["reason"] or (f"${event['price']:.2f}" if event["price"] else ""),
        ]
        table.add_row(*row, *([str(event["run"])] if replayed else []))
    return table
