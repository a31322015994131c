"""From records to rows: every event has one, nothing personal is in any, and no bytes can stop the sink."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kit.events import DETAILS, LEAD, MARK, MOMENT, RAW, SLIP, event, record_of

from schemas import headers, topics
from schemas.codec import encode
from schemas.events import (
    Delivery,
    Event,
    Feedback,
    LeadClaim,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUnrouted,
    LeadValidated,
    Offer,
    RawLead,
)
from schemas.headers import DeadLetter
from schemas.identity import Step, event_id, lead_id_at
from schemas.messages import MODELS
from schemas.record import KafkaRecord
from warehouse.rows import COLUMNS, DESCRIBE, LEAD_TOPICS, Row, row_of

EVENTS = tuple(DETAILS)
UINT16, UINT32, UINT64 = 2**16, 2**32, 2**64
LETTER = DeadLetter("leads", 1, 5, 1_700_000_000_000, "validation", "value.not_json", "", "1", UUID(int=9), 2, 1000)


def columns(row: Row) -> dict[str, Any]:
    """The row by column, each value of a type and range that the table holds."""
    assert len(row) == len(COLUMNS)
    named = dict(zip(COLUMNS, row, strict=True))
    kinds = {
        UUID: ("event_id", "lead_id"),
        int: ("run", "attempt", "decision", "schema_version", "_partition", "_offset"),
        bool: ("exclusive",),
        Decimal: ("price", "payout"),
        float: ("latency_ms", "buyer_latency_ms"),
        datetime: ("received_at", "occurred_at"),
    }
    expected = {name: kind for kind, names in kinds.items() for name in names}
    for name, value in named.items():
        assert isinstance(value, expected.get(name, str)), (name, value)
        if isinstance(value, str):
            value.encode()
    assert all(0 <= named[name] < UINT16 for name in ("attempt", "decision", "schema_version", "_partition"))
    assert 0 <= named["run"] < UINT32
    assert 0 <= named["_offset"] < UINT64
    assert all(0 <= named[name] < 10**8 for name in ("price", "payout"))
    assert all(named[name] >= 0 and math.isfinite(named[name]) for name in ("latency_ms", "buyer_latency_ms"))
    assert all(named[name].tzinfo is not None for name in ("received_at", "occurred_at"))
    assert named["stage"] in set(Step)
    assert isinstance(json.loads(named["attributes"]), dict)
    return named


def raw(value: bytes | None, *pairs: tuple[str, bytes], timestamp: int = 1_700_000_000_000) -> KafkaRecord:
    return KafkaRecord("leads", 2, 11, timestamp, None, value, pairs)


def test_every_event_model_has_a_row_and_every_topic_is_sunk_or_state() -> None:
    about_leads = {model for model in MODELS if issubclass(model, Event)} - {LeadClaim}
    assert about_leads == set(DESCRIBE) == set(EVENTS)
    assert set(LEAD_TOPICS) == {s.name for s in topics.CATALOGUE} - {"claims", "config", "capacity"}
    assert {model.TOPIC.name for model in EVENTS} | {"leads", "dead-letters"} == set(LEAD_TOPICS)


@pytest.mark.parametrize("model", EVENTS)
def test_every_event_gives_a_row(model: type[Event]) -> None:
    sent = event(model, run=3, attempt=1)
    row = columns(row_of(record_of(sent)))
    assert row["event_id"] == sent.event_id
    assert row["lead_id"] == sent.lead_id
    assert (row["run"], row["attempt"], row["stage"]) == (3, 1, model.STEP)
    assert (row["received_at"], row["occurred_at"], row["latency_ms"]) == (sent.received_at, sent.occurred_at, 1000.0)
    assert (row["vertical"], row["source"], row["release"]) == ("solar", "quoteharbor", "0123456789abcdef")
    assert (row["_topic"], row["_partition"], row["_offset"]) == (model.TOPIC.name, 3, 7)
    assert row["outcome"]


@pytest.mark.parametrize("model", EVENTS)
def test_nothing_personal_is_in_a_row(model: type[Event]) -> None:
    sent = event(model)
    assert MARK in repr(sent)
    row = row_of(record_of(sent, ("leadline-x", MARK.encode()))._replace(key=MARK.encode()))
    assert MARK.lower() not in repr(row).lower()


def test_nothing_personal_is_in_the_row_of_a_raw_lead_or_a_dead_one() -> None:
    fields = {**RAW, **LEAD.model_dump(exclude={"extra"}), **LEAD.extra, "vertical": f"{MARK} x", "nested": {"a": MARK}}
    for value in (json.dumps(fields).encode(), f"{MARK} not JSON".encode(), f'{{"{MARK}": '.encode(), MARK.encode()):
        for record in (raw(value), raw(value)._replace(topic="dead-letters", headers=LETTER.headers())):
            row = row_of(record._replace(key=MARK.encode()))
            assert MARK.lower() not in repr(row).lower()
    avro = encode(RawLead(fields={"first_name": MARK, "source": f"{MARK}@example.com"}))
    assert MARK not in repr(row_of(raw(avro)))


@pytest.mark.parametrize(
    "typed",
    [
        "Jane Doe",
        "jane@example.com",
        "+1 415 555 0100",
        "4155550100",
        "415-555-0100",
        "415.555.0100",
        "078-05-1120",
        "94107",
        "12 Main St",
        "Zoë",
        "x" * 64,
        "",
        " ",
        "a\nb",
        "../etc",
        "<b>",
        '{"a": 1}',
    ],
)
@pytest.mark.parametrize("model", [None, LeadRejected])
def test_what_does_not_look_like_a_name_is_no_source(typed: str, model: type[Event] | None) -> None:
    if model is None:
        row = columns(row_of(raw(json.dumps({"vertical": typed, "source": typed}).encode())))
        assert row["vertical"] == ""
    else:
        row = columns(row_of(record_of(event(model, source=typed))))
    assert row["source"] == ""


def test_a_raw_lead() -> None:
    lead_id = uuid4()
    value = {"lead_id": str(lead_id), "vertical": " solar ", "source": "3rd-party.net"}
    row = columns(row_of(raw(json.dumps(value).encode())))
    assert (row["lead_id"], row["event_id"]) == (lead_id, event_id(lead_id, Step.RECEIVED))
    assert (row["stage"], row["outcome"], row["vertical"]) == ("received", "received", "solar")
    assert row["source"] == "3rd-party.net"
    assert row["received_at"] == row["occurred_at"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_replayed_raw_lead_keeps_its_arrival() -> None:
    pairs = ((headers.RUN, b"4"), (headers.RECEIVED_AT, b"1000"), (headers.LEAD_ID, str(UUID(int=5)).encode()))
    row = columns(row_of(raw(b"{}", *pairs)))
    assert (row["run"], row["lead_id"], row["received_at"].timestamp()) == (4, UUID(int=5), 1.0)
    assert row["event_id"] == event_id(UUID(int=5), Step.RECEIVED, 4)


def test_an_undecodable_raw_lead_was_received_all_the_same() -> None:
    row = columns(row_of(raw(b"\xff")))
    assert (row["stage"], row["outcome"], row["lead_id"]) == ("received", "received", lead_id_at("leads", 2, 11))


def test_a_dead_letter() -> None:
    record = KafkaRecord("dead-letters", 0, 1, 1_700_000_000_000, b"k", b"v", LETTER.headers())
    row = columns(row_of(record))
    assert (row["stage"], row["outcome"], row["reason"], row["run"]) == ("dead", "dead", "value.not_json", 2)
    assert (row["lead_id"], row["received_at"].timestamp()) == (UUID(int=9), 1.0)
    assert row["event_id"] == event_id(UUID(int=9), Step.DEAD, 2)
    assert json.loads(row["attributes"])["offset"] == 5


@pytest.mark.parametrize("name", [name for name, _ in LETTER.headers()])
@pytest.mark.parametrize("value", [b"", b"\xff", b"-1", b"9" * 30, b"9" * 5000, b"1.5", b" 7 ", "٣".encode()])
def test_a_dead_letter_with_any_header_gives_a_row(name: str, value: bytes) -> None:
    pairs = tuple((n, value if n == name else v) for n, v in LETTER.headers())
    without = tuple((n, v) for n, v in LETTER.headers() if n != name)
    for chosen in (pairs, without):
        row = columns(row_of(KafkaRecord("dead-letters", 0, 1, 1_700_000_000_000, None, None, chosen)))
        assert row["stage"] == "dead"


@pytest.mark.parametrize("topic", [t for t in LEAD_TOPICS if t not in ("leads", "dead-letters")])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"\x00", b"\x00\x00\x00\x00\x63abc", b"\x00\x00\x00\x00\x01" * 9])
def test_what_is_no_event_is_a_row_of_stage_dead(topic: str, value: bytes | None) -> None:
    row = columns(row_of(KafkaRecord(topic, 1, 2, 1_700_000_000_000, None, value)))
    assert (row["stage"], row["outcome"], row["lead_id"]) == ("dead", "dead", lead_id_at(topic, 1, 2))
    assert row["reason"]


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (LeadRejected, {"reasons": []}),
        (LeadRouted, {"slip": SLIP.model_copy(update={"candidates": []})}),
        (Offer, {"slip": SLIP.model_copy(update={"candidates": []})}),
        (Offer, {"cursor": 2}),
    ],
)
def test_an_event_without_what_it_must_have_is_dead(model: type[Event], changes: dict[str, Any]) -> None:
    sent = event(model)
    broken = sent.model_copy(update=changes)
    assert columns(row_of(record_of(broken)))["stage"] == "dead"


def test_another_topics_event_is_dead() -> None:
    record = record_of(event(LeadDelivered))._replace(topic="leads.routed")
    assert columns(row_of(record))["reason"] == "schema.mismatch"


def test_what_the_rows_say() -> None:
    def told(model: type[Event], **changes: Any) -> dict[str, Any]:
        row = columns(row_of(record_of(event(model, **changes))))
        return {**row, "attributes": json.loads(row["attributes"])}

    rejected = told(LeadRejected)
    assert (rejected["outcome"], rejected["reason"]) == ("rejected", "phone.invalid")
    assert rejected["attributes"]["reasons"] == [{"reason": "phone.invalid", "field": "phone", "detail": "length"}]
    assert told(LeadDuplicate)["attributes"]["duplicate_of"] == str(UUID(int=1))
    routed = told(LeadRouted)
    assert (routed["buyer"], routed["campaign"], routed["price"]) == ("sunpath", "west", 0)
    assert [c["campaign"] for c in routed["attributes"]["slip"]["candidates"]] == ["west", "east"]
    assert routed["attributes"]["trace"]["failed"] == {"solar": {"filter.state": "a0"}}
    assert routed["attributes"]["trace"]["facts"]["full"] == {"north": "cap.day"}
    unrouted = told(LeadUnrouted)
    assert (unrouted["route"], unrouted["attributes"]["held"]) == ("west-first", MOMENT.isoformat())
    offered = told(Offer)
    assert (offered["buyer"], offered["campaign"]) == ("lumen", "east")
    attempt = told(Delivery, outcome="rejected", reason="buyer.rejected", price=None)
    # Money is on the sale alone: a sum over every row counts it once.
    assert (attempt["outcome"], attempt["reason"], attempt["price"]) == ("rejected", "buyer.rejected", 0)
    assert told(Delivery)["price"] == 0
    sold = told(LeadDelivered)
    assert (sold["price"], sold["payout"]) == (Decimal("12.5"), Decimal("7.25"))
    assert attempt["payout"] == 0
    assert sold["route"] == routed["route"] == attempt["route"] == unrouted["route"]
    assert told(Feedback)["outcome"] == "return"
    assert told(Feedback, amount=None)["price"] == 0


def test_a_replays_header_raises_the_run() -> None:
    record = record_of(event(LeadValidated, run=1), (headers.RUN, b"5"))
    assert columns(row_of(record))["run"] == 5
    record = record_of(event(LeadValidated, run=9), (headers.RUN, b"5"))
    assert columns(row_of(record))["run"] == 9


@pytest.mark.parametrize("timestamp", [-1, 0, 2**31, 2**53, 2**62, 2**63 - 1])
@pytest.mark.parametrize("topic", LEAD_TOPICS)
def test_any_timestamp_gives_a_row(topic: str, timestamp: int) -> None:
    for value in (b"{}", b"garbage", None):
        row = columns(row_of(KafkaRecord(topic, 0, 0, timestamp, None, value)))
        assert 1970 <= row["received_at"].year <= 2299


def test_json_of_any_depth_gives_a_row() -> None:
    """At one depth the parser still reads what the writer no longer writes."""
    for depth in (*range(850, 1010), 100_000):
        columns(row_of(raw(b'{"a":' + b"[" * depth + b"]" * depth + b"}")))


def test_a_clock_that_runs_behind_is_no_negative_latency() -> None:
    assert columns(row_of(record_of(event(LeadUnrouted, occurred_at=MOMENT.replace(year=2020)))))["latency_ms"] == 0


SCHEMA_IDS = st.integers(0, 20).map(lambda n: b"\x00" + n.to_bytes(4, "big"))
NAMES = st.sampled_from([headers.RUN, headers.LEAD_ID, headers.RECEIVED_AT, *(name for name, _ in LETTER.headers())])


@pytest.mark.parametrize("topic", LEAD_TOPICS)
@hypothesis_settings(max_examples=150)
@given(
    value=st.none() | st.binary(max_size=300) | st.builds(bytes.__add__, SCHEMA_IDS, st.binary(max_size=300)),
    pairs=st.lists(
        st.tuples(NAMES, st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode())), max_size=13
    ),
    timestamp=st.integers(-1, 2**63 - 1),
)
def test_no_bytes_stop_the_sink(
    topic: str, value: bytes | None, pairs: list[tuple[str, bytes]], timestamp: int
) -> None:
    columns(row_of(KafkaRecord(topic, 0, 1, timestamp, None, value, tuple(pairs))))


@pytest.mark.parametrize("model", EVENTS)
@hypothesis_settings(max_examples=60)
@given(data=st.data())
def test_no_damaged_event_stops_the_sink(model: type[Event], data: st.DataObject) -> None:
    value = bytearray(encode(event(model, UUID(int=1))))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(value)))
    for content in (bytes(value), bytes(value[:cut])):
        columns(row_of(KafkaRecord(model.TOPIC.name, 0, 1, 1_700_000_000_000, None, content)))
