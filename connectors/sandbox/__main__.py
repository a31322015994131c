"""``python -m connectors.sandbox``: the sandbox buyers as a process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from connectors.sandbox.behaviour import SandboxConfig, SandboxConfigError, load
from connectors.sandbox.buyers import create_app
from connectors.sandbox.journal import Journal, JournalError
from schemas.settings import Settings

SHUTDOWN_SECONDS = 2.0


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sandbox", description="Buyers to send leads to.")
    parser.add_argument("--config", type=Path, required=True, help="how each buyer behaves (YAML)")
    parser.add_argument(
        "--journal", type=Path, required=True, help="what they received (JSON lines); kept and continued"
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    try:
        config = load(options.config)
        options.journal.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(options.journal)
        asyncio.run(_serve(config, journal, options.host, options.port))
    except (SandboxConfigError, JournalError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(config: SandboxConfig, journal: Journal, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(create_app(config, journal), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address, taken = runner.addresses[0][:2]
        url = f"http://[{address}]:{taken}" if ":" in address else f"http://{address}:{taken}"
        _announce(url)
        await stop.wait()
    finally:
        await runner.cleanup()
        journal.close()


def _announce(url: str) -> None:
    print(f"sandbox buyers at {url}", file=sys.stderr, flush=True)
    ready = Settings().ready_file
    if ready is not None:
        draft = ready.with_name(f"{ready.name}.{os.getpid()}.tmp")
        draft.write_text(json.dumps({"url": url}), encoding="utf-8")
        draft.replace(ready)


if __name__ == "__main__":
    sys.exit(main())
