"""What the sink writes: tables, and how a record becomes a table's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.record import Record
from warehouse.rows import COLUMNS, Row, refused_row, row_of

# Columns that every table of the sink has: where a row comes from.
TOPIC: Final = "_topic"
PARTITION: Final = "_partition"
OFFSET: Final = "_offset"


@dataclass(frozen=True, slots=True)
class Target:
    """A table. Both functions are pure: the same record gives the same rows, so that a plan gives the same block.

    ``refused`` gives the row that stands in for one that the table does not take; None where there is none.
    """

    table: str
    columns: tuple[str, ...]
    rows_of: Callable[[Record], Sequence[Row]]
    refused: Callable[[Record], Row | None]


def _one(record: Record) -> Sequence[Row]:
    return (row_of(record),)


LEAD_EVENTS: Final = Target("lead_events", COLUMNS, _one, refused_row)
TARGETS: Final[tuple[Target, ...]] = (LEAD_EVENTS,)
