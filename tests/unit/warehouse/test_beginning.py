"""Where a partition is read from: nothing that nobody has read is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warehouse.sinking.beginning import Beginning, beginning_of


def never() -> int | None:
    raise AssertionError("the table is asked only in doubt")


def has(mark: int | None) -> Callable[[], int | None]:
    return lambda: mark


@pytest.mark.parametrize("committed", [10, 15, 20])
def test_a_committed_offset_in_the_log_is_where_to_go_on(committed: int) -> None:
    begin = beginning_of(committed, 10, 20, never)
    assert (begin.offset, begin.note, begin.lost) == (committed, "", None)


def test_a_first_start_begins_at_the_logs_beginning() -> None:
    assert beginning_of(None, 0, 0, never) == Beginning(0)
    assert beginning_of(None, 0, 20, has(None)) == Beginning(0)
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


@pytest.mark.parametrize(
    ("committed", "low", "mark", "known"),
    [(None, 0, 9, 10), (None, 0, 99, 100), (None, 10, 15, 16), (None, 10, 9, 0), (5, 10, 15, 16), (5, 10, 9, 0)],
)
def test_what_the_table_may_have_of_what_is_read_again_is_known(
    committed: int | None, low: int, mark: int, known: int
) -> None:
    """A group's offsets expire: what is read from the log's start again is compared with the table."""
    begin = beginning_of(committed, low, 20, has(mark))
    assert (begin.offset, begin.known) == (low, known)
    assert begin.note


def test_another_log_is_read_from_its_beginning() -> None:
    begin = beginning_of(25, 0, 20, never)
    assert (begin.offset, begin.lost) == (0, None)
    assert "ends before" in begin.note
    assert beginning_of(25, 10, 20, never).lost == (0, 10)
