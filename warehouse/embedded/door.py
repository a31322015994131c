"""ClickHouse's HTTP interface as a Starlette application in front of one Engine.

Differences from a server: progress is said once and not while a query runs.
Users are tokens; without any, whoever reaches the port may do anything, which is why only loopback is served then and
pages of other sites are turned away.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from warehouse.embedded.analyst import Analyst
from warehouse.embedded.audit import Audit, Entry
from warehouse.embedded.compression import too_large
from warehouse.embedded.engine import Engine
from warehouse.embedded.errors import (
    ACCESS_DENIED,
    SOCKET_TIMEOUT,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ClickHouseError,
)
from warehouse.embedded.exchange import Exchange, failure
from warehouse.embedded.streaming import Pipe, StreamedAnswer
from warehouse.embedded.tokens import Identity, Role, Tokens

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Limits:
    """``threads`` statements run at once, ``requests`` are in hand, ``connections`` open; a body is at most
    ``body_bytes``, also decoded, and comes within ``body_seconds``. An admin's query ends after ``query_seconds``, 0
    for never, unless it says otherwise.
    """

    threads: int = 16
    connections: int = 1000
    requests: int = 100
    body_bytes: int = 512 << 20
    body_seconds: float = 120.0
    query_seconds: int = 3600


class Door:
    """Turns HTTP requests into statements of an Engine, on its own threads, so that the event loop always answers."""

    def __init__(self, engine: Engine, limits: Limits, tokens: Tokens, audit: Audit, database: str) -> None:
        self._engine = engine
        self._audit = audit
        self._limits = limits
        self._tokens = tokens
        self._analyst = Analyst(database)
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="query")
        # Apart from the threads that the queries to be killed may hold.
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="kill")
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
        identity: Identity | None = None
        try:
            _admit(request, local=not self._tokens)
            identity = self._tokens.authenticate(request.headers)
            return await self._take(request, arguments, query_id, identity)
        except ClickHouseError as error:
            role, name = (identity.role, identity.name) if identity else ("", "")
            self._audit.record(Entry(time.time(), role, name, "OTHER", 0.0, error.code))
            refusal = failure(error, query_id)
            if error.code == SOCKET_TIMEOUT:  # The rest of the body is nobody's next request.
                refusal.headers["Connection"] = "close"
            return refusal
        except ClientDisconnect:
            return Response(status_code=400)

    async def _take(
        self, request: Request, arguments: Mapping[str, str], query_id: str, identity: Identity
    ) -> Response:
        """The answer to a request that is in hand from here on, so that whoever is not known takes nobody's place.

        Raises ClickHouseError when there are too many, or its body is too large or too late.
        """
        if self._in_hand >= self._limits.requests:
            raise ClickHouseError(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                f"Too many simultaneous queries. Maximum: {self._limits.requests}. (TOO_MANY_SIMULTANEOUS_QUERIES)",
            )
        self._in_hand += 1
        response: Response | None = None
        try:
            body = await _read(request, self._limits)
            exchange = Exchange(
                request.method,
                dict(request.headers),
                arguments,
                body,
                query_id,
                identity,
                self._analyst if identity.role is Role.ANALYST else None,
                mark=uuid.uuid4().hex,
                query_seconds=self._limits.query_seconds,
            )
            response = await self._run(exchange, request)
            return response
        finally:
            if not isinstance(response, StreamedAnswer):  # That one is in hand until it is taken.
                self._in_hand -= 1

    async def _run(self, exchange: Exchange, request: Request) -> Response:
        """The answer once there is one; a query whose client goes away before its end is killed."""
        loop = asyncio.get_running_loop()
        pipe = Pipe(loop)
        work = loop.run_in_executor(
            self._threads, exchange.run, self._engine, self._limits.body_bytes, self._audit.record, pipe
        )
        gone = asyncio.create_task(_gone(request))

        async def left(went: bool) -> None:
            try:
                if went:
                    await loop.run_in_executor(self._killer, self._engine.kill, exchange.mark)
                await work
            finally:
                self._in_hand -= 1

        events: set[asyncio.Future[Any]] = {work, pipe.begun, gone}
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        if pipe.begun.done():
            return StreamedAnswer(pipe, pipe.begun.result(), gone, left)
        if not work.done():
            pipe.leave()
            await loop.run_in_executor(self._killer, self._engine.kill, exchange.mark)
        gone.cancel()
        return await work or Response(status_code=400)

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/ping", self.ping, methods=["GET", "HEAD"]),
                Route("/replicas_status", self.ping, methods=["GET", "HEAD"]),
                Route("/", self.query, methods=list(_METHODS)),
            ]
        )


def _admit(request: Request, *, local: bool) -> None:
    """Never a page of another site, whose browser may know a token; without tokens (``local``) this machine only."""
    origin = request.headers.get("origin")
    own = LOOPBACK_HOSTS if local else LOOPBACK_HOSTS | {request.url.hostname}
    if request.url.hostname not in own or (origin and urlsplit(origin).hostname not in own):
        raise ClickHouseError(
            ACCESS_DENIED,
            "Only requests to and from this machine are served: use http://127.0.0.1. (ACCESS_DENIED)"
            if local
            else "Pages of other sites are turned away. (ACCESS_DENIED)",
        )


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read(request: Request, limits: Limits) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.body_bytes:
        raise too_large(limits.body_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body_bytes:
                    raise too_large(limits.body_bytes)
                chunks.append(chunk)
    except TimeoutError:
        raise ClickHouseError(
            SOCKET_TIMEOUT, f"The body did not come whole within {limits.body_seconds:g} s. (SOCKET_TIMEOUT)"
        ) from None
    return b"".join(chunks)
