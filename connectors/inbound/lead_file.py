"""Files of leads: JSON lines and CSV, read row by row in constant memory.

A bad row never stops the file: it comes out with its line and reason, between the good ones.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Final, Literal
from uuid import uuid5

from connectors.inbound.raw_lead import FILE_NAMESPACE, InvalidLeadError, as_object, encode, own_lead_id, parse

Form = Literal["jsonl", "csv"]

MAX_ROW_BYTES: Final = 1_048_576
_FORM_BY_SUFFIX: Final[dict[str, Form]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A lead of the file. ``line`` counts from 1 (a CSV row: its first line); ``value`` is the record for ``leads``."""

    line: int
    lead_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no lead. ``raw`` is the row as it stands, cut at 1 MiB; ``reason`` holds nothing of it."""

    line: int
    raw: bytes
    reason: str


Row = LeadRow | BadRow


class LeadFileError(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


def guess_form(name: str) -> Form:
    """The form of a file by its name.

    Raises:
        LeadFileError: the name does not tell.
    """
    try:
        return _FORM_BY_SUFFIX[PurePath(name).suffix.lower()]
    except KeyError:
        raise LeadFileError(f"{name}: cannot tell the form from the name; pass --form jsonl or --form csv") from None


def read_leads(stream: BinaryIO, *, name: str, form: Form) -> Iterator[Row]:
    """The rows of a file, in order; blank lines are skipped.

    A row keeps its own ``lead_id``; otherwise the id is a uuid5 of ``name``, line and content, so a file that is sent
    twice under one name is the same leads. CSV follows RFC 4180 with a header row; its values stay strings; after
    a row that cannot be parsed, reading resumes at the next line.

    Raises:
        LeadFileError: the CSV header is unusable.
    """
    return _json_rows(stream, name) if form == "jsonl" else _csv_rows(stream, name)


def _json_rows(stream: BinaryIO, name: str) -> Iterator[Row]:
    for line, raw, complete in _physical_lines(stream):
        content = raw.strip()
        if not complete:
            yield BadRow(line, content, _TOO_LONG)
        elif content:
            try:
                yield _lead_row(name, line, content, as_object(parse(content)))
            except InvalidLeadError as error:
                yield BadRow(line, content, error.reason)


def _csv_rows(stream: BinaryIO, name: str) -> Iterator[Row]:
    source = _CsvSource(_physical_lines(stream))
    # strict: a misplaced or unclosed quote is an error; otherwise it would silently merge fields.
    reader = csv.reader(source, strict=True)
    header: tuple[str, ...] | None = None
    while True:
        source.start_row()
        try:
            values = next(reader)
        except StopIteration:
            return
        except (csv.Error, _RowTooLongError) as error:
            if header is None:
                raise LeadFileError(f"{name}: the CSV header (line {source.line}) is unusable: {error}") from None
            yield BadRow(source.line, source.raw, str(error))
            continue
        if not values:
            continue
        if header is None:
            header = _header(name, values)
            continue
        try:
            if len(values) != len(header):
                raise InvalidLeadError(f"{len(values)} columns where the header has {len(header)}")
            if not _is_utf8(values):
                raise InvalidLeadError("not UTF-8")
            yield _lead_row(name, source.line, source.raw, dict(zip(header, values, strict=True)))
        except InvalidLeadError as error:
            yield BadRow(source.line, source.raw, error.reason)


def _lead_row(name: str, line: int, content: bytes, fields: Mapping[str, object]) -> LeadRow:
    place = f"{name}\0{line}\0".encode("utf-8", "surrogateescape") + content
    # uuid5 takes text only; Latin-1 maps every byte to one character, so distinct contents stay distinct.
    lead_id = own_lead_id(fields) or str(uuid5(FILE_NAMESPACE, place.decode("latin-1")))
    return LeadRow(line, lead_id, encode(fields, lead_id))


_TOO_LONG: Final = f"longer than {MAX_ROW_BYTES:,} bytes"


class _RowTooLongError(Exception):
    def __init__(self) -> None:
        super().__init__(_TOO_LONG)


def _physical_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """(line number, the line with its end, whether it is complete): an overlong line is cut, its rest is skipped."""
    line = 0
    while raw := stream.readline(MAX_ROW_BYTES):
        line += 1
        complete, rest = True, raw
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_ROW_BYTES)
            complete = complete and not rest
        yield line, raw.removeprefix(_BYTE_ORDER_MARK) if line == 1 else raw, complete


@dataclass(slots=True)
class _CsvSource:
    """Feeds the CSV reader and remembers the bytes of the current row, which may span several lines."""

    lines: Iterator[tuple[int, bytes, bool]]
    line: int = 0
    _last: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def start_row(self) -> None:
        self.line, self._parts, self._size = self._last + 1, [], 0

    @property
    def raw(self) -> bytes:
        return b"".join(self._parts)[:MAX_ROW_BYTES].rstrip(b"\r\n")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._last, raw, complete = next(self.lines)
        self._parts.append(raw)
        self._size += len(raw)
        if not complete or self._size > MAX_ROW_BYTES:
            raise _RowTooLongError
        # Bytes that are not UTF-8 pass as surrogates, so that they spoil their own row only.
        return raw.decode("utf-8", "surrogateescape")


def _is_utf8(values: list[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _header(name: str, values: list[str]) -> tuple[str, ...]:
    if not _is_utf8(values):
        raise LeadFileError(f"{name}: the CSV header is not UTF-8; save the file as CSV UTF-8")
    names = tuple(_snake_case(value) for value in values)
    if not all(names):
        raise LeadFileError(f"{name}: column {names.index('') + 1} of the CSV header has no name; name it or remove it")
    if repeated := next((n for n in names if names.count(n) > 1), None):
        raise LeadFileError(f"{name}: the CSV header has two columns {repeated!r}; rename one of them")
    return names


def _snake_case(title: str) -> str:
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", title.strip())
    return re.sub(r"\W+", "_", separated.lower()).strip("_")
