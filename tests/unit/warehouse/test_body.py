"""What the sink looks at before ClickHouse reads a record: whether it is what its topic holds, as far as it says so."""

from __future__ import annotations

from uuid import UUID

import pytest
from kit.builders import campaign, configuration
from kit.events import DETAILS, MOMENT, event, record_of

from schemas.codec import PREFIX, UndecodableError, encode
from schemas.config.history import ReleaseHistory
from schemas.config.placeholders import WrittenRelease
from schemas.events import Event, LeadRouted, LeadUnique
from schemas.headers import DeadLetter
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from warehouse.tables import body
from warehouse.tables.body import NOT_EVENT, event_body, fault_of

LETTER = DeadLetter("leads", 1, 5, 1000, "validation", "value.not_json", "", "1", UUID(int=9), 2, 1000)
GOOD = encode(event(LeadUnique))


def record(topic: str, value: bytes | None, *headers: tuple[str, bytes]) -> KafkaRecord:
    return KafkaRecord(topic, 0, 0, 0, None, value, headers)


@pytest.mark.parametrize("model", DETAILS)
def test_an_event_has_no_fault_and_its_body_goes_as_it_is(model: type[Event]) -> None:
    sent = record_of(event(model))
    assert (fault_of(sent), fault_of(sent, thoroughly=True)) == ("", "")
    assert sent.value is not None
    assert event_body(sent) == sent.value[PREFIX.size :]


def test_nor_has_a_release() -> None:
    release = WrittenRelease.of(configuration(campaign("west")))
    for _, entity in ReleaseHistory().records_of(release, MOMENT, "ann", "first"):
        assert fault_of(record("config", encode(entity)), thoroughly=True) == ""


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", GOOD])
def test_a_raw_lead_is_validation_s_to_judge(value: bytes | None) -> None:
    assert fault_of(record("leads", value), thoroughly=True) == ""


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, Reason.VALUE_EMPTY),
        (b"", Reason.VALUE_EMPTY),
        (b"{}", Reason.SCHEMA_MISMATCH),
        (b"garbage", Reason.SCHEMA_MISMATCH),
        (b"\x00\x00\x00\x00\x63abc", Reason.SCHEMA_UNKNOWN),
        (encode(event(LeadRouted)), Reason.SCHEMA_MISMATCH),
    ],
)
def test_what_does_not_say_that_it_is_of_its_topic_is_none(value: bytes | None, fault: Reason) -> None:
    told = record("leads.unique", value)
    assert fault_of(told) == fault_of(told, thoroughly=True) == fault
    with pytest.raises(UndecodableError):
        event_body(told)


@pytest.mark.parametrize("value", [GOOD[:-1], GOOD[: PREFIX.size], GOOD + b"\x00", GOOD[:9] + b"\xff" * 9 + GOOD[18:]])
def test_only_a_thorough_look_finds_a_body_that_lies(value: bytes) -> None:
    told = record("leads.unique", value)
    assert fault_of(told) == ""
    assert fault_of(told, thoroughly=True) == Reason.SCHEMA_MISMATCH


def test_a_dead_letter_is_read_by_its_headers() -> None:
    whole = LETTER.headers()
    assert fault_of(record("dead-letters", b"\xff", *whole)) == ""
    assert fault_of(record("dead-letters", None, *whole)) == ""
    for name, _ in whole:
        without = [pair for pair in whole if pair[0] != name]
        assert fault_of(record("dead-letters", b"", *without)) == NOT_EVENT


def test_an_event_of_an_older_schema_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a schema has been released since: what it begins with is not the latest's."""
    sent = event(LeadUnique)
    told = record("leads.unique", encode(sent))
    monkeypatch.setattr(body, "_prefix", lambda topic: b"\x00\x00\x00\x00\x7f")
    assert fault_of(told) == ""
    assert event_body(told) == encode(sent)[PREFIX.size :]
