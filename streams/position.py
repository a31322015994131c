"""How far a lane has come in a partition: every offset before ``next`` is done, and some above it may be.

With effects under way the records of a partition are done out of order. Only the done prefix can be a consumer group's
position, so what is done above it is stored beside it: a crash then repeats nothing that was done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.record import Record


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a partition. ``done`` are ranges ``(first, end)`` of offsets above ``next``, ascending."""

    next: int
    done: tuple[tuple[int, int], ...] = ()

    def dump(self) -> bytes:
        """As the changelog keeps it."""
        return json.dumps([self.next, *self.done], separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes) -> Position:
        """Read back what :meth:`dump` wrote."""
        following, *done = json.loads(data)
        return cls(following, tuple((first, end) for first, end in done))


class Progress:
    """The position of a lane as it moves: records are begun in the order of their offsets and finished in any.

    Offsets may leave gaps, where transaction markers and compaction are.
    """

    def __init__(self, position: Position | None = None) -> None:
        self._next = None if position is None else position.next
        self._end = self._next
        self._open: dict[int, int] = {}
        self._done = {o for first, end in (position.done if position else ()) for o in range(first, end)}

    @property
    def next(self) -> int | None:
        """The first offset that is not known to be done; None when nothing is known."""
        return self._next

    @property
    def end(self) -> int:
        """The offset behind all that was begun."""
        return self._end or 0

    @property
    def span(self) -> int:
        """Records from the first open one on, those done between included."""
        return len(self._open) + len(self._done)

    @property
    def idle(self) -> bool:
        """Nothing is open."""
        return not self._open

    @property
    def oldest_ms(self) -> int | None:
        """The timestamp of the first open record."""
        return next(iter(self._open.values()), None)

    def admit(self, offset: int, timestamp_ms: int = 0) -> bool:
        """Take a record in hand, unless it is done or in hand already."""
        if self._end is not None and offset < self._end:
            return False
        self._end = offset + 1
        if self._next is None:
            self._next = offset
        if offset in self._done:
            return False
        self._open[offset] = timestamp_ms
        return True

    def pass_over(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records that are still to be done, for a lane that finishes what it takes before it takes more."""
        wanted = records
        if self._end is not None and records[0].offset < self._end:
            end = self._end
            wanted = [record for record in records if record.offset >= end]
        if self._done:
            wanted = [record for record in wanted if record.offset not in self._done]
        self._end = max(records[-1].offset + 1, self._end or 0)
        return wanted

    def finish(self, offset: int) -> None:
        """A record in hand is done."""
        del self._open[offset]
        self._done.add(offset)

    def settle(self) -> Position | None:
        """Move over what is done, and say where that is."""
        if self._end is None:
            return None
        self._next = next(iter(self._open), self._end)
        if self._done:
            while not self._open and self._next in self._done:  # done before a restart, and so not read again
                self._next += 1
            self._end = max(self._end, self._next)
            self._done = {offset for offset in self._done if offset >= self._next}
        return Position(self._next, tuple(_ranges(self._done)))


def _ranges(offsets: Iterable[int]) -> Iterable[tuple[int, int]]:
    first = end = None
    for offset in sorted(offsets):
        if offset != end:
            if first is not None and end is not None:
                yield first, end
            first = offset
        end = offset + 1
    if first is not None and end is not None:
        yield first, end
