"""``leadline replay``: a window of a topic through the pipeline again."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress

from leadline import environment
from leadline.errors import CommandError
from streams.replay.erased import Erased
from streams.replay.window import Replayed, ReplayError, find_window
from streams.replay.window import replay as write_again


def replay(
    *,
    topic: str = "leads",
    from_: Annotated[datetime, Parameter(name="--from")],
    to: datetime | None = None,
    reason: str = "",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Send a window's records through the pipeline again, with the same lead ids and a run number.

    A lead that owns its fingerprint passes dedup again; a sold lead is not sold again; a lead that nobody bought is
    decided anew by the configuration of today. In the warehouse a replayed event takes the place of the one before.
    Whoever was erased with `leadline erase` is passed over.

    Parameters
    ----------
    topic:
        leads, leads.validated or leads.unique.
    from_:
        Start of the window by the records' time, such as 2026-11-20T10:00 (UTC unless it says otherwise).
    to:
        End of the window, itself not in it; now by default.
    reason:
        Why, for the table of replays.
    dry_run:
        Show what would be replayed and change nothing.
    as_json:
        Print the result as JSON for scripts.
    """
    from warehouse import replays
    from warehouse.client import connect
    from warehouse.erasing import tombstones
    from warehouse.erasing.people import check_key

    settings = environment.settings()
    bootstrap = environment.kafka_of(settings)
    start, end = _utc(from_), _utc(to) if to is not None else datetime.now(UTC)
    if start >= end:
        raise CommandError(f"The window is empty: {start.isoformat()} is not before {end.isoformat()}.", "Swap them.")
    try:
        window = find_window(bootstrap, topic, start, end)
    except ReplayError as error:
        raise CommandError(str(error), "`leadline replay --help` says what a replay does.") from None
    console = Console(stderr=as_json)
    console.print(f"{window.records:,} records of {topic} from {start.isoformat()} to {end.isoformat()}")
    if dry_run or not window.records:
        if as_json:
            print(json.dumps({"run": None, "records": window.records, **asdict(Replayed())}))
        return
    client = connect(environment.clickhouse_of(settings))
    database = settings.clickhouse_database
    # Read before the first record is written: whoever is erased from now on, the sink passes over.
    erased = Erased(*tombstones.read(client, database), environment.secret_of(settings))
    if erased.persons:
        check_key(client, database, erased.secret)
    run = replays.start(client, database, topic, (start, end), reason)
    done, state = Replayed(), "failed"
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"replaying, run {run}", total=window.records)
            done = write_again(
                bootstrap,
                window,
                run,
                erased=erased,
                on_progress=lambda records: progress.update(task, completed=records),
            )
        state = "finished"
    finally:
        replays.finish(client, database, run, topic, (start, end), reason, state=state, **asdict(done))
    if as_json:
        print(json.dumps({"run": run, "records": window.records, **asdict(done)}))
        return
    passed = f" {done.passed_over:,} records of earlier replays were passed over." if done.passed_over else ""
    passed += f" {done.erased:,} records are of erased people and stay where they are." if done.erased else ""
    console.print(f"Run {run}: {done.written:,} records are on their way again.{passed}")
    console.print("`leadline status` shows when every lag is 0 again.", style="dim")


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
