"""``python -m warehouse.embedded --path DIR --port N``: the process of the embedded warehouse server.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 the database or the port does not open, 2 wrong arguments,
3 another warehouse server has the folder open.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import uvicorn

from schemas.settings import Settings
from warehouse.embedded import tokens
from warehouse.embedded.arrival import arriving
from warehouse.embedded.audit import Audit
from warehouse.embedded.door import LOOPBACK_HOSTS, Door, Limits
from warehouse.embedded.engine import Engine, FolderInUseError
from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.settler import Settler

log = logging.getLogger("warehouse.embedded")

FAILED: Final = 1
FOLDER_IN_USE: Final = 3

_TOKEN_COMMAND: Final = "python -m warehouse.embedded.tokens admin NAME --file FILE"  # noqa: S105
_LONGEST_URL_BYTES: Final = 1 << 20


class _Server(uvicorn.Server):
    """Says where it serves once it does, by the ready file."""

    def __init__(self, config: uvicorn.Config, url: str, ready_file: Path | None) -> None:
        super().__init__(config)
        self._url = url
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("serving %s", self._url)
        if self._ready_file is not None:
            written = self._ready_file.with_name(f"{self._ready_file.name}.{os.getpid()}")
            written.write_text(json.dumps({"url": self._url}))
            written.replace(self._ready_file)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m warehouse.embedded", description="ClickHouse in one process.")
    parser.add_argument("--path", type=Path, required=True, help="folder of the database, created if missing")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="any but loopback needs tokens")
    parser.add_argument("--threads", type=int, default=Limits().threads, help="statements that run at once")
    parser.add_argument(
        "--connections", type=int, default=Limits().connections, help="open at once; others are refused"
    )
    parser.add_argument("--requests", type=int, default=Limits().requests, help="requests in hand; others are refused")
    parser.add_argument(
        "--max-body-bytes",
        type=int,
        default=Limits().body_bytes,
        help="of a request, also decoded; default %(default)s",
    )
    parser.add_argument(
        "--body-seconds",
        type=float,
        default=Limits().body_seconds,
        help="how long a request's body may take to come; then it is refused, code 209 (default %(default)g)",
    )
    parser.add_argument(
        "--max-seconds",
        type=int,
        default=Limits().query_seconds,
        help="how long an admin's SELECT runs that sets no max_execution_time itself, 0 for no limit (default "
        "%(default)s); inserts and changes of tables are never ended half way, and analysts have 30 s",
    )
    parser.add_argument("--grace-seconds", type=int, default=10, help="how long a stop waits for running statements")
    parser.add_argument("--settle-seconds", type=float, default=60.0, help="how often hours are settled into rollups")
    options = parser.parse_args(arguments)
    if not options.body_seconds > 0 or options.max_seconds < 0:
        parser.error("--body-seconds is more than 0, --max-seconds 0 or more")
    settings = Settings()
    try:
        opened_by = tokens.load(settings.clickhouse_tokens) if settings.clickhouse_tokens else tokens.Tokens()
    except tokens.TokenFileError as error:
        parser.error(f"{error}; make a token: {_TOKEN_COMMAND}")
    if options.host not in LOOPBACK_HOSTS and not opened_by:
        parser.error(
            f"--host {options.host}: without a token only loopback is served; make one with `{_TOKEN_COMMAND}` "
            "and set LEADLINE_CLICKHOUSE_TOKENS to its file, or use 127.0.0.1"
        )
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # One clock for everything stored, wherever the machine is. The engine reads it while it loads.
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        engine = Engine.open(options.path)
    except FolderInUseError:
        print(
            f"error: {options.path} is in use: another warehouse server runs there.\n"
            "Stop that one, or give this one another folder with --path.",
            file=sys.stderr,
        )
        return FOLDER_IN_USE
    except (ClickHouseError, OSError) as error:
        print(f"error: the database in {options.path} does not open: {error}", file=sys.stderr)
        return FAILED
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        engine.close(timeout=1)
        print(f"error: port {options.port} does not open: {error}. Choose another with --port.", file=sys.stderr)
        return FAILED
    try:
        audit = Audit(engine)
    except ClickHouseError as error:
        engine.close(timeout=1)
        print(f"error: the audit table in {options.path} is not made: {error}", file=sys.stderr)
        return FAILED
    settler = Settler(engine, settings.clickhouse_database, options.settle_seconds)
    limits = Limits(
        threads=options.threads,
        connections=options.connections,
        requests=options.requests,
        body_bytes=options.max_body_bytes,
        body_seconds=options.body_seconds,
        query_seconds=options.max_seconds,
    )
    host = f"[{options.host}]" if ":" in options.host else options.host
    config = uvicorn.Config(
        Door(engine, limits, opened_by, audit, settings.clickhouse_database).application(),
        http=arriving(limits.connections, limits.body_seconds),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=options.grace_seconds,
        h11_max_incomplete_event_size=_LONGEST_URL_BYTES,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
    # uvicorn raises the signal again once it has stopped; a stop that was asked for is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _Server(config, f"http://{host}:{options.port}", settings.ready_file).run(sockets=[listener])
    settler.close()
    audit.close()
    if not engine.close(timeout=1):
        log.warning("statements still run after %d s: ending without them", options.grace_seconds)
        logging.shutdown()
        os._exit(0)  # Their threads would keep the process alive; the folder reopens as after a kill.
    log.info("stopped")
    return 0


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Not what uvicorn says of an answer that is cut off on purpose, for an error in its middle."""
    return "without completing response" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    """Bound here and not by uvicorn, whose exit code for a taken port is ours for a taken folder."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    # asyncio sets this only on sockets made for IPPROTO_TCP by name; without it every answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    sys.exit(main())
