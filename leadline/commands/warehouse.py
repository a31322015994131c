"""``leadline warehouse …``: the tables of ClickHouse, as this version wants them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from leadline import environment

Json = Annotated[bool, Parameter(name="--json", negative="")]
Allowed = Literal["blocking", "destructive"]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UP_TO_DATE: Final = "Nothing to do: the warehouse is as this version wants it."

warehouse_app = cyclopts.App(
    name="warehouse",
    help="""The warehouse's tables: what is applied, and what is not yet.

    `leadline up` applies what endangers nothing by itself; `leadline warehouse migrate --dry-run` shows the rest.
    """,
)


@warehouse_app.command
def status(*, as_json: Json = False) -> None:
    """Show the migrations: which are applied, which are not, and how dangerous each is. Nothing is changed.

    Parameters
    ----------
    as_json:
        Print JSON for scripts.
    """
    from warehouse.client import connect
    from warehouse.migrate import applied, migrations, pending

    settings = environment.settings()
    client, database = connect(environment.clickhouse_of(settings)), settings.clickhouse_database
    pending(client, database)  # refuses what was changed since, or is newer
    known = applied(client, database)
    found = [
        {"migration": one.name, "applied": one.name in known, "danger": one.danger.name.lower()} for one in migrations()
    ]
    if as_json:
        print(json.dumps(found))
        return
    table = Table("migration", "applied", "danger", box=None, padding=(0, 2, 0, 0))
    for row in found:
        table.add_row(str(row["migration"]), "yes" if row["applied"] else "[yellow]no[/yellow]", str(row["danger"]))
    Console().print(table)


@warehouse_app.command
def migrate(*, dry_run: bool = False, allow: Allowed | None = None, as_json: Json = False) -> None:
    """Apply the migrations that are missing, in order. One that was cut off is applied again from its start.

    Parameters
    ----------
    dry_run:
        Only show the statements that would be sent.
    allow:
        Apply migrations that rewrite data (blocking) or take data away (destructive), too. Without it such a one, and
        all behind it, are refused.
    as_json:
        Print JSON for scripts.
    """
    from warehouse import migrate as warehouse
    from warehouse.client import connect
    from warehouse.layout import layout_of

    settings = environment.settings()
    client, database = connect(environment.clickhouse_of(settings)), settings.clickhouse_database
    console = Console()
    if dry_run:
        layout = layout_of(client, database, settings.clickhouse_cluster)
        missing = warehouse.pending(client, database)
        _show(
            console,
            [(one.name, one.danger.name.lower(), one.statements_in(layout)) for one in missing],
            as_json=as_json,
        )
        return
    at_most = warehouse.Danger.NONE if allow is None else warehouse.Danger[allow.upper()]

    def told(name: str) -> None:
        if not as_json:
            console.print(f"applying {name} …", highlight=False)

    names = warehouse.migrate(client, database, cluster=settings.clickhouse_cluster, at_most=at_most, told=told)
    if as_json:
        print(json.dumps({"applied": names}))
    else:
        console.print(
            f"{len(names)} applied." if names else "Nothing to do: the warehouse is as this version wants it."
        )


@warehouse_app.command
def settle(*, every: Annotated[float | None, Parameter(validator=Number(gt=0))] = None) -> None:
    """Settle hours that nothing came for lately: compute them into the rollups that views read. The embedded warehouse
    does so by itself; beside a ClickHouse server keep one of these running.

    Parameters
    ----------
    every:
        Again after so many seconds, until it is stopped; once by default.
    """
    from warehouse.client import connect
    from warehouse.settling import asking
    from warehouse.settling import settle as settle_hours

    settings = environment.settings()
    client, console = connect(environment.clickhouse_of(settings)), Console()
    while True:
        done = settle_hours(asking(client), settings.clickhouse_database)
        if done.hours or every is None:
            console.print(f"{done.hours} hours settled, {done.left} left, {done.open} too fresh.", highlight=False)
        if not done.left:
            if every is None:
                return
            time.sleep(every)


@warehouse_app.command
def rebuild(*, from_: Annotated[datetime, Parameter(name="--from")] = EPOCH, to: datetime | None = None) -> None:
    """Compute the rollups of settled hours again. Nothing should need it but rows that were changed by hand, or a clock
    that was set back: views notice what comes by themselves.

    Parameters
    ----------
    from_:
        Of leads that arrived from this moment on; all by default. UTC where no offset is given.
    to:
        To before this moment; all by default.
    """
    from warehouse.client import connect
    from warehouse.settling import asking, reopen
    from warehouse.settling import settle as settle_hours

    settings = environment.settings()
    ask, database = asking(connect(environment.clickhouse_of(settings))), settings.clickhouse_database
    console = Console()
    hours = reopen(ask, database, _utc(from_), datetime.max.replace(tzinfo=UTC) if to is None else _utc(to))
    console.print(f"{hours} hours opened: views compute them until they have settled anew.", highlight=False)
    while (done := settle_hours(ask, database)).hours:
        console.print(f"{done.hours} settled, {done.left} left.", highlight=False)
        if not done.left:
            break


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


@warehouse_app.command
def dictionary() -> None:
    """Print the data dictionary, in Markdown: every metric, view and table with what each column means."""
    from warehouse.dictionary import render

    print(render(), end="")


@warehouse_app.command
def dashboards(folder: Path, /) -> None:
    """Write Grafana's provisioning into a folder: the data source and dashboards of operations, revenue, sources and
    buyers.

    Mount it as /etc/grafana/provisioning, install the plugin grafana-clickhouse-datasource, and set
    LEADLINE_CLICKHOUSE_TOKEN in Grafana's environment where ClickHouse wants a password.

    Parameters
    ----------
    folder:
        Where to; what is there under the same names is replaced.
    """
    from warehouse.dashboards import provisioning

    settings = environment.settings()
    console = Console()
    for place, text in provisioning(environment.clickhouse_of(settings), settings.clickhouse_database):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)


def _show(console: Console, missing: list[tuple[str, str, list[str]]], *, as_json: bool) -> None:
    if as_json:
        found: list[dict[str, Any]] = [{"migration": n, "danger": d, "statements": s} for n, d, s in missing]
        print(json.dumps(found))
        return
    if not missing:
        console.print(UP_TO_DATE)
    for name, danger, statements in missing:
        console.print(f"-- {name} ({danger})", highlight=False, markup=False)
        for statement in statements:
            console.print(f"{statement};\n", highlight=False, markup=False, soft_wrap=True)
