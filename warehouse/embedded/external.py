"""External data: tables that come with a request and are there for its statement only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from warehouse.embedded.errors import BAD_ARGUMENTS, ClickHouseError
from warehouse.embedded.multipart import Part
from warehouse.embedded.spool import spooled
from warehouse.quoting import quote

if TYPE_CHECKING:
    from chdb.state.sqlitelike import Connection

_OPTIONS: Final = ("format", "structure", "types")
_FORMAT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_TYPE: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|[()]|,|[^'(),]+""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Rows in ``format``; ``structure`` are their columns, as in ``n UInt8, s String``."""

    name: str
    format: str
    structure: str
    data: memoryview

    @classmethod
    def read(cls, part: Part, options: Mapping[str, str]) -> ExternalTable:
        """A file of a form, with what fields or arguments say of it: ``<name>_format``, ``_structure`` or ``_types``.

        Raises ClickHouseError 36 when they do not say its columns.
        """
        structure = options.get(f"{part.name}_structure") or _structure(options.get(f"{part.name}_types", ""))
        name = options.get(f"{part.name}_format") or "TabSeparated"
        if not structure:
            raise ClickHouseError(
                BAD_ARGUMENTS,
                f"Neither structure nor types have been provided for external table {part.name}. "
                f"Use fields {part.name}_structure or {part.name}_types to do so. (BAD_ARGUMENTS)",
            )
        if not _FORMAT.fullmatch(name):
            raise ClickHouseError(BAD_ARGUMENTS, f"{name!r} is no name of a format. (BAD_ARGUMENTS)")
        return cls(part.name, name, structure, part.data)


def option_names(table: str) -> set[str]:
    """The fields that speak of that table."""
    return {f"{table}_{option}" for option in _OPTIONS}


@contextmanager
def provided(session: Connection, tables: tuple[ExternalTable, ...]) -> Iterator[None]:
    """The tables as temporary ones of the session, in memory and under its limits; gone when this ends.

    Raises the engine's error for data or a structure that it cannot read.
    """
    made: list[str] = []
    try:
        for table in tables:
            name = quote(table.name, "`")
            with spooled(table.data) as path:
                source = ", ".join(quote(text) for text in (path, table.format, table.structure, "none"))
                session.query(
                    f"CREATE TEMPORARY TABLE {name} ENGINE = Memory AS SELECT * FROM file({source}) "  # noqa: S608
                    "SETTINGS max_insert_threads = 1, parallelize_output_from_storages = 0"
                )
            made.append(name)
        yield
    finally:
        for name in made:
            with suppress(RuntimeError):  # The statement may have dropped it.
                session.query(f"DROP TEMPORARY TABLE {name}")


def _structure(types: str) -> str:
    """Columns ``_1``, ``_2``, … of types that commas separate."""
    depth = 0
    columns = [""]
    for match in _TYPE.finditer(types):
        text = match[0]
        depth += (text == "(") - (text == ")")
        if text == "," and depth == 0:
            columns.append("")
        else:
            columns[-1] += text
    return ", ".join(f"_{number} {column.strip()}" for number, column in enumerate(columns, 1)) if types else ""
