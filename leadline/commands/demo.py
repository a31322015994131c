"""``leadline demo``: a thousand generated leads through the whole pipeline, watched live."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table

from connectors.kafka.producer import AckedProducer
from connectors.sandbox.traffic import DEFAULT_MIX, Expected, generate
from leadline import environment
from leadline.commands.journey import journey_table
from leadline.commands.up import prepare, print_notice
from leadline.display import StackDisplay
from leadline.errors import CommandError
from leadline.funnel_display import bars
from leadline.stack import local
from leadline.stack.state import read_state
from schemas.settings import Settings
from schemas.topics import LEADS

PATIENCE_SECONDS: Final = 120.0
REFRESH_SECONDS: Final = 0.25


def demo(
    *,
    count: Annotated[int, Parameter(name=["--count", "-n"])] = 1000,
    keep: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Start the stack if it is not running, send generated leads and watch the funnel fill; then show the funnel, the
    revenue by buyer and one sold lead's journey from ClickHouse.

    Parameters
    ----------
    count:
        How many leads.
    keep:
        Leave what was started running afterwards, until Ctrl-C.
    """
    console = Console()
    settings = Settings()
    if read_state(settings.home) is not None:
        sys.exit(0 if _show(console, count) else 1)
    sys.exit(0 if asyncio.run(_with_stack(settings, console, count, keep)) else 1)


async def _with_stack(settings: Settings, console: Console, count: int, keep: bool) -> bool:
    stop, ready = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with StackDisplay(console) as display:
        running = asyncio.create_task(
            local.up(
                settings,
                prepare=lambda endpoints: prepare(settings, endpoints),
                on_event=display.event,
                on_progress=display.progress,
                on_ready=lambda _: ready.set(),
                stop=stop,
            )
        )
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        display.finish()
        if running.done():
            waiting.cancel()
            await running
            return _stopped(console)
        try:
            as_expected = await asyncio.to_thread(_show, console, count, stop.is_set)
            if keep and not stop.is_set():
                console.print("Everything keeps running; `leadline status` in another terminal. Ctrl-C stops it.")
                await stop.wait()
        except Exception:
            if not stop.is_set():  # else it lost the services that are being stopped
                raise
            as_expected = False
        finally:
            interrupted = stop.is_set() and not keep
            stop.set()
            await running
    if interrupted:
        return _stopped(console)
    if not keep:
        console.print("The stack is stopped again; the data stays. `leadline up` brings it back.", style="dim")
    return as_expected


def _stopped(console: Console) -> bool:
    console.print("Stopped; the data stays. `leadline demo` starts again.", style="dim")
    return False


def _show(console: Console, count: int, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Send, watch, report; whether every lead came to the end it was made for."""
    from warehouse import queries
    from warehouse.client import connect

    settings = environment.settings()
    print_notice(console)
    client, database = connect(environment.clickhouse_of(settings)), settings.clickhouse_database
    before = queries.funnel(client, database)
    # Another seed once leads are there: the same ones again would all be known.
    traffic = generate(before.raw + 1, DEFAULT_MIX.scaled(count))
    producer = AckedProducer(environment.kafka_of(settings))
    started = time.monotonic()
    for record in traffic.records:
        producer.produce(LEADS.name, None, record)
    producer.flush()
    producer.close()
    console.print(f"\nSent {len(traffic.records):,} leads to the topic {LEADS.name}.")
    total = before.raw + len(traffic.records)
    funnel = before
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while not (funnel.raw == total == funnel.ended) and not stopped():
            if time.monotonic() - started > PATIENCE_SECONDS:
                raise CommandError(
                    f"{funnel.ended - before.ended} of {count} leads came to an end in {PATIENCE_SECONDS:g} s.",
                    "`leadline status` shows where they wait; the logs are beside the data.",
                )
            funnel = queries.funnel(client, database)
            live.update(bars(funnel, total))
            time.sleep(REFRESH_SECONDS)
    if stopped():
        return False
    seconds = time.monotonic() - started
    console.print(bars(funnel, total))
    console.print(f"All leads are at their end, {seconds:.1f} s after the first was sent.\n", style="dim")
    console.print(_revenue(queries.revenue_by_buyer(client, database)))
    if (lead_id := queries.a_sold_lead(client, database)) is not None:
        console.print()
        console.print(journey_table(lead_id, queries.journey(client, database, lead_id)))
    return _compare(console, traffic.expected, before, funnel)


def _revenue(buyers: list[Any]) -> Table:
    table = Table("buyer", "leads", "revenue", "median speed to lead", title="Revenue by buyer", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for buyer in buyers:
        seconds = f"{buyer.median_latency_ms / 1000:.2f} s"
        table.add_row(buyer.buyer, f"{buyer.leads:,}", f"${buyer.revenue:,.2f}", seconds)
    total = sum(buyer.revenue for buyer in buyers)
    table.add_section()
    table.add_row("all", f"{sum(b.leads for b in buyers):,}", f"${total:,.2f}", "")
    return table


def _compare(console: Console, expected: Expected, before: Any, after: Any) -> bool:
    names = ("rejected", "duplicate", "delivered", "unsold", "dead")
    got = {name: getattr(after, name) - getattr(before, name) for name in names}
    wanted = {name: getattr(expected, name) for name in names}
    if before.raw:  # today's cap may be used up by earlier leads: sold or not, the lead is accounted for
        for counts in (got, wanted):
            counts["delivered"] += counts.pop("unsold")
    wrong = {name: (got[name], wanted[name]) for name in wanted if got[name] != wanted[name]}
    if not wrong:
        console.print("[green]Every lead came to the end it was made for.[/green]")
    for name, (have, want) in wrong.items():
        console.print(f"[red]{name}: {have}, but the generator made {want}[/red]")
    return not wrong
