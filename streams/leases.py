"""Leases: which release decides which records of a topic, for a lane that may decide a record again.

A deterministic stage that crashes between its outputs and its position decides the same records once more, and they
must come out the same though another release is in force by then. So a lane holds, for each topic that it reads,
leases: this release up to that offset. A lease is durable before anything decided under it is written, and what comes
again is decided under the lease it was decided under before. Leases are extended far ahead, by steps that are written
anyway: a lane waits for one at its very first record, and once for each release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streams.tables import Tables, TableSpec

LEASE_OFFSETS: Final = 5000
"""How far ahead a lease goes. It is extended when less than half of that is left."""
LEASES_KEPT: Final = 16
"""Of a topic. Those that are passed are for a group whose committed position is behind."""


class ReleaseGoneError(Exception):
    """A release that has decided records of a lane, and must decide them again, cannot be had."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A release, and the offset before which it decides."""

    release: str
    end: int


@dataclass(frozen=True, slots=True)
class Leases:
    """Of one topic in the order of their offsets: each holds from the end of the one before it, the first from the
    beginning of the log."""

    held: tuple[Lease, ...] = ()

    @property
    def end(self) -> int:
        """The offset behind the last; 0 when there is none."""
        return self.held[-1].end if self.held else 0

    def at(self, offset: int) -> Lease | None:
        """The one that an offset is under."""
        return next((lease for lease in self.held if offset < lease.end), None)

    def renewed(self, release: str, offset: int, floor: int = 0) -> Leases:
        """The leases to go on with from an offset on, these ones where they are good enough.

        Another release begins at the offset, since nothing from there on is decided; but not below ``floor``, before
        which another owner may have decided.
        """
        last = self.held[-1] if self.held else None
        if last is not None and last.release == release:
            if last.end - offset >= LEASE_OFFSETS // 2:
                return self
            return Leases((*self.held[:-1], Lease(release, offset + LEASE_OFFSETS)))
        begin = max(offset, floor)
        kept = list[Lease]()
        for lease in self.held:
            if (kept[-1].end if kept else 0) < begin:
                kept.append(Lease(lease.release, min(lease.end, begin)))
        if kept and kept[-1].release == release:
            kept.pop()
        return Leases((*kept, Lease(release, begin + LEASE_OFFSETS))[-LEASES_KEPT:])


LEASES: Final = TableSpec("leases", Leases)
"""By ``topic@topic-id``: a topic that was made anew has no leases."""


class LaneLeases:
    """The leases of a lane. ``ends`` are the ends of the topics' logs when the lane was restored: no owner before can
    have decided anything behind them."""

    def __init__(
        self,
        tables: Tables,
        topics: Iterable[str],
        topic_ids: Mapping[str, str],
        ends: Mapping[str, int],
    ) -> None:
        self._tables = tables
        self._keys = {topic: f"{topic}@{topic_ids.get(topic, '')}" for topic in topics}
        self._durable = {topic: tables[LEASES].get(key) or Leases() for topic, key in self._keys.items()}
        self._floors = {topic: min(held.end, ends.get(topic, held.end)) for topic, held in self._durable.items()}
        self._renewed: dict[str, Leases] = {}

    def take(self, topic: str, offset: int, release: str) -> Lease | None:
        """The lease under which a record may be decided now; None when its lease must become durable first. What is
        to become durable is in the tables then, to be written with the step at hand."""
        durable = self._durable[topic]
        renewed = durable.renewed(release, offset, self._floors[topic])
        if renewed is not durable:
            self._renewed[topic] = renewed
            self._tables[LEASES][self._keys[topic]] = renewed
        lease, later = durable.at(offset), renewed.at(offset)
        if lease is None or later is None or lease.release != later.release:
            return None
        return lease if lease.end <= later.end else later

    def commit(self) -> None:
        """The step is written."""
        if self._renewed:
            self._durable |= self._renewed
            self._renewed.clear()
