"""The rows of a CSV file, gzipped or not, one by one and each with its line: none is lost in a neighbour's quotes."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from connectors.suppression.errors import SuppressionError

DELIMITERS: Final = ",;\t|"
_GZIP: Final = b"\x1f\x8b"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")

Cells = list[str]
Row = tuple[int, Cells | str]
"""The line a row begins in, from 1, and its cells; or why it cannot be read."""


@dataclass
class CsvFile:
    """An opened file. ``position`` of ``size`` bytes are read, in the compressed file where it is one."""

    name: str
    size: int
    delimiter: str
    rows: Iterator[Row]
    _raw: BinaryIO

    @property
    def position(self) -> int:
        """How far it is read."""
        return self._raw.tell()


@contextmanager
def open_csv(path: Path) -> Iterator[CsvFile]:
    """Open a file; the delimiter is the commonest of comma, semicolon, tab and bar in the first line.

    Raises:
        SuppressionError: it cannot be read, ends in the middle of its compressed data, or is UTF-16.
    """
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == _GZIP
            raw.seek(0)
            stream: BinaryIO = gzip.open(raw) if gzipped else raw  # type: ignore[assignment]  # noqa: SIM115  # closes with raw
            # Bytes that are not UTF-8 pass as surrogates, so that they spoil their own cell only.
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            first = text.readline()
            if first.encode("utf-8", "surrogateescape").startswith(_UTF_16):
                raise SuppressionError(f"{path} is UTF-16; save it as CSV UTF-8")
            delimiter = max(DELIMITERS, key=first.count)
            lines = _Lines(text, deque([first] if first else []))
            yield CsvFile(path.name, os.fstat(raw.fileno()).st_size, delimiter, _rows(lines, delimiter), raw)
    except (EOFError, gzip.BadGzipFile):
        raise SuppressionError(f"{path} is damaged: its compressed data ends early; get the file again") from None
    except OSError as error:
        raise SuppressionError(f"{path}: {error.strerror or error}; is it the right file?") from None


@dataclass
class _Lines:
    """Feeds the CSV reader, and remembers the lines of the current row."""

    text: Iterator[str]
    pending: deque[str]
    number: int = 0
    taken: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.pending.popleft() if self.pending else next(self.text)
        self.taken.append(line)
        return line

    def begin_row(self) -> int:
        self.number += len(self.taken)
        self.taken.clear()
        return self.number + 1

    def give_back(self) -> None:
        """All lines of the row but the first: an unclosed quote has swallowed rows."""
        self.pending.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _rows(lines: _Lines, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back()
            yield line, f"not CSV: {error}"
            continue
        if cells:  # a blank line is no row
            yield line, cells
