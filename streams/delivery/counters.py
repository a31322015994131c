"""Counters: what the ledger's entries come to in each window of each cap.

A counter is the sum over the entries, always: every change of an entry changes its counters in the same step, in the
windows of the entry's own reservation, whenever it is settled. They are tables of their own, so that a restart sums up
nothing. What a new cap counts is summed up once, when it is first asked for; from then on it is kept whether or not the
configuration still has the cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

from schemas.config.cap import CapCounts, CapWindow
from schemas.values import Frozen
from streams.delivery.ledger import COUNTED, LEDGER, Entry
from streams.delivery.windows import span_at
from streams.tables import Tables, TableSpec

UNITS: Final = 10_000
"""A counter of money has ten-thousandths, as exact as an amount is."""


class Count(Frozen):
    """What is counted: ``owner`` is ``campaign:west`` or ``buyer:sunpath``; without a ``source`` the leads of all."""

    owner: str
    window: CapWindow
    counts: CapCounts
    source: str | None
    time_zone: str

    def key(self, moment: datetime) -> str:
        """The counter of the window that a moment lies in."""
        return self._name + span_at(self.window, self.time_zone, moment).key

    @cached_property
    def _name(self) -> str:
        return f"{self.owner}:{self.window}:{self.counts}:{self.source or ''}:{self.time_zone}:"


class Counts(Frozen):
    """What is counted for an owner."""

    counts: tuple[Count, ...] = ()


KEPT: Final = TableSpec("counts", Counts)
"""By owner: what its entries are counted for."""
COUNTERS: Final = TableSpec("counters", int, expiry=timedelta(days=120))
"""By :meth:`Count.key`; a window's outlives the entries in it, for it is written with them."""
TOTALS: Final = TableSpec("totals", int)
"""Those of the window that never ends."""
TABLES: Final = (KEPT, COUNTERS, TOTALS)
Place = tuple[TableSpec[int, str], str]
"""A counter: its table and its key."""
NOTHING: Final = Counts()


def units(counts: CapCounts, price: Decimal) -> int:
    """What one lead at a price is in a counter."""
    return int(price * UNITS) if counts is CapCounts.SPEND else 1


def owners(campaign: str, buyer: str) -> tuple[str, str]:
    """Whose counts a campaign's entries are in."""
    return f"campaign:{campaign}", f"buyer:{buyer}"


def used(tables: Tables, count: Count, now: datetime) -> int:
    """What is counted in the present window, in :func:`units`."""
    return tables[_table(count)].get(count.key(now)) or 0


def keep(tables: Tables, wanted: Iterable[Count]) -> None:
    """Have these counts from now on. Those that are new are summed up over the ledger, once."""
    kept, new = tables[KEPT], dict[str, list[Count]]()
    for count in wanted:
        if count not in (kept.get(count.owner) or NOTHING).counts and count not in new.get(count.owner, ()):
            new.setdefault(count.owner, []).append(count)
    if not new:
        return
    for owner, counts in new.items():
        before = (kept.get(owner) or NOTHING).counts
        kept[owner] = Counts(counts=(*before, *counts))
    sums: dict[Place, int] = {}
    for entry in tables[LEDGER].values():
        for owner in owners(entry.campaign, entry.buyer):
            for count in new.get(owner, ()):
                _sum_up(sums, count, entry, +1)
    _add(tables, sums)


def write(tables: Tables, key: str, entry: Entry) -> None:
    """Put an entry in the ledger and keep every counter true."""
    kept, ledger, changes = tables[KEPT], tables[LEDGER], dict[Place, int]()
    for one, sign in ((ledger.get(key), -1), (entry, +1)):
        if one is not None:
            for owner in owners(one.campaign, one.buyer):
                for count in (kept.get(owner) or NOTHING).counts:
                    _sum_up(changes, count, one, sign)
    ledger[key] = entry
    _add(tables, changes)


def _sum_up(sums: dict[Place, int], count: Count, entry: Entry, sign: int) -> None:
    """Add what an entry comes to in the counters of a count."""
    if count.source is not None and count.source != entry.source:
        return
    if count.counts is CapCounts.SENT:
        for moment in (*entry.posted_at, *((entry.reserved_at,) if entry.is_sent else ())):
            place = _table(count), count.key(moment)
            sums[place] = sums.get(place, 0) + sign
    elif entry.status in COUNTED:
        place = _table(count), count.key(entry.reserved_at)
        sums[place] = sums.get(place, 0) + sign * units(count.counts, entry.price)


def _add(tables: Tables, changes: Mapping[Place, int]) -> None:
    for (table, key), amount in changes.items():
        if amount:
            tables[table][key] = (tables[table].get(key) or 0) + amount


def _table(count: Count) -> TableSpec[int, str]:
    return TOTALS if count.window is CapWindow.TOTAL else COUNTERS
