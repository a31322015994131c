"""One SELECT's answer on its way out: whole when it is small, in pieces as the engine gives them when it is not."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import IO, Final

from warehouse.embedded import compression, native
from warehouse.embedded.context import NOT_STREAMED, Context
from warehouse.embedded.engine import Chunk, Engine, Result
from warehouse.embedded.errors import QUERY_WAS_CANCELLED, ClickHouseError
from warehouse.embedded.statement import Statement
from warehouse.embedded.streaming import Joint, Pipe

# Up to here an answer waits for its end, and its headers are exact.
HEAD_BYTES: Final = 1 << 20
_IN_MEMORY_BYTES: Final = 16 << 20
_PIECE_BYTES: Final = 1 << 20

# The headers of an answer, so far: of a result and its size in bytes.
Headers = Callable[[Result, int], Mapping[str, str]]


@dataclass(slots=True)
class Transfer:
    """``waits`` holds the whole answer back (in a file once it is large), so that an error is never in the middle.

    Without, an answer waits for its end while it is small and not older than ``head_seconds``.
    """

    format: str
    framed: bool
    blocks: bool
    encoding: str
    waits: bool
    head_seconds: float
    headers: Headers
    _started: float = field(default_factory=time.monotonic)
    _result: Result = field(init=False)
    _size: int = 0

    def __post_init__(self) -> None:
        self._result = Result((), self.format, 0, 0, 0, 0, 0, 0.0)

    def run(self, engine: Engine, statement: Statement, context: Context, pipe: Pipe) -> tuple[Result, int]:
        """The result and its error code, 0 for none: with its ``blocks`` when it is small, else sent through ``pipe``.

        Raises ClickHouseError when the statement fails before anything was sent.
        """
        joint = Joint(self.format)
        sender: _Sender | None = None
        with (
            tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, prefix="answer-") as held,
            closing(engine.stream(statement, context, default_format=self.format)) as chunks,
        ):
            try:
                for chunk in chunks:
                    piece = joint.add(chunk.data)
                    piece = native.frame([piece]) if self.framed else piece
                    self._count(chunk, piece)
                    if sender is None:
                        held.write(piece)
                        if not self.waits and (self._size > HEAD_BYTES or self._age() > self.head_seconds):
                            sender = self._begin(pipe, held)
                    elif not sender.send(piece):
                        return self._result, QUERY_WAS_CANCELLED
            except ClickHouseError as error:
                if sender is None and NOT_STREAMED in error.message:
                    whole = engine.execute(statement, context, default_format=self.format)
                    return (replace(whole, blocks=(native.frame(whole.blocks),)) if self.framed else whole), 0
                if sender is None:
                    raise
                sender.fail(error)
                return self._result, error.code
            if sender is None and self._size > HEAD_BYTES:
                sender = self._begin(pipe, held)
            if sender is not None:
                sender.finish()
                return self._result, QUERY_WAS_CANCELLED if pipe.gone else 0
            held.seek(0)
            result = self._so_far((held.read(),))
        if result.result_rows == 0 and not self.framed and (joint.has_header or self.format == "Native"):
            return engine.execute(statement, context, default_format=self.format), 0
        return result, 0

    def _count(self, chunk: Chunk, piece: bytes) -> None:
        seen = self._result
        self._size += len(piece)
        self._result = Result(
            (),
            self.format,
            seen.read_rows + chunk.read_rows,
            seen.read_bytes + chunk.read_bytes,
            0,
            0,
            seen.result_rows + chunk.rows,
            self._age(),
        )

    def _so_far(self, blocks: tuple[bytes, ...]) -> Result:
        seen = self._result
        return Result(blocks, self.format, seen.read_rows, seen.read_bytes, 0, 0, seen.result_rows, self._age())

    def _age(self) -> float:
        return time.monotonic() - self._started

    def _begin(self, pipe: Pipe, held: IO[bytes]) -> _Sender:
        sender = _Sender(pipe, compression.Packer(blocks=self.blocks, encoding=self.encoding))
        encoded = {"Content-Encoding": self.encoding} if self.encoding else {}
        pipe.begin({**self.headers(self._result, self._size), **encoded, "X-ClickHouse-Exception-Tag": sender.tag})
        held.seek(0)
        while piece := held.read(_PIECE_BYTES):
            sender.send(piece)
        return sender


class _Sender:
    def __init__(self, pipe: Pipe, packer: compression.Packer) -> None:
        self._pipe = pipe
        self._packer = packer
        self.tag = secrets.token_hex(8)

    def send(self, piece: bytes) -> bool:
        return self._pipe.put(self._packer.add(piece)) and not self._pipe.gone

    def finish(self) -> None:
        self._pipe.put(self._packer.finish())
        self._pipe.end(whole=True)

    def fail(self, error: ClickHouseError) -> None:
        """As ClickHouse does: the error between two markers with the tag of the header, and the answer is cut off."""
        message = f"{error}\n".encode()
        tag = self.tag.encode()
        marked = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag, message, len(message), tag)
        self._pipe.put(self._packer.add(marked))
        self._pipe.put(self._packer.finish())
        self._pipe.end(whole=False)
