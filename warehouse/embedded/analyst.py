"""What an analyst may read, and how much: the engine's ``readonly = 1``, and what that leaves open, closed here.

The engine has no grants when it is embedded, and its readonly sessions still read every table, and files by the scalar
``file()``. So a statement is read by the engine's own parser (``EXPLAIN AST``, nothing is run), and every table and
function that it names must be one that analysts have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from warehouse.embedded.errors import ACCESS_DENIED, READONLY, ClickHouseError
from warehouse.embedded.statement import Statement, quoted_names
from warehouse.rollups import rollups
from warehouse.views import views

# Runs a query with parameters and gives its answer as raw tab-separated text.
Ask = Callable[[bytes, Mapping[str, str]], str]

# Of the warehouse's database. The one list of what analysts read.
TABLES: Final = frozenset(
    {
        *("lead_events", "replays", "ingested", "schema_migrations", "rollup_hours", "sink_gaps", "sunk_topics"),
        *("deliveries", "feedback", "dead_letters", "routing_evaluations", "cap_ledger", "releases"),
        *(f"rollup_{name}" for name in rollups()),
        *(view.name for view in views()),
    }
)
# What clients ask before they show anything. Not `processes`: it holds other people's literals.
SYSTEM_TABLES: Final = frozenset(
    (
        "aggregate_function_combinators",
        "collations",
        "columns",
        "contributors",
        "data_type_families",
        "databases",
        "formats",
        "functions",
        "keywords",
        "one",
        "numbers",
        "settings",
        "table_engines",
        "table_functions",
        "tables",
        "time_zones",
        "zeros",
    )
)
INFORMATION_SCHEMA: Final = frozenset({"columns", "schemata", "tables", "key_column_usage", "views"})

_KINDS: Final = frozenset(
    (
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "Explain",
        "DescribeQuery",
        "ShowTables",
        "ShowColumns",
        "ShowFunctions",
        "ExistsDatabaseQuery",
        "ExistsTableQuery",
        "ExistsViewQuery",
        "UseQuery",
        "Set",
    )
)
_TABLE_FUNCTIONS: Final = frozenset(
    (
        "format",  # the scalar of that name is meant; the table function reads its argument only
        "generate_series",
        "generateseries",
        "null",
        "numbers",
        "numbers_mt",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    )
)
_READING_FUNCTIONS: Final = re.compile(r"file|dict\w*|joinget\w*|catboost\w*|python\w*|hascolumnintable", re.IGNORECASE)
_LINE: Final = re.compile(r"(?P<indent> *)(?P<kind>[A-Za-z]+)(?: (?P<rest>.*))?")
_NOTE: Final = re.compile(r" \((?:alias .*|children \d+)\)$")
_IN: Final = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[\w.$-]+")

# An analyst may ask for less than this, never for more; None where it is not a limit but a fixed value.
_LIMITS: Final[dict[str, int]] = {
    "max_execution_time": 30,
    "max_memory_usage": 2 << 30,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 1 << 30,
    "max_rows_to_read": 2_000_000_000,
    "max_threads": 2,
    "max_ast_elements": 50_000,
}
_FIXED: Final[dict[str, str]] = {
    "result_overflow_mode": "throw",
    "read_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
}
_FREE: Final = re.compile(
    r"output_format_(?!schema)\w+|date_time_(?:in|out)put_format|format_csv_delimiter|max_block_size"
    r"|input_format_(?:allow_errors_(?:num|ratio)|null_as_default|skip_unknown_fields|with_names_use_header|[ct]sv_\w+)"
)
# Clients send these whatever they ask (clickhouse-jdbc does); who cannot insert loses nothing.
_IDLE: Final = re.compile(r"readonly|(?:wait_for_)?async_insert\w*|insert_\w+")
# What columns of external data are made of: no defaults, which may call functions, and nothing after the columns.
_COLUMNS: Final = frozenset(
    (
        "ASTObjectTypeArgument",
        "ColumnDeclaration",
        "Columns",
        "CreateQuery",
        "DataType",
        "EnumDataType",
        "ExpressionList",
        "Identifier",
        "Literal",
        "ObjectTypedPath",
        "TupleDataType",
    )
)


@dataclass(frozen=True, slots=True)
class Analyst:
    """What analysts have of the warehouse in ``database``."""

    database: str

    def settings(self, asked: Mapping[str, str]) -> dict[str, str]:
        """The settings of an analyst's session before it turns readonly. Raises ClickHouseError 164 for others."""
        settings = {name: str(limit) for name, limit in _LIMITS.items()} | _FIXED
        for name, value in asked.items():
            limit = _LIMITS.get(name)
            if limit is not None:
                if value.isdecimal() and 0 < int(value) < limit:
                    settings[name] = value
            elif name in _FIXED:
                continue
            elif _FREE.fullmatch(name):
                settings[name] = value
            elif not _IDLE.fullmatch(name):
                raise ClickHouseError(
                    READONLY, f"Cannot modify {name!r} setting in readonly mode: you are an analyst here. (READONLY)"
                )
        return settings

    def check(self, statement: Statement, parameters: Mapping[str, str], current: str, ask: Ask) -> None:
        """Refuse (497) a statement that names what analysts do not have; ``current`` is the database it runs in.

        ``ask`` must run in the analyst's own session and refuse several statements, which the engine would run. Raises
        the engine's error for what it cannot parse.
        """
        names = quoted_names(statement.sql)
        if b":identifier" in statement.sql.replace(b" ", b"").lower():
            names += [value.encode() for value in parameters.values()]
        # A name with an end of line in it could pass for a line of what the engine's parser says.
        if statement.data is not None or any(set(name) & set(b"\n\r\\") for name in names):
            raise _denied("this statement")
        lines = [_LINE.fullmatch(line) for line in ask(b"EXPLAIN AST " + statement.sql, parameters).splitlines()]
        if not lines or lines[0] is None or lines[0]["kind"] not in _KINDS:
            raise _denied("this kind of statement")
        self._check_functions(lines, ask)
        self._check_tables(_tables(lines), current, ask)

    def check_structures(self, structures: Iterable[str], ask: Ask) -> None:
        """Refuse (497) columns of external data that are more than names and types. Raises the engine's own errors."""
        for structure in structures:
            lines = ask(b"EXPLAIN AST CREATE TABLE external (%b\n)" % structure.encode(), {}).splitlines()
            kinds = {found["kind"] if (found := _LINE.fullmatch(line)) else "" for line in lines}
            if not kinds <= _COLUMNS:
                raise _denied("columns that are more than a name and a type")

    def _check_functions(self, lines: Iterable[re.Match[str] | None], ask: Ask) -> None:
        used = {_bare(line).lower() for line in lines if line is not None and line["kind"] == "Function"}
        if not used:
            return
        reaching = {name.lower() for name in ask(b"SELECT name FROM system.table_functions", {}).split()}
        for name in sorted(used):
            if (name in reaching and name not in _TABLE_FUNCTIONS) or _READING_FUNCTIONS.fullmatch(name):
                raise _denied(f"the function {name}()")

    def _check_tables(self, names: Iterable[str], current: str, ask: Ask) -> None:
        for name in names:
            if not _PLAIN.fullmatch(name):
                raise _denied("a table with such a name")
            database, _, table = name.rpartition(".")
            if self._has(database or current, table):
                continue
            # A name that is no table is a common table expression, a column, or the engine's error to say.
            exists = b"SELECT count() FROM system.tables WHERE concat(database, '.', name) IN ({a:String}, {b:String})"
            if ask(exists, {"a": name, "b": f"{current}.{name}"}).strip() != "0" or name.count(".") > 1:
                raise _denied(f"the table {name}")

    def _has(self, database: str, table: str) -> bool:
        if database == self.database:
            return table in TABLES
        if database == "system":
            return table in SYSTEM_TABLES
        return database.lower() == "information_schema" and table.lower() in INFORMATION_SCHEMA


def _tables(lines: Iterable[re.Match[str] | None]) -> list[str]:
    """The names at the places of tables: after FROM, and on the right of IN, where one may stand for its rows."""
    names: list[str] = []
    in_depths: list[int] = []
    for line in lines:
        if line is None:
            continue
        depth = len(line["indent"])
        in_depths = [other for other in in_depths if other < depth]
        if line["kind"] == "Function" and _IN.fullmatch(_bare(line)):
            in_depths.append(depth)
        elif line["kind"] == "TableIdentifier" or (line["kind"] == "Identifier" and depth - 2 in in_depths):
            names.append(_bare(line))
    return names


def _bare(line: re.Match[str]) -> str:
    name = line["rest"] or ""
    while note := _NOTE.search(name):
        name = name[: note.start()]
    return name


def _denied(what: str) -> ClickHouseError:
    return ClickHouseError(
        ACCESS_DENIED,
        f"Not enough privileges: analysts have no access to {what}; SHOW TABLES lists what there is. (ACCESS_DENIED)",
    )
