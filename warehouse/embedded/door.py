"""ClickHouse's HTTP interface as a Starlette application in front of one Engine.

Differences from a server: sessions are not kept (``session_id`` is accepted, each request stands alone), answers are
materialised before they are sent, external data (multipart) is refused, and there are no users yet: whoever reaches the
port may do anything, which is why only loopback is served and pages of other sites are turned away.
"""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from warehouse.embedded.compression import too_large
from warehouse.embedded.engine import Engine
from warehouse.embedded.errors import (
    ACCESS_DENIED,
    NOT_IMPLEMENTED,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)
from warehouse.embedded.exchange import Exchange, failure

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")


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
        query_id = arguments.get("query_id", "")
        if not query_id or not (query_id.isascii() and query_id.isprintable()):  # it goes into a header
            query_id = str(uuid.uuid4())
        self._in_hand += 1
        try:
            _admit(request, self._in_hand, self._limits.requests)
            body = await _read(request, self._limits.body_bytes)
            exchange = Exchange(request.method, dict(request.headers), arguments, body, query_id)
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, exchange.run, self._engine, self._limits.body_bytes
            )
        except ClickHouseError as error:
            return failure(error, query_id)
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
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)
