"""``leadline query``: SQL to the warehouse, from a terminal or a script."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline import environment
from leadline.errors import CommandError

SHOWN_ROWS: Final = 1_000
READ_ONLY: Final = {"readonly": 2}
"""Nothing is written or defined; settings may be given in the statement."""
_ANSWER: Final = re.compile(r"(Code: \d+\. .*?)(?: \(for url [^()]*\))?$", re.DOTALL)


def query(
    sql: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    param: Annotated[tuple[str, ...], Parameter(name=["--param", "-p"], negative="")] = (),
    format: Annotated[str | None, Parameter(name=["--format", "-f"])] = None,  # noqa: A002  # ClickHouse's own word
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Ask the warehouse in SQL. Nothing can be changed by it.

    leadline query "SELECT outcome, count() FROM lead_events FINAL GROUP BY outcome"

    leadline query -p lead=6ee5c119-8d6d-4c9d-8000-43d6c7a8dd62 "SELECT * FROM lead_events WHERE lead_id = {lead:UUID}"

    Names without a database are of LEADLINE_CLICKHOUSE_DATABASE. `lead_events` wants FINAL where a lead may have been
    replayed.

    Parameters
    ----------
    sql:
        One statement; - reads it from standard input.
    param:
        NAME=VALUE for a {NAME:Type} in the statement; may be given several times.
    format:
        Print the rows as they come, in any format of ClickHouse, such as CSVWithNames, TSV or Vertical.
    as_json:
        Print a JSON object a row, a line each: the same as --format JSONEachRow.
    """
    from clickhouse_connect.driver.exceptions import Error

    from warehouse.client import connect

    settings = environment.settings()
    statement = sys.stdin.read() if sql == "-" else sql
    parameters = dict(_parameter(one) for one in param)
    options: dict[str, Any] = {"parameters": parameters, "settings": READ_ONLY}
    chosen = "JSONEachRow" if as_json else format
    try:
        client = connect(environment.clickhouse_of(settings), database=settings.clickhouse_database)
        if chosen is not None:
            with client.raw_stream(statement, fmt=chosen, **options) as stream:
                for chunk in iter(lambda: stream.read(1 << 16), b""):
                    sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            return
        _show(client.query(statement, **options))
    except Error as error:
        raise CommandError(_reason(error), _hint(str(error))) from error


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CommandError(f"{text!r} is no parameter.", "Write --param NAME=VALUE, and {NAME:Type} in the statement.")
    return name, value


def _show(result: Any) -> None:
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows = result.result_rows
    for name, kind in zip(result.column_names, result.column_types, strict=True):
        number = any(word in kind.name for word in ("Int", "Float", "Decimal"))
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)
    more = f", the first {SHOWN_ROWS:,} of them shown: --json or --format prints all" if len(rows) > SHOWN_ROWS else ""
    console.print(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}{more}", style="dim", highlight=False)


def _reason(error: Exception) -> str:
    """The engine's own words, without what the driver puts around them."""
    said = _ANSWER.search(str(error))
    return (said[1] if said else str(error).strip())[:1000]


def _hint(text: str) -> str:
    if "UNKNOWN_TABLE" in text or "UNKNOWN_DATABASE" in text:
        return '`leadline query "SHOW TABLES"` lists what there is; `leadline up` makes what is missing.'
    if "UNKNOWN_IDENTIFIER" in text:
        return '`leadline query "DESCRIBE lead_events"` lists the columns, each with what it means.'
    if "READONLY" in text or "readonly" in text:
        return "This command only reads."
    return ""
