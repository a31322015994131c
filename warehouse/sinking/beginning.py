"""Where a partition is read from: never silently past records that nobody has read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Beginning:
    """An offset to read from. ``note`` is said where it is not simply the committed one; ``lost`` are the offsets,
    first and end, that are gone from the log and not known to be in the table. Below ``known`` the table may have
    what is read."""

    offset: int
    note: str = ""
    lost: tuple[int, int] | None = None
    known: int = 0


def beginning_of(committed: int | None, low: int, high: int, stored: Callable[[], int | None]) -> Beginning:
    """Decide about one partition, whose log has the offsets ``low <= offset < high``.

    ``stored`` asks for the table's own high-water mark, None when it has nothing of the partition.
    """
    if committed is not None and low <= committed <= high:
        return Beginning(committed)
    if committed is not None and committed > high:
        # Another log than the one that was read: made again, or cut back.
        return Beginning(low, "the log ends before the committed offset", (0, low) if low else None)
    if high == 0:
        return Beginning(0)
    mark = stored()
    end = 0 if mark is None else mark + 1
    if committed is None:
        if mark is None:
            return Beginning(low)
        note, known = "no committed offset, though the table has rows", end
    else:
        note, known = "the committed offset is below the log's start", max(committed, end)
    return Beginning(low, note, (known, low) if known < low else None, end if end > low else 0)
