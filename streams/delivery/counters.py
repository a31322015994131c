"""Counters: what the ledger's entries come to in each window of each cap.

A counter is the sum over the entries, always: every change of an entry changes its counters in the same step, in the
windows of the entry's own reservation, whenever it is settled. They are tables of their own, so that a restart sums up
nothing. What is new in a release is summed up in one pass over the ledger, all of it at once; from then on it is kept
whether or not the configuration still has the cap. An owner without entries has nothing to sum up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
        return self.name + span_at(self.window, self.time_zone, moment).key

    @cached_property
    def name(self) -> str:
        """What its counters' keys begin with: equal for equal counts."""
        return f"{self.owner}:{self.window}:{self.counts}:{self.source or ''}:{self.time_zone}:"


class Counts(Frozen):
    """What is counted for an owner."""

    counts: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True)
class CountSet:
    """All that is counted under a release, by owner; ``name`` (16 hex digits) is equal for equal sets."""

    counts: Mapping[str, tuple[Count, ...]]
    name: str


KEPT: Final = TableSpec("counts", Counts)
"""By owner: what its entries are counted for. Every owner of an entry is in it."""
KEPT_SET: Final = TableSpec("count-set", str)
"""Under :data:`LATEST`: the name of the last set that was kept whole."""
LATEST: Final = "latest"
COUNTERS: Final = TableSpec("counters", int, expiry=timedelta(days=120))
"""By :meth:`Count.key`; a window's outlives the entries in it, for it is written with them."""
TOTALS: Final = TableSpec("totals", int)
"""Those of the window that never ends."""
TABLES: Final = (KEPT, KEPT_SET, COUNTERS, TOTALS)
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


def count_set(counts: Iterable[Count]) -> CountSet:
    """The set of these counts, in whatever order and however often each is given."""
    by_name = {count.name: count for count in counts}
    by_owner = dict[str, tuple[Count, ...]]()
    for count in by_name.values():
        by_owner[count.owner] = (*by_owner.get(count.owner, ()), count)
    return CountSet(by_owner, hashlib.sha256("\n".join(sorted(by_name)).encode()).hexdigest()[:16])


def keep(tables: Tables, wanted: CountSet) -> None:
    """Have these counts from now on. Those that are new are summed up over the ledger, once and together. It must be
    called before an entry is written, and costs a look-up where the set is the one that was asked for last."""
    # The name is stored with the counts and not remembered beside them: it is taken back with a step that fails.
    latest = tables[KEPT_SET].get(LATEST)
    if latest == wanted.name:
        return
    tables[KEPT_SET][LATEST] = wanted.name
    kept, new = tables[KEPT], dict[str, tuple[Count, ...]]()
    known = zip(wanted.counts.items(), kept.get_many([*wanted.counts]), strict=True)
    for (owner, counts), before in known:
        there = (before or NOTHING).counts
        if lacking := tuple(count for count in counts if count not in there):
            kept[owner] = Counts(counts=(*there, *lacking))
            if before is not None or latest is None:
                new[owner] = lacking
    if new or latest is None:
        _sum_up_all(tables, new)


def write(tables: Tables, key: str, entry: Entry) -> None:
    """Put an entry in the ledger and keep every counter true."""
    kept, ledger, changes = tables[KEPT], tables[LEDGER], dict[Place, int]()
    for one, sign in ((ledger.get(key), -1), (entry, +1)):
        if one is not None:
            for owner in owners(one.campaign, one.buyer):
                counted = kept.get(owner)
                if counted is None:
                    kept[owner] = NOTHING
                    continue
                for count in counted.counts:
                    _sum_up(changes, count, one, sign)
    ledger[key] = entry
    _add(tables, changes)


def _sum_up_all(tables: Tables, new: Mapping[str, Iterable[Count]]) -> None:
    """Sum up new counts, and know every owner of an entry from now on."""
    sums, found = dict[Place, int](), set[str]()
    for entry in tables[LEDGER].values():
        for owner in owners(entry.campaign, entry.buyer):
            found.add(owner)
            for count in new.get(owner, ()):
                _sum_up(sums, count, entry, +1)
    _add(tables, sums)
    kept = tables[KEPT]
    for owner in found:
        if kept.get(owner) is None:
            kept[owner] = NOTHING


def _sum_up(sums: dict[Place, int], count: Count, entry: Entry, sign: int) -> None:
    """Add what an entry comes to in the counters of a count."""
    if count.source is not None and count.source != entry.source:
        return
    if count.counts is CapCounts.SENT:
        for moment in entry.sent_at:
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
