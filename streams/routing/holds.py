"""Leads that routing keeps after it decided: on hold until somebody qualifies, or as long as a return brings them back.

A table says which, and until when. Beside it is an agenda in memory, so that a tick costs what is due and not what is
kept.
"""

from __future__ import annotations

import heapq
import weakref
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from schemas.config.route import Route
from schemas.events import LeadUnique
from schemas.values import Frozen, Timestamp
from streams.tables import Table, Tables, TableSpec

RECHECKED_AT_ONCE: Final = 500
"""Leads on hold that one tick decides about."""
LOOKED_AT_AT_ONCE: Final = 5000
"""Entries that one tick looks at: most are only forgotten."""


class OnHold(Frozen):
    """A lead that is kept ``until`` then at the latest. It waits for somebody to qualify, is decided about again at
    ``recheck_at`` and was last under ``release``; or, without ``recheck_at``, only for a return."""

    recheck_at: Timestamp | None
    until: Timestamp
    release: str

    @property
    def due(self) -> datetime:
        """When something is to be done about it."""
        return self.until if self.recheck_at is None else min(self.recheck_at, self.until)


HOLDS: Final = TableSpec("holds", OnHold, expiry=timedelta(days=31))
LEADS: Final = TableSpec("leads", LeadUnique, expiry=timedelta(days=31))
"""The leads that may have to be offered again: only of routes that hold leads or offer returned ones again."""


class _Entry(NamedTuple):
    """When a lead is due; ``waits`` for somebody to qualify, so that a new release is of interest to it."""

    due: datetime
    key: str
    waits: bool


class Agenda:
    """When the entries of one partition's table are due, and which of them a new release has not seen.

    The table alone says what is true: what is not there, or there otherwise, is passed over. What was taken and is
    still there as it was, because the step that took it came to nothing, is put back.
    """

    def __init__(self, holds: Iterable[tuple[str, OnHold]], release: str) -> None:
        kept = list(holds)
        self._heap = [_entry(key, hold) for key, hold in kept]
        heapq.heapify(self._heap)
        self._release = release
        self._outdated = deque(sorted(_entry(key, hold) for key, hold in kept if _is_outdated(hold, release)))
        self._taken: list[_Entry] = []
        self._taken_outdated: list[_Entry] = []

    def wrote(self, key: str, hold: OnHold) -> None:
        """An entry was written."""
        heapq.heappush(self._heap, _entry(key, hold))

    def due(self, holds: Table[OnHold], now: datetime, release: str) -> list[tuple[str, OnHold]]:
        """The entries to do something about, the longest due first, then those that the release has not seen: as many
        as one tick is for."""
        self._put_back(holds)
        if release != self._release:
            self._release = release
            self._outdated = deque(sorted({entry for entry in self._heap if entry.waits}))
        found: dict[str, OnHold] = {}
        decisions = 0
        for _ in range(LOOKED_AT_AT_ONCE):
            if decisions == RECHECKED_AT_ONCE:
                break
            if self._heap and self._heap[0].due <= now:
                self._taken.append(entry := heapq.heappop(self._heap))
            elif self._outdated:
                self._taken_outdated.append(entry := self._outdated.popleft())
            else:
                break
            hold = holds.get(entry.key)
            if hold is None or entry.key in found or not (hold.due <= now or _is_outdated(hold, release)):
                continue
            found[entry.key] = hold
            decisions += now < hold.until
        return list(found.items())

    def _put_back(self, holds: Table[OnHold]) -> None:
        for entry in self._taken:
            if (hold := holds.get(entry.key)) is not None and hold.due == entry.due:
                heapq.heappush(self._heap, entry)
        for entry in self._taken_outdated:
            if (hold := holds.get(entry.key)) is not None and _is_outdated(hold, self._release):
                self._outdated.append(entry)
        self._taken.clear()
        self._taken_outdated.clear()


class Agendas:
    """The agenda of each partition: made when it first ticks, from all that its table then has, and told of every entry
    that is written from then on."""

    def __init__(self) -> None:
        self._by_tables: Final[dict[int, Agenda]] = {}

    def due(self, tables: Tables, now: datetime, release: str) -> list[tuple[str, OnHold]]:
        """See :meth:`Agenda.due`."""
        agenda = self._by_tables.get(id(tables))
        if agenda is None:
            agenda = self._by_tables[id(tables)] = Agenda(tables[HOLDS].items(), release)
            weakref.finalize(tables, self._by_tables.pop, id(tables), None)
        return agenda.due(tables[HOLDS], now, release)

    def write(self, tables: Tables, key: str, hold: OnHold) -> None:
        """Write an entry of the table."""
        tables[HOLDS][key] = hold
        if (agenda := self._by_tables.get(id(tables))) is not None:
            agenda.wrote(key, hold)


def end_of_hold(lead: LeadUnique, route: Route | None) -> datetime | None:
    """Until when a route has a lead wait for somebody to qualify; None where it does not."""
    rule = route.unsold.hold if route and route.unsold else None
    if rule is None or lead.lead.test:
        return None
    return lead.received_at + timedelta(hours=rule.maximum_age_hours)


def end_of_returns(lead: LeadUnique, route: Route | None) -> datetime | None:
    """Until when a route offers a lead that is returned to others; None where it does not."""
    if route is None or not route.reroute_returns_days or lead.lead.test:
        return None
    return lead.received_at + timedelta(days=route.reroute_returns_days)


def let_go(tables: Tables, key: str) -> None:
    """Forget a lead that will not be decided about again, so that its personal data does not stay here."""
    if tables[HOLDS].get(key) is not None:
        del tables[HOLDS][key]
    if tables[LEADS].get(key) is not None:
        del tables[LEADS][key]


def _entry(key: str, hold: OnHold) -> _Entry:
    return _Entry(hold.due, key, hold.recheck_at is not None)


def _is_outdated(hold: OnHold, release: str) -> bool:
    return hold.recheck_at is not None and hold.release != release
