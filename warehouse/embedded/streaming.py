"""Answers on their way from the thread that runs a statement to the client: in pieces, never a whole one in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from warehouse.embedded.statement import Statement, quoted_names, verb

# A client that takes nothing for this long has gone.
STALL_SECONDS: Final = 120.0
_WAITING_PIECES: Final = 4

# The engine writes every block as a document of its own. These formats joined are one document again, …
_PLAIN: Final = frozenset(
    (
        *("TSV", "TabSeparated", "TSVRaw", "TabSeparatedRaw", "Raw", "TSKV", "CSV", "Native", "RowBinary"),
        *("JSONEachRow", "NDJSON", "JSONLines", "JSONStringsEachRow"),
        *("JSONCompactEachRow", "JSONCompactStringsEachRow"),
    )
)
# … and these without the header of every block but the first: so many lines of names and types, 0 for a binary one.
_HEADERS: Final[dict[str, int]] = {
    **{f"{name}WithNames": 1 for name in ("TSV", "TabSeparated", "CSV", "JSONCompactEachRow")},
    **{f"{name}WithNamesAndTypes": 2 for name in ("TSV", "TabSeparated", "CSV", "JSONCompactEachRow")},
    "RowBinaryWithNamesAndTypes": 0,
}


def streams(statement: Statement, name: str, settings: Mapping[str, str], *, framed: bool = False) -> bool:
    """Whether the engine can give the answer in pieces that joined are what it gives at once; ``framed`` is Native."""
    if statement.data is not None or verb(statement.sql) != "SELECT" or not (name in _PLAIN or name in _HEADERS):
        return False
    if framed:  # Every block has to be known, and Native has neither totals nor extremes.
        return True
    upper = statement.sql.upper()
    if b"TOTALS" in upper or b"EXTREMES" in upper or b"ARRAY_OF_ROWS" in upper:
        return False
    if any(b"\n" in quoted or b"\\" in quoted for quoted in quoted_names(statement.sql)):
        return False
    return not any(setting == "extremes" or "array_of_rows" in setting for setting in settings)


class Joint:
    """Makes one document of an answer's blocks in the format ``name``."""

    def __init__(self, name: str) -> None:
        self._lines = _HEADERS.get(name)
        self._header: bytes | None = None

    @property
    def has_header(self) -> bool:
        """Whether an answer without rows still has something in it."""
        return self._lines is not None

    def add(self, block: bytes) -> bytes:
        """The next piece of the document."""
        if self._lines is None:
            return block
        if self._header is None:
            self._header = block[: _binary_header(block) if self._lines == 0 else _line_header(block, self._lines)]
            return block
        return block.removeprefix(self._header)


def _line_header(block: bytes, lines: int) -> int:
    end = 0
    for _ in range(lines):
        end = block.index(b"\n", end) + 1
    return end


def _binary_header(block: bytes) -> int:
    columns, position = _varint(block, 0)
    for _ in range(2 * columns):
        size, position = _varint(block, position)
        position += size
    return position


def _varint(block: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = block[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


class Pipe:
    """Pieces of an answer from a thread to the event loop, a few at a time: a slow client slows the engine down."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING_PIECES)
        self._gone = threading.Event()
        self.begun: asyncio.Future[Mapping[str, str]] = loop.create_future()
        self.whole = False
        self.used = False

    @property
    def gone(self) -> bool:
        """Nobody takes the answer any more."""
        return self._gone.is_set()

    def begin(self, headers: Mapping[str, str]) -> None:
        """From the thread: the answer is a 200 with these headers, and pieces follow."""
        self.used = True
        self._loop.call_soon_threadsafe(self._begin, headers)

    def put(self, piece: bytes) -> bool:
        """From the thread: send a piece, waiting for room. False when the client has gone."""
        return not piece or self._put(piece)

    def end(self, *, whole: bool) -> None:
        """From the thread: there is no more; an answer that is not ``whole`` is cut off, so that clients notice."""
        self.whole = whole
        self._put(None)

    def leave(self) -> None:
        """From the loop: nobody takes the pieces any more."""
        self._gone.set()
        while not self._pieces.empty():
            self._pieces.get_nowait()

    async def next(self) -> bytes | None:
        """The next piece, None after the last one."""
        return await self._pieces.get()

    def _begin(self, headers: Mapping[str, str]) -> None:
        if not self.begun.done():
            self.begun.set_result(headers)

    def _put(self, piece: bytes | None) -> bool:
        if self._gone.is_set():
            return False
        waiting = asyncio.run_coroutine_threadsafe(self._pieces.put(piece), self._loop)
        try:
            waiting.result(STALL_SECONDS)
        except TimeoutError:
            waiting.cancel()
            self._gone.set()
        return not self._gone.is_set()


class StreamedAnswer(Response):
    """An answer whose pieces come through a Pipe; ``left`` is awaited when it ended, with whether the client went."""

    def __init__(
        self, pipe: Pipe, headers: Mapping[str, str], gone: asyncio.Task[None], left: Callable[[bool], Awaitable[None]]
    ) -> None:
        super().__init__(None, 200, headers)
        del self.headers["content-length"]
        self._pipe = pipe
        self._gone = gone
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        try:
            await asyncio.wait({sending, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            went = not sending.done() or sending.exception() is not None
            sending.cancel()
            self._gone.cancel()
            self._pipe.leave()
            await self._left(went)

    async def _send(self, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (piece := await self._pipe.next()) is not None:
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            await asyncio.wait_for(send(message), STALL_SECONDS)
        if self._pipe.whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
