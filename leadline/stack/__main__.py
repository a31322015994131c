"""``python -m leadline.stack``: parts of the local stack without topics or tables, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from leadline.stack.errors import StackError
from leadline.stack.local import up
from leadline.stack.services import SERVICES, Endpoints
from leadline.stack.supervisor import Event
from leadline.stack.warehouse import without_password
from schemas.settings import Settings


def _print_event(event: Event) -> None:
    details = (
        f"pid {event.pid}" if event.pid is not None else "",
        f"exit code {event.exit_code}" if event.exit_code is not None else "",
        f"{event.seconds:.2f} s" if event.seconds is not None else "",
    )
    print(f"{event.service}: {event.state}", *filter(None, details), flush=True)


def _print_endpoints(endpoints: Endpoints) -> None:
    for name in ("kafka_bootstrap", "clickhouse_url", "sandbox_url", "intake_url"):
        if (where := getattr(endpoints, name)) is not None:
            print(f"{name}: {without_password(where) if name == 'clickhouse_url' else where}", flush=True)


async def _run(only: set[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await up(Settings(), prepare=None, on_event=_print_event, stop=stop, only=only, on_ready=_print_endpoints)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the services named by ``--only``; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m leadline.stack", description=__doc__)
    parser.add_argument("--only", default="kafka,warehouse", help=f"from: {', '.join(SERVICES)}")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run({name for name in options.only.split(",") if name}))
    except StackError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
