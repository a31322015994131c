"""The statement that makes a table's rows of an Avro file's: ``INSERT … SELECT … FROM input(…) … FORMAT Avro``.

What a statement costs ClickHouse before its first row is by its size, so it has only the slots that a batch has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from schemas.avro_schema import schema_of
from warehouse.quoting import quote
from warehouse.tables.avro_file import AvroFile, Row, clickhouse_type
from warehouse.tables.table import OFFSET, PARTITION, TOPIC, UNREADABLE, Columns, Source, Table, Unreadable, slot_of

_SETTINGS: Final = (
    # One thread, so that the rows' order is the file's. And nothing that makes a query over many rows faster by taking
    # longer to begin: there are few.
    "max_threads = 1, max_insert_threads = 1, compile_expressions = 0, query_plan_enable_optimizations = 0,"
    " optimize_functions_to_subcolumns = 0, optimize_extract_common_expressions = 0, optimize_and_compare_chain = 0,"
    " output_format_json_quote_decimals = 1, output_format_json_quote_64bit_integers = 0,"
    " date_time_output_format = 'iso',"
    # A value that is missing is refused, never made up.
    " insert_null_as_default = 0"
)
_FIELD: Final = re.compile(r"\br\.(\w+)")
_OF_EVENT: Final = re.compile(r"\be\.")


class Statement:
    """An insert into a table of rows in some slots."""

    def __init__(self, table: Table, slots: Sequence[str]) -> None:
        self._table, self._slots = table, slots
        self._of = {slot: _source(table, slot) for slot in slots}
        self._file = AvroFile([(slot, schema_of(source.model)) for slot, source in self._of.items()])

    def data(self, rows: Iterable[Row]) -> bytes:
        """The rows as the statement's data."""
        return self._file.of(rows)

    def sql(self, database: str) -> str:
        """The statement, up to its data.

        In three steps, since a name that stands for an expression costs as much wherever it is used: what is decoded,
        the columns, and the conditions on them.
        """
        table = self._table
        columns = self._columns()
        made = ",\n    ".join(f"{sql} AS {name}" for name, sql in {**columns, "_holds": self._holds()}.items())
        checks = " AND ".join(["_holds", *table.checks])
        # Not in WHERE: planning a filter beneath so many columns takes as long as all the rest.
        checked = f"{PARTITION} + throwIf(NOT ifNull({checks}, false), 'a value is not what its column holds')"
        shown = ", ".join(f"{checked} AS {name}" if name == PARTITION else name for name in columns)
        where = f"WHERE {table.only.format(database=database)}\n" if table.only else ""
        return (
            f"INSERT INTO {database}.{table.name} ({', '.join(columns)})\n"  # noqa: S608  # names of ours
            f"SELECT {shown}\n"
            f"FROM (\n  SELECT\n    {made}\n"
            f"  FROM (\n    SELECT {self._decoded()}\n"
            f"    FROM input({quote(self._file.structure)})\n  )\n)\n"
            f"{where}SETTINGS {_SETTINGS}\n"
            "FORMAT Avro\n"
        )

    def _decoded(self) -> str:
        """The inner columns: the event's own fields, what each slot's source makes of it, and the elements."""
        fields = _fields(self._table)
        number = ", ".join(f"notEmpty({slot}), {at}" for at, slot in enumerate(self._slots, 1))
        place = f"{PARTITION} + throwIf(_mark != _end, 'a value is not what its schema says') AS {PARTITION}"
        parts = [place, "_mark", "_run", f"multiIf({number}, 0) AS _slot"]
        if fields:
            row = quote(f"Array(Tuple({', '.join(f'{name} {of}' for name, of in fields.items())}))")
            own = ", ".join(f"CAST({slot}, {row})" for slot in self._slots)
            parts.append(f"arrayConcat({own})[1] AS r")
        parts += [
            f"arrayMap(e -> tuple({', '.join(made)}), {slot})[1] AS _{slot}"
            for slot in self._slots
            if (made := [*_of_event(self._of[slot].columns).values(), *_check(self._of[slot])])
        ]
        if self._table.element:
            of = quote(f"Array({self._table.element})")
            each = ", ".join(
                f"arrayFlatten(arrayMap(e -> CAST({_each(self._of[slot])}, {of}), {slot}))" for slot in self._slots
            )
            parts.append(f"arrayJoin(arrayConcat({each})) AS x")
        return ", ".join(parts)

    def _columns(self) -> dict[str, str]:
        return {name: self._column(name) for name in self._table.names} | {
            TOPIC: self._column(TOPIC),
            PARTITION: PARTITION,
            OFFSET: "reinterpretAsUInt64(substring(_mark, 2))",
        }

    def _column(self, name: str) -> str:
        """The slots' own SQL of a column, and the table's for those that have none."""
        chosen = {at: sql for at, source in self._numbered() if (sql := _own(source, name)) is not None}
        table = self._table.columns.get(name)
        if not chosen and table is not None:
            return table
        if len(chosen) == len(self._slots) and all(map(_is_constant, chosen.values())):
            return f"[{', '.join(chosen.values())}][_slot]"
        made = {
            at: sql if _is_constant(sql) else f"_{self._slots[at - 1]}.{self._made(at).index(name) + 1}"
            for at, sql in chosen.items()
        }
        rest = made.pop(max(made)) if table is None or len(made) == len(self._slots) else table
        return f"multiIf({', '.join(f'_slot = {at}, {sql}' for at, sql in made.items())}, {rest})" if made else rest

    def _holds(self) -> str:
        """Does the event meet its source's checks?"""
        checks = [
            f"_slot = {at}, _{self._slots[at - 1]}.{len(self._made(at)) + 1}"
            for at, source in self._numbered()
            if _check(source)
        ]
        return f"multiIf({', '.join(checks)}, true)" if checks else "true"

    def _numbered(self) -> Iterable[tuple[int, Source | Unreadable]]:
        return enumerate(self._of.values(), 1)

    def _made(self, at: int) -> list[str]:
        return list(_of_event(self._of[self._slots[at - 1]].columns))


@cache
def statement_of(table: Table, slots: tuple[str, ...]) -> Statement:
    """The statement for rows in these slots."""
    return Statement(table, slots)


def _source(table: Table, slot: str) -> Source | Unreadable:
    if slot == UNREADABLE:
        assert table.unreadable is not None  # noqa: S101  # Table.rows has used it
        return table.unreadable
    return next(source for source in table.sources if slot_of(source.topic) == slot)


def _own(source: Source | Unreadable, name: str) -> str | None:
    if name == TOPIC and isinstance(source, Source):
        return quote(source.topic)
    return source.columns.get(name)


def _is_constant(sql: str) -> bool:
    return _OF_EVENT.search(sql) is None


def _of_event(columns: Columns) -> Mapping[str, str]:
    """The columns that an event is needed for, not constants."""
    return {name: sql for name, sql in columns.items() if not _is_constant(sql)}


def _check(source: Source | Unreadable) -> list[str]:
    checks = source.checks if isinstance(source, Source) else ()
    return [" AND ".join(f"({check})" for check in checks)] if checks else []


def _each(source: Source | Unreadable) -> str:
    return source.each if isinstance(source, Source) else "[]"


@cache
def _fields(table: Table) -> Mapping[str, str]:
    """The events' own fields that the table's SQL is of, and their types."""
    models = [source.model for source in table.sources]
    if table.unreadable is not None:
        models.append(table.unreadable.model)
    known: dict[str, set[str]] = {}
    for model in models:
        for name, of in _types(schema_of(model)).items():
            known.setdefault(name, set()).add(of)
    names = sorted({name for sql in table.columns.values() for name in _FIELD.findall(sql)})
    # Of some events it may be missing: then it is so for all.
    return {name: max(known[name], key=lambda of: of.startswith("Nullable(")) for name in names}


def _types(schema: dict[str, Any]) -> dict[str, str]:
    known: dict[str, str] = {}
    return {field["name"]: clickhouse_type(field["type"], known) for field in schema["fields"]}
