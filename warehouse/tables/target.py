"""What the sink writes: a table, its columns, and how a record becomes its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas import headers
from schemas.events import Event
from schemas.record import Record
from warehouse.tables.content import Content

# Columns that every table of the sink has: where a row comes from.
TOPIC: Final = "_topic"
PARTITION: Final = "_partition"
OFFSET: Final = "_offset"
PLACE: Final = (TOPIC, PARTITION, OFFSET)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A table. The functions are pure: the same record gives the same rows, so that a plan gives the same block.

    ``topics`` are those whose records may have rows here. ``refused`` gives the row that stands in for one that the
    table does not take; where there is none, it is left out, and counted. ``only`` is a condition in ClickHouse's
    words, with ``{database}`` in it, that ClickHouse itself looks at as it inserts: rows that do not meet it are left
    out.
    """

    table: str
    columns: tuple[str, ...]
    topics: frozenset[str]
    rows_of: Callable[[Record, Content], Sequence[Row]]
    refused: Callable[[Record], Row | None] = lambda record: None
    only: str = ""


def target(
    table: str,
    columns: Sequence[str],
    topics: Sequence[str],
    rows_of: Callable[[Record, Content], Sequence[Mapping[str, Any]]],
    *,
    only: str = "",
) -> Target:
    """A table whose rows are given by column, without where they come from."""

    def rows(record: Record, content: Content) -> Sequence[Row]:
        place = (record.topic, record.partition, record.offset)
        return [(*(row[name] for name in columns), *place) for row in rows_of(record, content)]

    return Target(table, (*columns, *PLACE), frozenset(topics), rows, only=only)


def run_of(record: Record, event: Event) -> int:
    """The replay's number: the event's own, or its record's where that is higher."""
    return max(event.run, headers.run_of(record.headers))


def moment(milliseconds: int) -> datetime:
    """A record's time, within what ClickHouse holds."""
    return headers.received_at_of((), milliseconds)
