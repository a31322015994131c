"""A sink that comes to faults: ``python -m kit.sink_crashes.failing_sink bootstrap url database group folder``."""

from __future__ import annotations

import http.client
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from kit.sink_crashes.armed import come_to
from warehouse.client import connect
from warehouse.sink import Sink, SinkConfig


def tell_of_inserts(client: Client, step: Callable[[str], None]) -> None:
    """Call ``step`` in the middle of what an insert sends, and when it is sent and not answered yet."""
    thread = threading.local()
    connection = http.client.HTTPConnection
    raw_insert, send, getresponse = client.raw_insert, connection.send, connection.getresponse

    def insert(table: str, *, insert_block: bytes, settings: dict[str, Any]) -> Any:
        thread.body = insert_block
        try:
            return raw_insert(table, insert_block=insert_block, settings=settings)
        finally:
            thread.body = None

    def send_in_halves(self: http.client.HTTPConnection, data: Any) -> None:
        body: bytes | None = getattr(thread, "body", None)
        if body is None or data is not body:
            send(self, data)
            return
        middle = len(body) // 2
        send(self, body[:middle])
        step("sending")
        send(self, body[middle:])

    def answer(self: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if getattr(thread, "body", None) is not None:
            step("sent")
        return getresponse(self)

    client.raw_insert = insert  # type: ignore[method-assign, assignment]
    connection.send = send_in_halves  # type: ignore[method-assign]
    connection.getresponse = answer  # type: ignore[method-assign]


def main() -> None:
    """Run until a signal, its own included."""
    bootstrap, url, database, group, folder = sys.argv[1:]
    step = partial(come_to, Path(folder))
    config = SinkConfig(
        bootstrap=bootstrap,
        database=database,
        group=group,
        batch_rows=500,
        batch_seconds=0.05,
        session_timeout_seconds=2.0,
    )
    client = connect(url)
    tell_of_inserts(client, step)
    sink = Sink(config, client, on_ready=lambda: print("ready", flush=True), on_step=step)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sink.stop())
    sink.run()


if __name__ == "__main__":
    main()
