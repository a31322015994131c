"""What is gone of a partition: what nobody has read, and plans whose records nobody can read again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warehouse.sinking.beginning import beginning_of
from warehouse.sinking.gaps import DEAD_PLAN, gaps_of
from warehouse.sinking.plans import Claim, Part


def has(mark: int | None) -> Callable[[], int | None]:
    return lambda: mark


def plan(first: int, last: int) -> Claim:
    return Claim(Part("t", "id", 0, first, last), "batch", 0, 1, ("t", 0))


@pytest.mark.parametrize(
    ("committed", "mark", "claim", "gaps"),
    [
        (15, None, None, []),
        (15, None, plan(15, 18), []),
        (5, None, None, [(5, 9, True)]),
        (5, 7, None, [(8, 9, True)]),
        (5, 9, None, []),
        # A plan: what is above the table's mark is lost, what is below it may be in some of its tables.
        (5, None, plan(5, 7), [(5, 9, True)]),
        (5, 7, plan(5, 7), [(8, 9, True), (5, 7, False)]),
        (5, 9, plan(5, 7), [(5, 7, False)]),
        (5, 9, plan(5, 30), [(5, 9, False)]),
        (5, 6, plan(5, 30), [(7, 9, True), (5, 6, False)]),
        (None, 4, None, [(5, 9, True)]),
    ],
)
def test_every_offset_that_is_gone_is_in_a_gap(
    committed: int | None, mark: int | None, claim: Claim | None, gaps: list[tuple[int, int, bool]]
) -> None:
    start = beginning_of(committed, 10, 40, has(mark))
    found = gaps_of("t", "id", 0, 10, start, claim)
    assert [(gap.first, gap.last, gap.lost) for gap in found] == gaps
    assert all((gap.why == DEAD_PLAN) is not gap.lost and gap.why for gap in found)


def test_a_gap_says_where_it_is() -> None:
    (gap,) = gaps_of("leads", "id", 3, 10, beginning_of(5, 10, 40, has(None)), None)
    assert str(
        gap
    ) == "leads[3]: the committed offset is below the log's start, and the offsets from 5 to 9 are gone" + (
        " from the log"
    )
