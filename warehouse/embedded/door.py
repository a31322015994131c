"""ClickHouse's HTTP interface as a Starlette application in front of one Engine.

Differences from a server: sessions are not kept (``session_id`` is accepted, each request stands alone), answers are
materialised before they are sent, external data (multipart) is refused, and there are no users yet: whoever reaches the
port may do anything, which is why only loopback is served and pages of other sites are turned away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from warehouse.embedded import compression, native
from warehouse.embedded.engine import Engine, Result
from warehouse.embedded.errors import (
    ACCESS_DENIED,
    NOT_IMPLEMENTED,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    UNKNOWN_EXCEPTION,
    ClickHouseError,
)
from warehouse.embedded.statement import Statement, parse

log = logging.getLogger(__name__)

DISPLAY_NAME: Final = "leadline"
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

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
_METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")
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
class Limits:
    """``threads`` statements run at once, ``requests`` are in hand; a body is at most ``body_bytes``, also decoded."""

    threads: int = 16
    requests: int = 100
    body_bytes: int = 512 << 20


class Door:
    """Turns HTTP requests into statements of an Engine, on its own threads, so that the event loop always answers."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="query")
        self._in_hand = 0

    async def ping(self, request: Request) -> Response:
        """Alive: answered by the event loop alone, however busy the engine is."""
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        """One statement, from ``query=``, the body, or both."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(_METHODS)})
        if request.method == "HEAD" or (request.method == "GET" and not request.query_params.get("query")):
            return PlainTextResponse("Ok.\n")
        arguments = dict(request.query_params)
        query_id = arguments.get("query_id") or str(uuid.uuid4())
        self._in_hand += 1
        try:
            _admit(request, self._in_hand, self._limits.requests)
            body = await _read(request, self._limits.body_bytes)
            work = _Work(self._engine, self._limits, request.method, dict(request.headers), arguments, body, query_id)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work.run)
        except ClickHouseError as error:
            return _failed(error, query_id, {}, "")
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            self._in_hand -= 1

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/ping", self.ping, methods=["GET", "HEAD"]),
                Route("/replicas_status", self.ping, methods=["GET", "HEAD"]),
                Route("/", self.query, methods=list(_METHODS)),
            ]
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """One request, ready to be run on a thread."""

    engine: Engine
    limits: Limits
    method: str
    headers: Mapping[str, str]  # lower-case names
    arguments: Mapping[str, str]
    body: bytes
    query_id: str

    def run(self) -> Response:
        encoding = ""
        if _is_on(self.arguments.get("enable_http_compression")):
            encoding = compression.choose(self.headers.get("accept-encoding", "")) or ""
        try:
            statement = parse(self.arguments.get("query", "").encode(), self._plain_body())
            revision = self._revision()
            if revision and b"displayName()" in statement.sql:
                hello = native.hello(revision, DISPLAY_NAME, self.engine.version, self.engine.timezone)
                return self._answer(Result((hello,), "Native", 0, 0, 0, 0, 1, 0.0), encoding)
            return self._answer(self._execute(statement, revision), encoding)
        except ClickHouseError as error:
            log.info("query %s failed with code %d", self.query_id, error.code)
            return _failed(error, self.query_id, self.arguments, encoding)
        except Exception as error:  # a defect of ours must still be an answer that clients understand
            log.exception("query %s failed", self.query_id)
            unknown = ClickHouseError(UNKNOWN_EXCEPTION, f"{type(error).__name__}: {error}. (UNKNOWN_EXCEPTION)")
            return _failed(unknown, self.query_id, self.arguments, encoding)

    def _plain_body(self) -> bytes:
        limit = self.limits.body_bytes
        body = compression.decode(self.body, self.headers.get("content-encoding", ""), limit)
        return compression.decode_blocks(body, limit) if _is_on(self.arguments.get("decompress")) else body

    def _revision(self) -> int:
        value = self.arguments.get("client_protocol_version", "")
        return int(value) if value.isdecimal() else 0

    def _execute(self, statement: Statement, revision: int) -> Result:
        arguments = self.arguments
        default_format = self.headers.get("x-clickhouse-format") or arguments.get("default_format") or "TabSeparated"
        framed = revision > 0 and default_format == "Native" and statement.format is None
        result = self.engine.execute(
            statement,
            default_format=default_format,
            settings={k: v for k, v in arguments.items() if k not in _RESERVED and not k.startswith("param_")},
            parameters={k.removeprefix("param_"): v for k, v in arguments.items() if k.startswith("param_")},
            database=arguments.get("database") or self.headers.get("x-clickhouse-database"),
            readonly=self.method != "POST",
            streamed=framed,
        )
        if not framed:
            return result
        return Result(
            (native.frame(result.blocks),),
            result.format,
            result.read_rows,
            result.read_bytes,
            result.written_rows,
            result.written_bytes,
            result.result_rows,
            result.elapsed,
        )

    def _answer(self, result: Result, encoding: str) -> Response:
        body = b"".join(result.blocks)
        headers = {
            **_identity(self.query_id),
            "Content-Type": _content_type(result.format),
            "X-ClickHouse-Format": result.format,
            "X-ClickHouse-Timezone": self.engine.timezone,
            "X-ClickHouse-Summary": json.dumps(
                {
                    "read_rows": str(result.read_rows),
                    "read_bytes": str(result.read_bytes),
                    "written_rows": str(result.written_rows),
                    "written_bytes": str(result.written_bytes),
                    "total_rows_to_read": "0",
                    "result_rows": str(result.result_rows),
                    "result_bytes": str(len(body)),
                    "elapsed_ns": str(round(result.elapsed * 1e9)),
                },
                separators=(",", ":"),
            ),
        }
        return _packed(200, body, headers, self.arguments, encoding)


def _admit(request: Request, in_hand: int, at_most: int) -> None:
    """Without users, the port is guarded by who can reach it: not by a web page that a browser here has open."""
    origin = request.headers.get("origin")
    if request.url.hostname not in LOOPBACK_HOSTS or (origin and urlsplit(origin).hostname not in LOOPBACK_HOSTS):
        raise ClickHouseError(
            ACCESS_DENIED, "Only requests to and from this machine are served: use http://127.0.0.1. (ACCESS_DENIED)"
        )
    if in_hand > at_most:
        raise ClickHouseError(
            TOO_MANY_SIMULTANEOUS_QUERIES,
            f"Too many simultaneous queries. Maximum: {at_most}. (TOO_MANY_SIMULTANEOUS_QUERIES)",
        )
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise ClickHouseError(
            NOT_IMPLEMENTED, "External data (multipart/form-data) is not supported here. (NOT_IMPLEMENTED)"
        )


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise compression.too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise compression.too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _failed(error: ClickHouseError, query_id: str, arguments: Mapping[str, str], encoding: str) -> Response:
    headers = {
        **_identity(query_id),
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Exception-Code": str(error.code),
    }
    return _packed(error.http_status, f"{error}\n".encode(), headers, arguments, encoding)


def _packed(
    status: int, body: bytes, headers: Mapping[str, str], arguments: Mapping[str, str], encoding: str
) -> Response:
    packed = dict(headers)
    if _is_on(arguments.get("compress")):
        body = compression.encode_blocks(body)
    if encoding and len(body) > _SMALL_BYTES:
        body = compression.encode(body, encoding)
        packed["Content-Encoding"] = encoding
    return Response(body, status, packed)


def _identity(query_id: str) -> dict[str, str]:
    return {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Server-Display-Name": DISPLAY_NAME}


def _content_type(name: str) -> str:
    return next((kind for prefix, kind in _CONTENT_TYPES if name.startswith(prefix)), "application/octet-stream")


def _is_on(value: str | None) -> bool:
    return value is not None and value.lower() in ("1", "true")
