"""A table of the sink: the topics of its rows, and the SQL by which ClickHouse makes them of the events it decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pydantic import BaseModel

from schemas import headers
from schemas.record import Record
from warehouse.tables.avro_file import Row
from warehouse.tables.body import REFUSED

# Columns that every table of the sink has: where a row comes from.
TOPIC: Final = "_topic"
PARTITION: Final = "_partition"
OFFSET: Final = "_offset"
PLACE: Final = (TOPIC, PARTITION, OFFSET)

UNREADABLE: Final = "unreadable"
"""The slot of what is told of a record that nobody can read, or that the table has refused."""

Columns = Mapping[str, str]
"""SQL by column."""
Entry = tuple[Record, str]
"""A record, and why it cannot be read; empty where it can."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One topic's rows in a table.

    ``body`` gives a record's Avro body, by ``model``'s schema. ``columns`` are those that the table's own SQL does not
    give: SQL of the event ``e``. ``checks`` are conditions of ``e`` without which the record is refused. ``each`` is an
    array of ``e`` where there is a row for each of its elements (:attr:`Table.element`).
    """

    topic: str
    model: type[BaseModel]
    body: Callable[[Record], bytes]
    columns: Columns
    checks: tuple[str, ...] = ()
    each: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable:
    """What a table tells of a record of ``topics`` that nobody can read: ``body`` is of the record and the reason."""

    topics: frozenset[str]
    model: type[BaseModel]
    body: Callable[[Record, str], bytes]
    columns: Columns


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of several topics. Pure: the same records give the same rows in the same order, so a plan the same block.

    ``columns`` is the SQL of those that the sources do not give themselves: of ``r``, which has the event's own fields
    (one that the event has not is empty); of ``x``, which is an element of the source's ``each`` and of the type
    ``element``; and of ``_run``, the replay's number by the record's header. ``checks`` are conditions of the columns
    without which a record is refused. Without ``unreadable`` a record that cannot be read, or is refused, is left
    out; what is refused is counted. ``only`` is a condition, with ``{database}`` in it, that ClickHouse looks at as it
    inserts: rows that do not meet it are left out.
    """

    name: str
    columns: Columns
    sources: tuple[Source, ...]
    unreadable: Unreadable | None = None
    element: str = ""
    checks: tuple[str, ...] = ()
    only: str = ""

    @cached_property
    def topics(self) -> frozenset[str]:
        """The topics whose records may have rows here."""
        return frozenset(self._by_topic) | self._told

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Its columns, but for :data:`PLACE`."""
        own = (name for source in self.sources for name in source.columns)
        return tuple(name for name in dict.fromkeys([*self.columns, *own]) if name != TOPIC)

    def entries(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that may have rows here."""
        known, told = self._by_topic, self._told
        return [entry for entry in entries if entry[0].topic in (told if entry[1] else known)]

    def stand_ins(self, refused: Iterable[Record]) -> list[Entry]:
        """Entries that tell of records of which this table has no rows of their own, and which another has refused."""
        told = self._told - self._by_topic.keys()
        return [(record, REFUSED) for record in refused if record.topic in told]

    def rows(self, entries: Iterable[Entry]) -> list[Row]:
        """The Avro file's rows of entries that :meth:`entries` gave."""
        known, run_of = self._by_topic, headers.run_of
        made = []
        for record, reason in entries:
            if reason:
                assert self.unreadable is not None  # noqa: S101  # entries() leaves out what has no place here
                slot, body = UNREADABLE, self.unreadable.body(record, reason)
            else:
                slot, of = known[record.topic]
                body = of(record)
            run = run_of(record.headers) if record.headers else 0
            made.append((record.partition, record.offset, run, slot, body))
        return made

    @cached_property
    def _told(self) -> frozenset[str]:
        return frozenset() if self.unreadable is None else self.unreadable.topics

    @cached_property
    def _by_topic(self) -> dict[str, tuple[str, Callable[[Record], bytes]]]:
        return {source.topic: (slot_of(source.topic), source.body) for source in self.sources}


# What tables have alike.
RUN: Final = "accurateCast(greatest(r.run, _run), 'UInt32')"
"""The replay's number: the event's own, or its record's where that is higher."""
ATTEMPT: Final = "accurateCast(r.attempt, 'UInt16')"
DECISION: Final = "accurateCast(r.decision, 'UInt16')"
IN_TIME: Final = tuple(
    f"toUnixTimestamp64Milli({name}) BETWEEN 0 AND {headers.LATEST_MS}" for name in ("received_at", "occurred_at")
)
"""Within what ClickHouse's DateTime64 holds."""


_SPACE: Final = r"[\\t-\\r\\x1c-\\x20\\x85\\p{Z}]*"
"""What Python's ``str.strip`` takes away: more than RE2's ``\\s``."""


def label(text: str) -> str:
    """The SQL of a text as :func:`schemas.raw_lead.label_of` gives it: what does not look like a name might be personal
    data, and is nothing."""
    name = f"'^{_SPACE}([A-Za-z0-9][A-Za-z0-9_.-]{{0,62}}){_SPACE}$'"
    return f"if(match({text}, '[A-Za-z]'), extract({text}, {name}), '')"


def is_blank(text: str) -> str:
    """The SQL of whether a text is nothing but space, as Python's ``str.strip`` sees it."""
    return f"match({text}, '^{_SPACE}$')"


SOURCE: Final = label("r.source")


def is_money(*columns: str) -> str:
    """The check that columns are what :data:`schemas.values.Money` is."""
    return " AND ".join(f"{column} BETWEEN 0 AND toDecimal64('99999999.9999', 4)" for column in columns)


def own(*names: str) -> dict[str, str]:
    """Columns that are the event's own fields."""
    return {name: f"r.{name}" for name in names}


def is_text(*columns: str) -> str:
    """The check that columns are UTF-8."""
    return f"isValidUTF8(concatWithSeparator(' ', {', '.join(columns)}))"


def slot_of(topic: str) -> str:
    """The name of a topic's slot, which is a column's."""
    return topic.replace(".", "_").replace("-", "_")
