"""When dead letters are too many: checked against the whole list of what happened."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.dead_letter_limit import DeadLetterLimit, DeadLetterLimitError

RUN, SHARE, WINDOW = 5, 0.5, 12
batches = st.lists(st.lists(st.booleans(), max_size=20), max_size=30)
"""By record, whether it is dead."""


def places(batch: list[bool]) -> list[int]:
    return [n for n, dead in enumerate(batch) if dead]


def longest_run(history: list[bool]) -> int:
    longest = length = 0
    for dead in history:
        length = length + 1 if dead else 0
        longest = max(longest, length)
    return longest


def share_is_exceeded(history: list[list[bool]], share: float, window: int) -> bool:
    """Over the fewest of the last batches that hold a window."""
    last: list[bool] = []
    for batch in reversed(history):
        last = batch + last
        if len(last) >= window:
            return sum(last) > share * len(last)
    return False


@settings(max_examples=500)
@given(batches, st.integers(1, 8), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.integers(1, 30))
def test_it_stops_at_the_first_batch_that_is_too_much(
    history: list[list[bool]], run: int, share: float, window: int
) -> None:
    limit = DeadLetterLimit(run, share, window)
    for n, batch in enumerate(history):
        so_far = history[: n + 1]
        broken = longest_run([dead for part in so_far for dead in part]) >= run
        if broken or share_is_exceeded(so_far, share, window):
            with pytest.raises(DeadLetterLimitError):
                limit.observe(len(batch), places(batch))
            return
        limit.observe(len(batch), places(batch))


@given(st.lists(st.integers(1, 7), min_size=1))
def test_a_run_is_a_run_however_it_is_cut(cuts: list[int]) -> None:
    limit, seen = DeadLetterLimit(RUN, 1.0, 10**6), 0
    for size in cuts:
        if seen + size >= RUN:
            with pytest.raises(DeadLetterLimitError, match="in a row"):
                limit.observe(size, range(size))
            return
        limit.observe(size, range(size))
        seen += size
    assert seen < RUN


def test_one_good_record_ends_a_run() -> None:
    limit = DeadLetterLimit(RUN, 1.0, 10**6)
    for _ in range(100):
        limit.observe(RUN, range(RUN - 1))
        limit.observe(0, ())  # nothing came: nothing is known
    limit.observe(RUN, range(1, RUN))
    with pytest.raises(DeadLetterLimitError):
        limit.observe(1, [0])


def test_a_share_counts_once_a_window_is_full() -> None:
    limit = DeadLetterLimit(10**6, SHARE, WINDOW)
    limit.observe(WINDOW - 1, range(WINDOW - 1))
    with pytest.raises(DeadLetterLimitError, match=f"of the last {WINDOW} records"):
        limit.observe(1, ())


def test_what_is_long_ago_is_forgiven_and_forgotten() -> None:
    limit = DeadLetterLimit(10**6, SHARE, WINDOW)
    limit.observe(WINDOW, range(WINDOW // 2))
    for _ in range(10_000):
        limit.observe(1, ())
        limit.observe(1, [0])
    assert len(limit._batches) <= WINDOW + 1


def test_the_defaults_bear_a_bad_file_and_not_a_broken_release() -> None:
    limit = DeadLetterLimit()
    for _ in range(20):
        limit.observe(1000, range(0, 1000, 3))
    for _ in range(9):
        limit.observe(20, range(20))
    with pytest.raises(DeadLetterLimitError, match="LEADLINE_DEAD_LETTER_RUN"):  # what to do next
        limit.observe(20, range(20))
