"""One exchange of ClickHouse's HTTP interface: what a request's arguments and headers mean, and the answer to it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from warehouse.embedded import compression, multipart, native
from warehouse.embedded.analyst import Analyst
from warehouse.embedded.audit import Entry
from warehouse.embedded.context import Context
from warehouse.embedded.engine import Engine, Result
from warehouse.embedded.errors import REQUIRED_PASSWORD, UNKNOWN_EXCEPTION, ClickHouseError
from warehouse.embedded.external import ExternalTable, option_names
from warehouse.embedded.sessions import SessionTerms
from warehouse.embedded.statement import Statement, parse, verb
from warehouse.embedded.streaming import Pipe, streams
from warehouse.embedded.tokens import Identity
from warehouse.embedded.transfer import Transfer

log = logging.getLogger(__name__)

DISPLAY_NAME: Final = "leadline"
# Arguments of the URL that speak to the HTTP interface; every other one is a setting of the query.
_RESERVED: Final = frozenset(
    (
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "user",
        "password",
        "quota_key",
        "role",
        "stacktrace",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "http_write_exception_in_output_format",
    )
)
_PROGRESS: Final = "send_progress_in_http_headers"
_HEAD_SECONDS: Final = 0.1
_SMALL_BYTES: Final = 1024
_CONTENT_TYPES: Final = (  # by how the format's name begins
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8"),
    ("T", "text/tab-separated-values; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
    ("Vertical", "text/plain; charset=UTF-8"),
    ("Markdown", "text/markdown; charset=UTF-8"),
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, read but not yet understood; ``headers`` have lower-case names.

    A query ends after ``query_seconds``, 0 for never, unless it says otherwise; an analyst's has limits of its own.
    """

    method: str
    headers: Mapping[str, str]
    arguments: Mapping[str, str]
    body: bytes
    query_id: str
    identity: Identity
    analyst: Analyst | None = None
    mark: str = ""
    tables: tuple[ExternalTable, ...] = ()
    query_seconds: int = 0

    def run(self, engine: Engine, body_limit: int, record: Callable[[Entry], None], pipe: Pipe) -> Response | None:
        """Run the statement and give its answer, or its error as ClickHouse words it. Blocks: for a thread.

        None: the answer went through ``pipe``. ``record`` hears how it went.
        """
        try:
            plain = self._plain(body_limit)
        except Exception as error:
            refused = error if isinstance(error, ClickHouseError) else self._defect(error)
            record(Entry(time.time(), self.identity.role, self.identity.name, "OTHER", 0.0, refused.code))
            return failure(refused, self.query_id, self.arguments)
        return plain.run_decoded(engine, record, pipe)

    def run_decoded(self, engine: Engine, record: Callable[[Entry], None], pipe: Pipe) -> Response | None:
        """As `run`, once the body is what the statement is made of."""
        started = time.monotonic()
        statement: Statement | None = None
        result: Result | None = None
        code = 0
        encoding = ""
        if is_on(self.arguments.get("enable_http_compression")):
            encoding = compression.choose(self.headers.get("accept-encoding", "")) or ""
        try:
            statement = parse(self.arguments.get("query", "").encode(), self.body)
            revision = self._revision()
            if revision and b"displayName()" in statement.sql:
                hello = native.hello(revision, DISPLAY_NAME, engine.version, engine.timezone)
                return self.answer(Result((hello,), "Native", 0, 0, 0, 0, 1, 0.0), engine.timezone, encoding)
            default_format = self._default_format()
            framed = revision > 0 and default_format == "Native" and statement.format is None
            if streams(statement, statement.format or default_format, self.arguments, framed=framed):
                transfer = Transfer(
                    format=statement.format or default_format,
                    framed=framed,
                    blocks=is_on(self.arguments.get("compress")),
                    encoding=encoding,
                    waits=is_on(self.arguments.get("wait_end_of_query")),
                    head_seconds=self._head_seconds(),
                    headers=lambda so_far, size: self.headers_of(so_far, engine.timezone, size),
                )
                result, code = transfer.run(engine, statement, self._context(statement), pipe)
                return None if pipe.used else self.answer(result, engine.timezone, encoding)
            result = engine.execute(statement, self._context(statement), default_format=default_format)
            if framed and result.format == "Native":
                result = replace(result, blocks=(native.frame(result.blocks),))
            return self.answer(result, engine.timezone, encoding)
        except ClickHouseError as error:
            code = error.code
            log.info("query %s failed with code %d", self.query_id, error.code)
            return failure(error, self.query_id, self.arguments, encoding)
        except Exception as error:
            code = UNKNOWN_EXCEPTION
            return failure(self._defect(error), self.query_id, self.arguments, encoding)
        finally:
            record(
                Entry(
                    at=time.time(),
                    role=self.identity.role,
                    token=self.identity.name,
                    kind=verb(statement.sql) if statement else "OTHER",
                    duration=time.monotonic() - started,
                    code=code,
                    sql=statement.sql if statement else b"",
                    read_rows=result.read_rows if result else 0,
                    written_rows=result.written_rows if result else 0,
                    result_rows=result.result_rows if result else 0,
                )
            )

    def _defect(self, error: Exception) -> ClickHouseError:
        """A defect of ours, which must still be an answer that clients understand."""
        log.error("query %s failed", self.query_id, exc_info=error)
        return ClickHouseError(UNKNOWN_EXCEPTION, f"{type(error).__name__}: {error}. (UNKNOWN_EXCEPTION)")

    def _plain(self, limit: int) -> Exchange:
        """With its body decoded; a form's fields are arguments then, and its files external data."""
        body = compression.decode(self.body, self.headers.get("content-encoding", ""), limit)
        if is_on(self.arguments.get("decompress")):
            body = compression.decode_blocks(body, limit)
        content_type = self.headers.get("content-type", "")
        if not multipart.is_form(content_type):
            return replace(self, body=body)
        parts = list(multipart.parts(body, content_type))
        files = [part for part in parts if part.filename is not None]
        fields = {part.name: str(part.data, "utf-8", "replace") for part in parts if part.filename is None}
        arguments = fields | dict(self.arguments)
        tables = tuple(ExternalTable.read(file, arguments) for file in files)
        spoken = {name for file in files for name in option_names(file.name)}
        return replace(self, body=b"", arguments=_without(arguments, spoken), tables=tables)

    def _revision(self) -> int:
        value = self.arguments.get("client_protocol_version", "")
        return int(value) if value.isdecimal() else 0

    def _head_seconds(self) -> float:
        """How long an answer waits for its end: not for a client that says not to, or wants progress in its headers."""
        if self.arguments.get("wait_end_of_query") in ("0", "false"):
            return _HEAD_SECONDS
        if is_on(self.arguments.get(_PROGRESS)):
            interval = self.arguments.get("http_headers_progress_interval_ms", "")
            return int(interval) / 1000 if interval.isdecimal() else _HEAD_SECONDS
        return math.inf

    def _default_format(self) -> str:
        return self.headers.get("x-clickhouse-format") or self.arguments.get("default_format") or "TabSeparated"

    def _context(self, statement: Statement) -> Context:
        arguments = self.arguments
        reads = verb(statement.sql) == "SELECT"  # an insert is not ended half way
        return Context(
            settings={k: v for k, v in arguments.items() if k not in _RESERVED and not k.startswith("param_")},
            parameters={k.removeprefix("param_"): v for k, v in arguments.items() if k.startswith("param_")},
            database=arguments.get("database") or self.headers.get("x-clickhouse-database"),
            readonly=self.method != "POST",
            analyst=self.analyst,
            seconds=self.query_seconds if reads else 0,
            mark=self.mark if reads else "",
            kept=self._kept(),
            tables=self.tables,
        )

    def _kept(self) -> SessionTerms | None:
        arguments = self.arguments
        # An analyst's session would keep nothing: it may not SET, and its limits are those of every request.
        if not arguments.get("session_id") or self.analyst is not None:
            return None
        return SessionTerms.read(
            self.identity.name,
            arguments["session_id"],
            arguments.get("session_timeout", ""),
            check=is_on(arguments.get("session_check")),
            closes=is_on(arguments.get("close_session")),
        )

    def answer(self, result: Result, timezone: str, encoding: str) -> Response:
        """The answer to a statement that worked, whole."""
        body = b"".join(result.blocks)
        return _packed(200, body, self.headers_of(result, timezone, len(body)), self.arguments, encoding)

    def headers_of(self, result: Result, timezone: str, size: int) -> dict[str, str]:
        """The headers that say what a statement gave, so far: ``size`` bytes."""
        summary = {
            "read_rows": str(result.read_rows),
            "read_bytes": str(result.read_bytes),
            "written_rows": str(result.written_rows),
            "written_bytes": str(result.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(result.result_rows),
            "result_bytes": str(size),
            "elapsed_ns": str(round(result.elapsed * 1e9)),
        }
        written = json.dumps(summary, separators=(",", ":"))
        progress = {"X-ClickHouse-Progress": written} if is_on(self.arguments.get(_PROGRESS)) else {}
        return {
            **_identity(self.query_id),
            "Content-Type": _content_type(result.format),
            **({"X-ClickHouse-Format": result.format} if result.has_rows else {}),
            "X-ClickHouse-Timezone": timezone,
            "X-ClickHouse-Summary": written,
            **progress,
        }


def failure(
    error: ClickHouseError, query_id: str, arguments: Mapping[str, str] | None = None, encoding: str = ""
) -> Response:
    """The answer to a request that failed, packed as the request's ``arguments`` and ``encoding`` ask."""
    headers = {
        **_identity(query_id),
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Exception-Code": str(error.code),
    }
    if error.code == REQUIRED_PASSWORD:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse"'
    return _packed(error.http_status, f"{error}\n".encode(), headers, arguments or {}, encoding)


def _without(arguments: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in arguments.items() if name not in names}


def _packed(
    status: int, body: bytes, headers: Mapping[str, str], arguments: Mapping[str, str], encoding: str
) -> Response:
    packed = dict(headers)
    if is_on(arguments.get("compress")):
        body = compression.encode_blocks(body)
    if encoding and len(body) > _SMALL_BYTES:
        body = compression.encode(body, encoding)
        packed["Content-Encoding"] = encoding
    return Response(body, status, packed)


def _identity(query_id: str) -> dict[str, str]:
    return {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Server-Display-Name": DISPLAY_NAME}


def _content_type(name: str) -> str:
    return next((kind for prefix, kind in _CONTENT_TYPES if name.startswith(prefix)), "application/octet-stream")


def is_on(value: str | None) -> bool:
    """Whether an argument of the URL is switched on."""
    return value is not None and value.lower() in ("1", "true")
