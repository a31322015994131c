"""Headers: whatever stands in them, reading gives a value; a dead letter reads back what it wrote."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit.builders import texts

from schemas import headers
from schemas.headers import DeadLetter, lead_id_of, received_at_of, run_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
hostile = (
    st.none() | st.binary(max_size=40) | st.text(st.characters(categories=["Nd", "No"]), max_size=25).map(str.encode)
)
longs = st.integers(-(2**63), 2**63 - 1)
letters = st.builds(
    DeadLetter,
    topic=texts,
    partition=st.integers(0, 2**31 - 1),
    offset=longs,
    timestamp_ms=longs,
    stage=texts,
    reason=texts,
    detail=texts,
    version=texts,
    lead_id=st.uuids(),
    run=st.integers(0, 2**31 - 1),
    received_at_ms=longs,
    attempt=st.integers(1, 100),
)


@given(letters)
def test_a_dead_letter_reads_back_what_it_wrote(letter: DeadLetter) -> None:
    assert DeadLetter.from_headers(letter.headers()) == letter
    assert all(isinstance(value, bytes) for _, value in letter.headers())


@given(letters, st.integers(0, 11))
def test_a_missing_header_is_named(letter: DeadLetter, index: int) -> None:
    pairs = list(letter.headers())
    name, _ = pairs.pop(index)
    with pytest.raises(ValueError, match=name):
        DeadLetter.from_headers(pairs)


@given(letters, st.integers(0, 11), hostile)
def test_a_hostile_dead_letter_raises_only_value_errors(letter: DeadLetter, index: int, value: bytes | None) -> None:
    pairs: list[tuple[str, bytes | None]] = list(letter.headers())
    pairs[index] = (pairs[index][0], value)
    with suppress(ValueError):
        DeadLetter.from_headers(pairs)


@given(hostile)
@example(b"9" * 9)
@example(b"9" * 5000)
@example("٣".encode())
@example("²".encode())
def test_any_run_header_gives_a_run_that_fits_an_event(value: bytes | None) -> None:
    assert 0 <= run_of([(headers.RUN, value)]) < 2**31


@given(hostile)
def test_any_lead_id_header_gives_an_id_or_none(value: bytes | None) -> None:
    lead_id_of([(headers.LEAD_ID, value)])


@given(hostile, longs)
@example(b"9" * 14, 0)
@example(None, 2**63 - 1)
@example(None, -1)
@example("٩".encode() * 14, 0)
def test_any_arrival_is_a_time_that_the_warehouse_holds(value: bytes | None, timestamp: int) -> None:
    received_at = received_at_of([(headers.RECEIVED_AT, value)], timestamp)
    assert EPOCH <= received_at < datetime(2299, 1, 1, tzinfo=UTC)
    assert received_at.microsecond % 1000 == 0


@given(st.integers(0, 9_999_999_999_999))
def test_arrivals_are_exact_to_the_millisecond(milliseconds: int) -> None:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    assert received_at_of((), milliseconds) == moment
    assert received_at_of([(headers.RECEIVED_AT, str(milliseconds).encode())], 0) == moment


def test_the_last_header_of_a_name_counts_and_none_is_no_value() -> None:
    assert run_of([(headers.RUN, b"1"), (headers.RUN, b"2"), (headers.RUN, None)]) == 2
    assert run_of(None) == run_of([]) == run_of([(headers.RUN, b"-1")]) == run_of([(headers.RUN, b"\xff")]) == 0
