"""A buyer's endpoint that does on the wire what it is told to: answer, hang, cut, send nonsense, never end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """What arrived; header names in lower case. ``at`` is the event loop's time."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class MisbehavingBuyer:
    """Does the first behaviour at the first request, and so on; the last one from then on."""

    behaviours: tuple[Behaviour, ...]
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:] if h)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(Request(head[0], headers, body, asyncio.get_running_loop().time()))
                await self.behaviours[min(len(self.requests), len(self.behaviours)) - 1](writer)
        writer.close()


@asynccontextmanager
async def misbehaving_buyer(*behaviours: Behaviour) -> AsyncIterator[MisbehavingBuyer]:
    """Serve on loopback until the block ends."""
    buyer = MisbehavingBuyer(behaviours)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.ensure_future(buyer._serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    buyer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/leads"
    try:
        yield buyer
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def answers(status: int, document: object = None, /, **headers: str) -> Behaviour:
    """An HTTP answer; ``bytes`` go as they are, anything else as JSON. ``Retry_After="1"`` is a header."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return sends("\r\n".join([*lines, "", ""]).encode() + body)


def says(status: str, **more: object) -> Behaviour:
    """A buyer's word: 200 with ``{"status": …}``."""
    return answers(200, {"status": status, **more})


def sends(raw: bytes) -> Behaviour:
    """These bytes and nothing else; the connection stays open."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return behave


def cuts(raw: bytes = b"") -> Behaviour:
    """Some bytes at most, then the connection is reset."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.transport.abort() if not raw else writer.close()

    return behave


async def hangs(writer: asyncio.StreamWriter) -> None:
    """No answer, ever."""
    await asyncio.Event().wait()


async def never_ends(writer: asyncio.StreamWriter) -> None:
    """200 and a body without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        await writer.drain()


async def trickles(writer: asyncio.StreamWriter) -> None:
    """200 and a body a byte at a time, without an end: no single read ever times out."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)
