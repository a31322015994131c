"""Who did what at the door, in the engine's own table ``leadline_audit.statements``.

Never the text of a statement: its literals may be personal data. The engine hashes the text without its literals
(``normalizedQueryHash``) while it stores the row.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from warehouse.embedded.context import Context
from warehouse.embedded.engine import Engine
from warehouse.embedded.errors import ClickHouseError
from warehouse.embedded.statement import Statement

log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 1.0
_AT_MOST: Final = 20_000
_HASHED_BYTES: Final = 1 << 16
_INSERT: Final = b"INSERT INTO leadline_audit.statements (at, role, token, kind, duration_ms, read_rows, written_rows, result_rows, code, sql)"  # noqa: E501
_TABLES: Final = (
    b"CREATE DATABASE IF NOT EXISTS leadline_audit",
    b"""CREATE TABLE IF NOT EXISTS leadline_audit.statements (
        at DateTime64(3, 'UTC') COMMENT 'When it ended' CODEC(Delta, ZSTD),
        role LowCardinality(String) COMMENT 'admin or analyst; empty: nobody that is known',
        token LowCardinality(String) COMMENT 'Name of the token',
        kind LowCardinality(String) COMMENT 'SELECT, INSERT, CREATE...',
        duration_ms UInt32,
        read_rows UInt64,
        written_rows UInt64,
        result_rows UInt64,
        code UInt16 COMMENT 'Error code, 0 for none',
        sql String EPHEMERAL,
        query_hash UInt64 DEFAULT if(sql = '', 0, normalizedQueryHash(sql)) COMMENT 'Of the text without its literals'
    ) ENGINE = MergeTree ORDER BY at PARTITION BY toYYYYMM(at) TTL toDateTime(at) + INTERVAL 90 DAY
    SETTINGS non_replicated_deduplication_window = 0, fsync_after_insert = 0, fsync_part_directory = 0""",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement that ended. ``at`` is Unix time in seconds, ``duration`` in seconds, ``code`` 0 when it worked."""

    at: float
    role: str
    token: str
    kind: str
    duration: float
    code: int
    sql: bytes = b""
    read_rows: int = 0
    written_rows: int = 0
    result_rows: int = 0

    def row(self) -> bytes:
        """The entry as a line of JSONEachRow."""
        values = {
            "at": round(self.at, 3),
            "role": self.role,
            "token": self.token,
            "kind": self.kind,
            "duration_ms": round(self.duration * 1000),
            "read_rows": self.read_rows,
            "written_rows": self.written_rows,
            "result_rows": self.result_rows,
            "code": self.code,
            "sql": self.sql[:_HASHED_BYTES].decode(errors="replace"),
        }
        return json.dumps(values).encode() + b"\n"


class Audit:
    """Keeps entries in memory and stores them once a second on its own thread: a statement never waits for it."""

    def __init__(self, engine: Engine) -> None:
        """Make the table when it is missing. Raises ClickHouseError when the engine cannot."""
        self._engine = engine
        self._entries: deque[Entry] = deque()
        self._lost = 0
        self._stopped = threading.Event()
        for sql in _TABLES:
            engine.execute(Statement(sql))
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Keep an entry until it is stored; beyond 20,000 waiting ones it is lost, which the log says."""
        if len(self._entries) < _AT_MOST:
            self._entries.append(entry)
        else:
            self._lost += 1

    def close(self) -> None:
        """Store what waits."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self._store()
        self._store()

    def _store(self) -> None:
        rows = [self._entries.popleft().row() for _ in range(len(self._entries))]
        if self._lost:
            log.warning("%d statements are not in the audit: too many at once", self._lost)
            self._lost = 0
        if not rows:
            return
        try:
            self._engine.execute(
                Statement(_INSERT, "JSONEachRow", b"".join(rows)), Context(settings={"async_insert": "0"})
            )
        except (ClickHouseError, OSError) as error:
            # Not its text: the engine quotes the row that it cannot read.
            log.error("%d statements are not in the audit: code %s", len(rows), getattr(error, "code", "OSError"))
