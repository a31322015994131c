"""A CSV file in, a compiled list out, and an account of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

from connectors.suppression.columns import Columns, find_columns, reader_of
from connectors.suppression.compiled_file import Header, write_compiled
from connectors.suppression.compiler import Compiler
from connectors.suppression.csv_rows import Row, open_csv
from connectors.suppression.errors import SuppressionError
from connectors.suppression.keyed_hashes import KeyedHashes, Shape
from connectors.suppression.normal_form import InvalidValueError, day
from schemas.config.suppression import Hashed, ListField, ListKind, MatchRule

FAULTS_TOLD: Final = 10
TICK_ROWS: Final = 4096


@dataclass(frozen=True)
class Request:
    """What to import. ``columns`` has columns by field or ``date``; ``date_format`` is in the codes of ``strptime``."""

    name: str
    kind: ListKind
    rule: MatchRule
    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None


@dataclass
class Account:
    """Every row, once: ``rows`` = ``accepted`` + ``duplicates`` + ``bad``; the header is none.

    A row is a duplicate when all it says was said before. ``incomplete`` rows are among the accepted and the
    duplicates: a value of theirs was left out because it is wrong. ``faults`` has the line and the reasons of the first
    ten rows with something wrong.
    """

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    bad: int = 0
    incomplete: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)

    def tell(self, line: int, reason: str) -> None:
        """Remember a fault, if it is among the first."""
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append((line, reason))


def import_list(
    file: Path,
    compiled: Path,
    request: Request,
    *,
    secret: bytes,
    now: datetime,
    on_progress: Callable[[int, int], None] = lambda done, size: None,
) -> Account:
    """Compile a CSV file and replace the list in one step; ``on_progress`` is told bytes read and in all.

    Raises:
        SuppressionError: the file cannot be read, its columns cannot be told, or it has no good row. The list stays
            as it was.
    """
    hashes = KeyedHashes(request.rule, secret)
    with open_csv(file) as opened:
        first = next(opened.rows, None)
        if first is None:
            raise SuppressionError(f"{file} is empty")
        if isinstance(first[1], str):
            raise SuppressionError(f"{file}, line {first[0]}: {first[1]}")
        dated = request.kind is ListKind.DUPLICATE_DATABASE
        try:
            columns = find_columns(
                first[1], request.rule, request.columns, dated=dated, date_format=request.date_format
            )
        except SuppressionError as error:
            raise SuppressionError(f"{file}: {error}") from None
        reading = _Reading(request, hashes, columns)
        for row in opened.rows if columns.header else chain([first], opened.rows):
            reading.take(row)
            if reading.account.rows % TICK_ROWS == 0:
                on_progress(opened.position, opened.size)
        on_progress(opened.size, opened.size)
    account = reading.account
    if not reading.compiler.rows:
        told = "; ".join(f"line {line}: {reason}" for line, reason in account.faults)
        raise SuppressionError(f"{file} has no good row among {account.rows:,} ({told}); the list stays as it was")
    result = reading.compiler.finish()
    account = replace(account, accepted=result.accepted, duplicates=account.rows - account.bad - result.accepted)
    header = Header(
        name=request.name,
        kind=request.kind,
        rule=request.rule,
        shapes=tuple(sorted(reading.shapes)),
        dated=columns.date is not None,
        source=file.name,
        imported_at=now,
        rows=account.rows,
        accepted=account.accepted,
        duplicates=account.duplicates,
        bad=account.bad,
        entries=result.entries,
        index_bits=result.index_bits,
        key_check=hashes.key_check,
    )
    write_compiled(compiled, header, result.starts, result.data)
    return account


class _Reading:
    """The rows so far."""

    def __init__(self, request: Request, hashes: KeyedHashes, columns: Columns) -> None:
        self.account = Account()
        self.compiler = Compiler(dated=columns.date is not None)
        self.shapes: set[Shape] = set()
        self._date, self._date_format = columns.date, request.date_format
        self._readers = [(f, at, reader_of(f, request.rule)) for f, at in columns.fields.items()]
        places = list(columns.fields.values())
        self._mixed = len(set(places)) < len(places) and request.rule.hashed is Hashed.NONE
        self._required = request.rule.required
        self._last_place = max([*places, columns.date or 0])
        self._hashes = hashes
        self._by_fields = bool(request.rule.fields)

    def take(self, row: Row) -> None:
        line, cells = row
        self.account.rows += 1
        if isinstance(cells, str):
            return self._bad(line, [cells])
        if len(cells) <= self._last_place:
            return self._bad(line, [f"{len(cells)} columns where {self._last_place + 1} are needed"])
        values, faults = self._values(cells)
        lacking = self._required - values.keys()
        if lacking or not values:
            return self._bad(line, faults or [f"{min(lacking, default='the row')} is empty"])
        moment = 0
        if self._date is not None:
            try:
                moment = day(cells[self._date], self._date_format)
            except InvalidValueError as error:
                return self._bad(line, [*faults, f"date: {error}"])
        if self._by_fields:
            self.shapes.add(self._hashes.shape(values))
        self.compiler.add(self._hashes.of_row(values), moment)
        if faults:
            self.account.incomplete += 1
            self._tell(line, faults)
        return None

    def _values(self, cells: list[str]) -> tuple[dict[ListField, str], list[str]]:
        values, faults = {}, []
        for name, at, read in self._readers:
            text = cells[at]
            if self._mixed and ("@" in text) != (name == "email"):
                continue
            try:
                values[name] = read(text)
            except InvalidValueError as error:
                if text and not text.isspace():
                    faults.append(f"{name}: {error}")
        return values, faults

    def _bad(self, line: int, faults: Iterable[str]) -> None:
        self.account.bad += 1
        self._tell(line, faults)

    def _tell(self, line: int, faults: Iterable[str]) -> None:
        self.account.tell(line, "; ".join(faults))
