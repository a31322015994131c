"""The data dictionary: every table and view with its columns' comments, and every metric. Made of the SQL itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from warehouse.metrics import metrics
from warehouse.migrate import migrations
from warehouse.views import views

_RELATION: Final = re.compile(r"CREATE (?:OR REPLACE VIEW|TABLE IF NOT EXISTS) \{database\}\.(\w+)")
_ADDED: Final = re.compile(r"ALTER TABLE \{database\}\.(\w+)\{on_cluster\} ADD COLUMN IF NOT EXISTS\n")
_NESTED: Final = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
"""Parentheses, three deep at most."""
_COLUMN: Final = re.compile(rf"^ {{4}}(?P<name>\w+) +(?P<type>[A-Z]\w*(?:{_NESTED})?)(?P<rest>.*)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"COMMENT '((?:[^']|'')*)'")
_ALTERED: Final = re.compile(r"ALTER TABLE \{database\}\.(\w+)\{on_cluster\}\s")
_COMMENTED: Final = re.compile(r"\bCOMMENT COLUMN IF EXISTS (\w+) '((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what it means."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view."""

    name: str
    comment: str
    columns: tuple[Column, ...]


def relations() -> list[Relation]:
    """Views, then tables, in the order of their names; what later migrations added or said of columns is a table's too,
    new ones last."""
    tables: dict[str, Relation] = {}
    for statement in (one.sql for migration in migrations() for one in migration.statements):
        if _RELATION.match(statement):
            table = _relation(statement)
            tables[table.name] = table
        elif added := _ADDED.match(statement):
            table = tables[added[1]]
            tables[table.name] = replace(table, columns=(*table.columns, *_columns(statement)))
        elif altered := _ALTERED.match(statement):
            said = {name: _unquoted(text) for name, text in _COMMENTED.findall(statement)}
            tables[altered[1]] = _commented(tables[altered[1]], said)
    return sorted((_relation(view.sql) for view in views()), key=lambda one: one.name) + sorted(
        tables.values(), key=lambda one: one.name
    )


def render() -> str:
    """The dictionary as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Data dictionary"
    yield ""
    yield "Made by `leadline warehouse dictionary` from the warehouse's own SQL. Views are free of personal data."
    yield ""
    yield "## Metrics"
    yield ""
    yield (
        "Each has one definition, in `warehouse/metrics.yml`, which views, dashboards and the cookbook share."
        " `{NAME}` is another metric, or the sum of a column. Over a view that has them as columns, money and numbers"
        " of sales are summed."
    )
    yield ""
    yield "| metric | what it is | unit | over | SQL |"
    yield "|---|---|---|---|---|"
    for metric in metrics().values():
        yield f"| `{metric.name}` | {metric.what} | {metric.unit} | {metric.over} | `{metric.sql}` |"
    for relation in relations():
        yield ""
        yield f"## {relation.name}"
        yield ""
        if relation.comment:
            yield relation.comment
            yield ""
        yield "| column | type | what it is |"
        yield "|---|---|---|"
        for column in relation.columns:
            yield f"| `{column.name}` | `{column.type}` | {column.comment} |"
    yield ""


def _relation(sql: str) -> Relation:
    found = _RELATION.match(sql)
    assert found is not None  # noqa: S101  # a file of another kind would be no table and no view
    head, _, tail = sql.partition("\n)")
    about = _COMMENT.findall(tail)
    return Relation(found[1], _unquoted(about[-1]) if about else "", tuple(_columns(head)))


def _columns(sql: str) -> Iterator[Column]:
    return (_column(match) for match in _COLUMN.finditer(sql))


def _commented(table: Relation, said: Mapping[str, str]) -> Relation:
    columns = (replace(column, comment=said.get(column.name, column.comment)) for column in table.columns)
    return replace(table, columns=tuple(columns))


def _column(match: re.Match[str]) -> Column:
    said = _COMMENT.search(match["rest"])
    comment = _unquoted(said[1]) if said else ""
    return Column(match["name"], match["type"], comment.replace("|", "\\|"))


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
