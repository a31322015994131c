"""Where a partition is read from: nothing that nobody has read is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warehouse.sinking.beginning import beginning_of


def never() -> int | None:
    raise AssertionError("the table is asked only in doubt")


def has(mark: int | None) -> Callable[[], int | None]:
    return lambda: mark


@pytest.mark.parametrize("committed", [10, 15, 20])
def test_a_committed_offset_in_the_log_is_where_to_go_on(committed: int) -> None:
    begin = beginning_of(committed, 10, 20, never)
    assert (begin.offset, begin.note, begin.lost) == (committed, "", None)


def test_a_first_start_begins_at_the_logs_beginning() -> None:
    assert beginning_of(None, 0, 20, never).offset == 0
    trimmed = beginning_of(None, 10, 20, has(None))
    assert (trimmed.offset, trimmed.note, trimmed.lost) == (10, "", None)


@pytest.mark.parametrize(
    ("committed", "mark", "lost"),
    [
        (None, 9, None),
        (None, 30, None),
        (None, 4, (5, 10)),
        (5, None, (5, 10)),
        (5, 3, (5, 10)),
        (5, 7, (8, 10)),
        (5, 9, None),
    ],
)
def test_below_the_logs_start_what_the_table_lacks_is_lost(
    committed: int | None, mark: int | None, lost: tuple[int, int] | None
) -> None:
    begin = beginning_of(committed, 10, 20, has(mark))
    assert begin.offset == 10
    assert begin.note
    assert begin.lost == lost


def test_another_log_is_read_from_its_beginning() -> None:
    begin = beginning_of(25, 0, 20, never)
    assert (begin.offset, begin.lost) == (0, None)
    assert "ends before" in begin.note
    assert beginning_of(25, 10, 20, never).lost == (0, 10)
