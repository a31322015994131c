"""``leadline up`` and ``leadline down``: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Annotated

from confluent_kafka import KafkaException
from cyclopts import Parameter
from rich.console import Console

from leadline import environment, releases
from leadline.display import StackDisplay, print_endpoints
from leadline.errors import CommandError
from leadline.stack import local
from leadline.stack.service_log import open_log, tail
from leadline.stack.services import Endpoints
from leadline.stack.state import read_state
from schemas.settings import Settings

DETACHED_START_SECONDS = 300.0


def up(*, detach: Annotated[bool, Parameter(name=["--detach", "-d"], negative="")] = False) -> None:
    """Start everything on this machine and keep it running: Kafka, ClickHouse, the four stage workers, the sink, the
    HTTP intake and the sandbox buyer. Ctrl-C stops all of it.

    Data and logs are in the home folder (LEADLINE_HOME, .leadline by default). With LEADLINE_KAFKA_BOOTSTRAP or
    LEADLINE_CLICKHOUSE_URL set, that part is used where it is and not started here. The configuration (LEADLINE_CONFIG)
    is put in force if nothing is yet; later ones with `leadline config apply`.

    Parameters
    ----------
    detach:
        Return once everything is ready, and leave it running; `leadline down` stops it.
    """
    console = Console()
    settings = Settings()
    if (state := read_state(settings.home)) is not None:
        console.print(f"A stack is running already in {settings.home} (process {state.pid}).")
        print_endpoints(console, settings.home, state)
        print_notice(console)
        return
    if detach:
        _up_detached(console, settings)
        return
    asyncio.run(run_stack(settings, console))


async def run_stack(settings: Settings, console: Console, stop: asyncio.Event | None = None) -> None:
    """Run the stack in this process until a signal, or until ``stop`` is set."""
    stop = stop or asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(endpoints: Endpoints) -> None:
        display.finish()
        state = read_state(endpoints.home)
        if state is not None:
            print_endpoints(console, settings.home, state)
        print_notice(console)
        console.print("Ctrl-C stops everything.", style="dim")

    with StackDisplay(console) as display:
        await local.up(
            settings,
            prepare=lambda endpoints: prepare(settings, endpoints),
            on_event=display.event,
            on_progress=display.progress,
            on_ready=ready,
            stop=stop,
        )
    console.print("Stopped.", style="dim")


async def prepare(settings: Settings, endpoints: Endpoints) -> None:
    """Topics, tables and a first release, before the first worker starts."""
    await asyncio.to_thread(environment.prepare, settings, endpoints.kafka_bootstrap, endpoints.clickhouse_url)
    if endpoints.kafka_bootstrap is not None:
        known = settings.model_copy(update={"sandbox_url": endpoints.sandbox_url})
        await asyncio.to_thread(releases.apply_first, known, endpoints.kafka_bootstrap)


def print_notice(console: Console) -> None:
    """Say so where the configuration of the settings is not the one in force: it is never put in force unasked."""
    settings = environment.settings()
    try:
        notice = "" if settings.kafka_bootstrap is None else releases.notice(settings, settings.kafka_bootstrap)
    except (CommandError, KafkaException):  # what runs must not end because this could not be told
        return
    if notice:
        console.print(notice, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _up_detached(console: Console, settings: Settings) -> None:
    log = settings.home.resolve() / "logs" / "stack.log"
    with open_log(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "leadline", "up"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "LEADLINE_HOME": str(settings.home.resolve())},
        )
    deadline = time.monotonic() + DETACHED_START_SECONDS
    with console.status(f"Starting; the log is {log}"):
        while True:
            state = read_state(settings.home)
            if state is not None and state.ready:
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommandError(
                    "The stack did not start:\n" + "\n".join(tail(log)), f"See {log} and the logs beside it."
                )
            time.sleep(0.1)
    print_endpoints(console, settings.home, state)
    print_notice(console)
    console.print("`leadline down` stops it.", style="dim")


def down(*, timeout: float = 60.0) -> None:
    """Stop the stack of this home folder, in order, and wait until it is gone. The data stays.

    Parameters
    ----------
    timeout:
        Seconds to wait.
    """
    settings = Settings()
    console = Console()
    with console.status("Stopping"):
        stopped = local.down(settings.home, timeout)
    console.print("Stopped." if stopped else f"No stack is running in {settings.home}.")
