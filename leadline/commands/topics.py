"""``leadline topics diff|apply``: the catalogue against the cluster."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from connectors.kafka import topic_admin
from leadline import environment
from streams.topology import all_topics

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def diff(*, as_json: AsJson = False) -> None:
    """Show what differs between the catalogue and the cluster. Nothing is changed; exit code 3 when something differs.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    settings = environment.settings()
    changes = topic_admin.diff(environment.admin_of(settings), all_topics(), settings.partitions)
    _show(changes, as_json, empty="The cluster has every topic as the catalogue says.")
    if changes:
        sys.exit(3)


def apply(*, as_json: AsJson = False) -> None:
    """Create the missing topics and set what differs. Partition counts are never changed: that would move keys.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    settings = environment.settings()
    admin = environment.admin_of(settings)
    changes = topic_admin.diff(admin, all_topics(), settings.partitions)
    topic_admin.apply(admin, changes, settings.partitions, settings.replication_factor)
    _show(changes, as_json, empty="Nothing to do: the cluster has every topic as the catalogue says.")
    if any(change.problem for change in changes):
        sys.exit(3)


def _show(changes: list[topic_admin.TopicChange], as_json: bool, *, empty: str) -> None:
    if as_json:
        print(json.dumps([{"topic": c.spec.name, "change": c.describe(), "problem": c.problem} for c in changes]))
        return
    console = Console()
    if not changes:
        console.print(empty)
        return
    table = Table("topic", "key", "change", box=None, padding=(0, 2, 0, 0))
    for change in changes:
        table.add_row(change.spec.name, change.spec.key.value, change.describe())
    console.print(table)
