"""The embedded warehouse server in a process of its own, and plain HTTP requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from warehouse.embedded.tokens import Identity, Role, add

STARTS_WITHIN = 60.0
# What the drivers' own programs in tests/conformance look at.
SAMPLE = (
    "CREATE DATABASE leadline",
    "CREATE TABLE leadline.contacts (phone String) ENGINE = MergeTree ORDER BY phone",
    "CREATE TABLE leadline.lead_events (n UInt64 COMMENT 'Number', stage LowCardinality(String), "
    "price Nullable(Decimal(9, 2))) ENGINE = MergeTree ORDER BY n",
    "CREATE VIEW leadline.leads AS SELECT n FROM leadline.lead_events",
    "INSERT INTO leadline.lead_events VALUES (1, 'sold', 1), (2, 'sold', NULL)",
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes

    @property
    def summary(self) -> dict[str, int]:
        return {name: int(value) for name, value in json.loads(self.headers["x-clickhouse-summary"]).items()}


@dataclass(frozen=True)
class Warehouse:
    process: subprocess.Popen[bytes]
    port: int
    path: Path

    def send(
        self,
        sql: str | None = None,
        body: bytes | Iterator[bytes] = b"",
        *,
        method: str = "POST",
        target: str = "/",
        headers: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Answer:
        if sql is not None:
            arguments = {"query": sql, **arguments}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            url = f"{target}?{urlencode(arguments)}" if arguments else target
            connection.request(method, url, body, headers or {}, encode_chunked=not isinstance(body, bytes))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def value(self, sql: str, **arguments: Any) -> str:
        answer = self.send(body=sql.encode(), **arguments)
        assert answer.status == 200, answer.body
        return answer.body.decode().rstrip("\n")

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def command(path: Path, port: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "warehouse.embedded", "--path", str(path), "--port", str(port), *more]


@contextmanager
def running(path: Path, ready: Path, *more: str, **settings: str) -> Iterator[Warehouse]:
    """A server of the database in ``path``; ``settings`` are more of its environment."""
    port = free_port()
    ready.unlink(missing_ok=True)
    environment = os.environ | {"LEADLINE_READY_FILE": str(ready)} | settings
    process = subprocess.Popen(command(path, port, *more), env=environment)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready.exists():
            assert process.poll() is None, f"exited with {process.returncode}"
            assert time.monotonic() < deadline, "not ready in time"
            time.sleep(0.02)
        assert json.loads(ready.read_text()) == {"url": f"http://127.0.0.1:{port}"}
        yield Warehouse(process, port, path)
    finally:
        process.kill()
        process.wait()


@contextmanager
def sample(folder: Path) -> Iterator[tuple[Warehouse, str, str]]:
    """A server with the SAMPLE tables, the token of an admin, and that of an analyst."""
    tokens = folder / "tokens"
    admin = add(tokens, Identity(Role.ADMIN, "admin"))
    analyst = add(tokens, Identity(Role.ANALYST, "analyst"))
    with running(folder / "db", folder / "ready", LEADLINE_CLICKHOUSE_TOKENS=str(tokens)) as server:
        for sql in SAMPLE:
            answer = server.send(body=sql.encode(), headers={"X-ClickHouse-Key": admin})
            assert answer.status == 200, answer.body
        yield server, admin, analyst
