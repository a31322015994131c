"""Caps of sources: a count that is exact and never over, though a source's leads come in every partition.

Each partition owns a share of the limit, and counts alone: no lead waits for another partition, and what all of them
let through together is at most the limit. It is less where a partition gets fewer leads than its share.

Whether a lead is admitted follows from the records before it in its partition, so it comes out the same when they come
again. One record of the changelog holds an admission, and the counts follow from the admissions: however much of it a
crash left written, no lead counts twice, and one that was admitted stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.config.cap import CapWindow
from schemas.events import Rejection
from schemas.reasons import Reason
from schemas.values import Frozen
from streams.delivery.windows import span_at
from streams.tables import Tables, TableSpec

LONGEST: Final = timedelta(days=100)
"""How long an admission is remembered: a month's window, and whatever may still be replayed into it."""
WINDOWS_KEPT: Final = {CapWindow.HOUR: 2500, CapWindow.DAY: 105, CapWindow.WEEK: 16, CapWindow.MONTH: 5}
"""Windows of one cap whose counts are in memory: those of as long a time."""


class Admission(Frozen):
    """A lead that passed: the windows in which it counts."""

    windows: tuple[str, ...] = ()


NOWHERE: Final = Admission()
ADMISSIONS: Final = TableSpec("admissions", Admission, UUID, expiry=LONGEST)
"""By lead id."""
ADMISSIONS_FOR_GOOD: Final = TableSpec("admissions-for-good", Admission, UUID)
"""By lead id, under caps whose window has no end: as many as these caps let through."""
COUNTS: Final = TableSpec("admitted", int, derived=True)
"""By window."""
WINDOWS: Final = TableSpec("windows", list[str], derived=True)
"""The windows of a cap that have a count, in order."""


@dataclass(frozen=True, slots=True)
class CountedCap:
    """A cap of a source or sub id. ``scope`` tells whose it is; ``field`` and ``reason`` are for those it stops."""

    scope: str
    window: CapWindow
    limit: int
    zone: str
    reason: Reason
    field: str

    def key(self, received_at: datetime) -> str:
        """The window in which a lead counts, by when it was received."""
        minute = received_at.replace(second=0, microsecond=0)  # as good, and soon asked for again
        return f"{self.scope}:{self.window}@{span_at(self.window, self.zone, minute).key}"

    @property
    def detail(self) -> str:
        """What it says to the sender."""
        return f"{self.limit} in total" if self.window is CapWindow.TOTAL else f"{self.limit} per {self.window}"


def share_of(limit: int, partition: int, partitions: int) -> int:
    """What a partition may let through of a limit; the shares of all of them add up to it.

    Raises:
        ValueError: there is no such partition.
    """
    if not 0 <= partition < partitions:
        raise ValueError(f"partition {partition} of {partitions}: LEADLINE_PARTITIONS is not what the topic has")
    return limit // partitions + (partition < limit % partitions)


def admit(
    tables: Tables, lead_id: UUID, received_at: datetime, caps: Sequence[CountedCap], share: Callable[[int], int]
) -> list[Rejection]:
    """Let a lead through under all of its caps and count it, or say which of them are used up.

    A lead that counts in a window already is not asked there again.
    """
    before = {table: tables[table].get(lead_id) or NOWHERE for table in (ADMISSIONS, ADMISSIONS_FOR_GOOD)}
    known = {key for admission in before.values() for key in admission.windows}
    fresh = [(cap, key) for cap in caps if (key := cap.key(received_at)) not in known]
    full = [cap for cap, key in fresh if (tables[COUNTS].get(key) or 0) >= share(cap.limit)]
    if full:
        return [Rejection(reason=cap.reason, field=cap.field, detail=cap.detail) for cap in full]
    for table, admission in before.items():
        new = [key for cap, key in fresh if (cap.window is CapWindow.TOTAL) is (table is ADMISSIONS_FOR_GOOD)]
        if new:
            tables[table][lead_id] = Admission(windows=(*admission.windows, *new))
        for key in new:
            _count(tables, key)
    return []


def rebuild(tables: Tables) -> None:
    """Count what was admitted before a restart."""
    for table in (ADMISSIONS, ADMISSIONS_FOR_GOOD):
        for admission in tables[table].values():
            for key in admission.windows:
                _count(tables, key)


def _count(tables: Tables, key: str) -> None:
    before = tables[COUNTS].get(key)
    tables[COUNTS][key] = (before or 0) + 1
    if before is None:
        for old in _passed(tables, key):
            del tables[COUNTS][old]


def _passed(tables: Tables, key: str) -> Iterator[str]:
    """Enter a new window, and give up the oldest where there are too many."""
    cap = key.rpartition("@")[0]
    kept = WINDOWS_KEPT.get(CapWindow(cap.rpartition(":")[2]), 1)
    windows = sorted({*(tables[WINDOWS].get(cap) or ()), key})
    tables[WINDOWS][cap] = windows[-kept:]
    yield from windows[:-kept]
