"""From records to rows, by ClickHouse itself: what each event's row says, and that nothing personal is in any."""

from __future__ import annotations

import json
import math
import random
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from kit.events import DETAILS, LEAD, MARK, MOMENT, RAW, SLIP, TRACE, event, record_of
from kit.told_rows import Row, Told

from schemas import headers
from schemas.codec import encode
from schemas.decision import Bid
from schemas.events import (
    Delivery,
    Event,
    Feedback,
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
from schemas.raw_lead import label_of
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from warehouse.tables.body import NOT_EVENT, REFUSED
from warehouse.tables.feedback import FREE_TEXT
from warehouse.tables.lead_events import LEAD_EVENTS

EVENTS = tuple(DETAILS)
ABOUT_LEADS = sorted(LEAD_EVENTS.topics)
WRITTEN_AT = 1_700_000_000_000
LETTER = DeadLetter("leads", 1, 5, WRITTEN_AT, "validation", "value.not_json", "", "1", UUID(int=9), 2, 1000)
SPACES = [letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isspace()]
UNREAD = {*(reason.value for reason in Reason), NOT_EVENT, REFUSED}


def raw(value: bytes | None, *pairs: tuple[str, bytes], timestamp: int = WRITTEN_AT) -> KafkaRecord:
    return KafkaRecord("leads", 0, 0, timestamp, None, value, pairs)


def typed(**fields: str) -> KafkaRecord:
    """A raw lead of these fields."""
    return raw(json.dumps(fields).encode())


def dead(*pairs: tuple[str, bytes]) -> KafkaRecord:
    return KafkaRecord("dead-letters", 0, 0, WRITTEN_AT, None, b"v", pairs)


def test_every_event_gives_a_row(told: Told) -> None:
    sent = [event(model, run=3, attempt=1) for model in EVENTS]
    for one, row in zip(sent, told(*map(record_of, sent)), strict=True):
        assert (row["event_id"], row["lead_id"]) == (one.event_id, one.lead_id)
        assert (row["run"], row["attempt"], row["stage"]) == (3, 1, one.STEP)
        assert row["outcome"]
        assert (row["received_at"], row["occurred_at"]) == (one.received_at, one.occurred_at)
        assert row["latency_ms"] == 1000.0
        assert (row["vertical"], row["source"], row["release"]) == ("solar", "quoteharbor", "0123456789abcdef")
        assert (row["_topic"], row["schema_version"]) == (one.TOPIC.name, 1)


def test_nothing_personal_is_in_a_row(told: Told) -> None:
    sent = [event(model) for model in EVENTS]
    assert all(MARK in repr(one) for one in sent)
    fields = {**RAW, **LEAD.model_dump(exclude={"extra"}), **LEAD.extra, "vertical": f"{MARK} x", "nested": {"a": MARK}}
    values = (json.dumps(fields).encode(), f"{MARK} not JSON".encode(), f'{{"{MARK}": '.encode(), MARK.encode())
    records = [
        *(record_of(one, ("leadline-x", MARK.encode())) for one in sent),
        *(record_of(one)._replace(value=f"{MARK} no Avro".encode()) for one in sent),
        *(record_of(one)._replace(value=encode(one) + MARK.encode()) for one in sent),
        *map(raw, values),
        *(dead(*LETTER.headers())._replace(value=value) for value in values),
        raw(encode(RawLead(fields={"first_name": MARK, "source": f"{MARK}@example.com"}))),
    ]
    placed = told.write(record._replace(key=MARK.encode()) for record in records)
    assert len(told.events(placed)) == len(records)
    others = ("lead_events", "routing_evaluations", "deliveries", "feedback", "dead_letters")
    for table in others:
        found = told.rows(table, placed)
        assert any(found)
        assert MARK.lower() not in repr(found).lower()
    assert MARK in repr(told.rows("contacts", placed))


def test_what_does_not_look_like_a_name_is_no_source(told: Told) -> None:
    none = [
        "Jane Doe", "jane@example.com", "+1 415 555 0100", "4155550100", "415-555-0100", "415.555.0100", "078-05-1120",
        "94107", "12 Main St", "Zoë", "x" * 64, "", " ", "a\nb", "../etc", "<b>", '{"a": 1}',
    ]  # fmt: skip
    rejected = [event(LeadRejected, source=text) for text in none]
    rows = told(*(typed(vertical=text, source=text) for text in none), *map(record_of, rejected))
    assert {row["source"] for row in rows} == {""}
    assert {row["vertical"] for row in rows[: len(none)]} == {""}


def test_what_a_buyer_says_is_told_by_names_and_codes(told: Told) -> None:
    """Words of its own may be a person's; they stay on the topic."""
    words = {"vertical": "Ms Doe", "buyer": "ann@example.com", "campaign": "415-555-0100", "kind": "she moved"}
    said = [
        event(Feedback, reason="wrong_number"),
        event(Feedback).model_copy(update={**words, "reason": "Ann Doe says 415 555 0100", "release": "Ann"}),
        event(Feedback).model_copy(update={"reason": "4155550100"}),
        event(Feedback).model_copy(update={"reason": "  "}),
        event(Feedback).model_copy(update={"reason": "".join(SPACES)}),
        event(Feedback).model_copy(update={"reason": "\x00"}),
    ]
    placed = told.write(map(record_of, said))
    in_events, in_feedback = told.events(placed), [row for (row,) in told.rows("feedback", placed)]
    for rows in (in_events, in_feedback):
        assert [row["reason"] for row in rows] == ["wrong_number", FREE_TEXT, FREE_TEXT, "", "", FREE_TEXT]
        assert [rows[1][name] for name in ("vertical", "buyer", "campaign", "release")] == [""] * 4
        assert [rows[0][name] for name in ("buyer", "campaign", "release")] == [
            said[0].buyer, said[0].campaign, said[0].release,
        ]  # fmt: skip
    kinds = ["return", "", *["return"] * 4]
    assert [row["outcome"] for row in in_events] == [row["kind"] for row in in_feedback] == kinds


def test_clickhouse_knows_a_label_as_python_does(told: Told) -> None:
    chance = random.Random(3)
    texts = ["".join(chance.choices("aZ0_.- é\n\t\r\x00", k=chance.randrange(7))) for _ in range(300)]
    texts += [letter * size for letter in "a1" for size in (61, 62, 63, 64)]
    texts += [f"{space}acme{space}" for space in SPACES]
    texts += ["1" * 62 + "a", " 3rd-party.net\n", "acme", "a b", "_a", "-a", ".a", "a_.-"]
    validated = [event(LeadValidated, source=text) for text in texts]
    for table in ("lead_events", "deliveries", "feedback"):
        sent = {
            "lead_events": validated,
            "deliveries": [event(Delivery, source=text) for text in texts],
            "feedback": [event(Feedback, source=text) for text in texts],
        }[table]
        rows = told.rows(table, told.write(map(record_of, sent)))
        assert [row["source"] for (row,) in rows] == [label_of(text) for text in texts]


def test_a_raw_lead(told: Told) -> None:
    lead_id = uuid4()
    complete = typed(lead_id=str(lead_id), vertical=" solar ", source="3rd-party.net")
    row, without = told.write([complete, raw(encode(RawLead(fields={"vertical": "roofing"})))])
    first, avro = told.events([row, without])
    assert (first["lead_id"], first["event_id"]) == (lead_id, event_id(lead_id, Step.RECEIVED))
    assert (first["stage"], first["outcome"], first["vertical"]) == ("received", "received", "solar")
    assert first["source"] == "3rd-party.net"
    assert first["received_at"] == first["occurred_at"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (first["attributes"], first["latency_ms"], first["price"]) == ({}, 0, 0)
    assert (avro["lead_id"], avro["vertical"]) == (lead_id_at("leads", 0, without.offset), "roofing")


def test_a_replayed_raw_lead_keeps_its_arrival(told: Told) -> None:
    lead_id = uuid4()
    pairs = ((headers.RUN, b"4"), (headers.RECEIVED_AT, b"1000"), (headers.LEAD_ID, str(lead_id).encode()))
    for row in told(raw(b"{}", *pairs), raw(b"\xff", *pairs)):
        assert (row["run"], row["lead_id"], row["received_at"].timestamp()) == (4, lead_id, 1.0)
        assert row["event_id"] == event_id(lead_id, Step.RECEIVED, 4)


def test_an_undecodable_raw_lead_was_received_all_the_same(told: Told) -> None:
    placed = told.write(map(raw, (b"\xff", b"", None, b"[]", b"\x00\x00\x00\x00\x01")))
    for record, row in zip(placed, told.events(placed), strict=True):
        assert (row["stage"], row["outcome"]) == ("received", "received")
        assert row["lead_id"] == lead_id_at("leads", 0, record.offset)
    assert not any(told.rows("dead_letters", placed)), "validation gives it up, not the sink"


def test_a_dead_letter(told: Told) -> None:
    placed = told.write([dead(*LETTER.headers())])
    (row,) = told.events(placed)
    assert (row["stage"], row["outcome"], row["reason"], row["run"]) == ("dead", "dead", "value.not_json", 2)
    assert (row["lead_id"], row["received_at"].timestamp()) == (UUID(int=9), 1.0)
    assert row["event_id"] == event_id(UUID(int=9), Step.DEAD, 2)
    assert row["attributes"] == {"stage": "validation", "detail": "", "topic": "leads", "partition": 1, "offset": 5}
    ((letter,),) = told.rows("dead_letters", placed)
    assert (letter["stage"], letter["origin_topic"], letter["origin_partition"]) == ("validation", "leads", 1)
    assert (letter["origin_offset"], letter["attempt"], letter["version"], letter["run"]) == (5, 1, "1", 2)
    assert letter["origin_at"] == headers.EPOCH + timedelta(milliseconds=WRITTEN_AT)


def test_a_dead_letter_with_any_header_gives_a_row(told: Told) -> None:
    odd = (b"", b"\xff", b"-1", b"9" * 30, b"9" * 5000, b"1.5", b" 7 ", "٣".encode(), b"it's \x00 \\")
    written = LETTER.headers()
    records = [dead(*((n, value if n == name else v) for n, v in written)) for name, _ in written for value in odd]
    records += [dead(*((n, v) for n, v in written if n != name)) for name, _ in written]
    placed = told.write(records)
    rows = told.events(placed)
    assert {row["stage"] for row in rows} == {"dead"}
    assert REFUSED not in {row["reason"] for row in rows}
    letters = told.rows("dead_letters", placed)
    assert [len(found) for found in letters] == [1] * len(records)
    by_number = {(row["origin_partition"], row["origin_offset"], row["attempt"]) for (row,) in letters}
    assert {(-1, 5, 1), (1, -1, 1), (1, 5, 0), (7, 5, 1), (1, 3, 1)} <= by_number


NO_EVENTS = (None, b"", b"{}", b"\x00", b"\x00\x00\x00\x00\x63abc", b"\x00\x00\x00\x00\x01" * 9)


def test_what_is_no_event_is_a_row_of_stage_dead(told: Told) -> None:
    records = [
        KafkaRecord(topic, 0, 0, WRITTEN_AT, None, value)
        for topic in ABOUT_LEADS
        if topic not in ("leads", "dead-letters")
        for value in NO_EVENTS
    ]
    placed = told.write(records)
    for record, row, letters in zip(placed, told.events(placed), told.rows("dead_letters", placed), strict=True):
        assert (row["stage"], row["outcome"]) == ("dead", "dead")
        assert row["lead_id"] == lead_id_at(record.topic, 0, record.offset)
        assert row["attributes"] == {"topic": record.topic, "partition": 0, "offset": record.offset}
        (letter,) = letters
        assert row["reason"] == letter["reason"] in UNREAD - {NOT_EVENT, REFUSED}
        assert (letter["stage"], letter["lead_id"], letter["origin_offset"]) == ("sink", row["lead_id"], record.offset)


def test_an_event_without_what_it_must_have_is_refused_and_the_others_are_there(told: Told) -> None:
    lacking: list[tuple[type[Event], Row]] = [
        (LeadRejected, {"reasons": []}),
        (LeadRouted, {"slip": SLIP.model_copy(update={"candidates": []})}),
        (LeadRouted, {"slip": SLIP.model_copy(update={"tiers": []})}),
        (Offer, {"slip": SLIP.model_copy(update={"candidates": []})}),
        (Offer, {"cursor": 2}),
        (Delivery, {"latency_ms": -1.0}),
        (Delivery, {"latency_ms": math.inf}),
        (Delivery, {"latency_ms": math.nan}),
        (Delivery, {"latency_ms": 1e300}),
    ]
    good = [event(model) for model in EVENTS]
    bad = [event(model).model_copy(update=changes) for model, changes in lacking]
    rows = told(*map(record_of, [*good[:5], *bad, *good[5:]]))
    assert [row["reason"] for row in rows[5 : 5 + len(bad)]] == [REFUSED] * len(bad)
    assert {row["stage"] for row in rows[5 : 5 + len(bad)]} == {"dead"}
    others = rows[:5] + rows[5 + len(bad) :]
    assert [row["event_id"] for row in others] == [one.event_id for one in good]


def test_a_number_that_a_column_does_not_hold_leaves_the_event_where_it_does(told: Told) -> None:
    exchange = DETAILS[Delivery]["exchange"]
    sent = [
        event(Delivery),
        event(Delivery, http_status=2**16),
        event(Delivery, posts=-1),
        event(Delivery, exchange=exchange.model_copy(update={"request_bytes": 2**32})),
        event(Delivery, exchange=exchange.model_copy(update={"response_bytes": -1})),
        event(Delivery, exchange=None, http_status=None),
    ]
    placed = told.write(map(record_of, sent))
    assert [row["event_id"] for row in told.events(placed)] == [one.event_id for one in sent]
    assert [len(found) for found in told.rows("deliveries", placed)] == [1, 0, 0, 0, 0, 1]


def test_an_amount_below_zero_is_no_event(told: Told) -> None:
    below = Decimal("-0.0001")
    spoilt = [
        event(LeadDelivered).model_copy(update={"price": below}),
        event(LeadDelivered).model_copy(update={"payout": below}),
        event(Feedback).model_copy(update={"amount": below}),
    ]
    rows = told(*map(record_of, [event(LeadDelivered), *spoilt, event(Feedback)]))
    assert [row["reason"] for row in rows[1:-1]] == ["schema.mismatch"] * len(spoilt)
    assert [row["stage"] for row in (rows[0], rows[-1])] == ["delivery", "feedback"]


def test_another_topics_event_is_dead(told: Told) -> None:
    (row,) = told(record_of(event(LeadDelivered))._replace(topic="leads.routed"))
    assert (row["stage"], row["reason"]) == ("dead", "schema.mismatch")


def test_what_the_rows_say(told: Told) -> None:
    sent: list[Event] = [event(model) for model in EVENTS]
    sent += [
        event(Delivery, outcome="rejected", reason="buyer.rejected", price=None),
        event(Feedback, amount=None),
        event(LeadUnrouted, held=None),
        event(LeadRouted, attempt=2),
    ]
    rows = told(*map(record_of, sent))
    by_model = dict(zip(EVENTS, rows, strict=False))
    attempt, no_amount, given_up, again = rows[len(EVENTS) :]
    assert by_model[LeadValidated]["attributes"] == {"warnings": [], "test": False}
    rejected = by_model[LeadRejected]
    assert (rejected["outcome"], rejected["reason"]) == ("rejected", "phone.invalid")
    assert rejected["attributes"]["reasons"] == [{"reason": "phone.invalid", "field": "phone", "detail": "length"}]
    duplicate = by_model[LeadDuplicate]
    assert (duplicate["reason"], duplicate["attributes"]["duplicate_of"]) == ("duplicate.person", str(UUID(int=1)))
    routed = by_model[LeadRouted]
    assert (routed["buyer"], routed["campaign"], routed["tier"], routed["price"]) == ("sunpath", "west", "first", 0)
    assert [c["campaign"] for c in routed["attributes"]["slip"]["candidates"]] == ["west", "east"]
    failed = [{"vertical": "solar", "reason": "filter.state", "campaigns": "a0"}]
    assert routed["attributes"]["trace"]["failed"] == failed
    assert routed["attributes"]["trace"]["facts"]["full"] == {"north": "cap.day"}
    assert (routed["decision"], again["decision"]) == (0, 2)
    unrouted = by_model[LeadUnrouted]
    assert (unrouted["route"], unrouted["attributes"]["held"]) == ("west-first", "2026-11-20T10:30:15.123Z")
    assert given_up["attributes"]["held"] is None
    offered = by_model[Offer]
    assert (offered["buyer"], offered["campaign"], offered["attributes"]) == ("lumen", "east", {"cursor": 1})
    # Money is on the sale alone: a sum over every row counts it once.
    assert (attempt["outcome"], attempt["reason"], attempt["price"]) == ("rejected", "buyer.rejected", 0)
    assert (by_model[Delivery]["price"], by_model[Delivery]["buyer_latency_ms"]) == (0, 12.5)
    sold = by_model[LeadDelivered]
    assert (sold["price"], sold["payout"]) == (Decimal("12.5"), Decimal("7.25"))
    assert attempt["payout"] == 0
    assert sold["route"] == routed["route"] == attempt["route"] == unrouted["route"]
    assert (by_model[Feedback]["outcome"], by_model[Feedback]["price"], no_amount["price"]) == (
        "return", Decimal("12.5"), 0
    )  # fmt: skip


def test_null_anywhere_leaves_the_attributes_whole(told: Told) -> None:
    nothing = SLIP.model_copy(update={"deadline": None})
    facts = TRACE.facts.model_copy(
        update={"bids": [Bid(campaign="west", exclusive=None, shared=None)], "resumed_at": None}
    )
    trace = TRACE.model_copy(update={"facts": facts})
    attempt, sold, routed, held = told(
        *map(
            record_of,
            (
                event(Delivery, reference=None, http_status=None, reason=None, price=None, exchange=None),
                event(LeadDelivered, reference=None),
                event(LeadRouted, slip=nothing, trace=trace, traceparent=None),
                event(LeadUnrouted, held=None, trace=trace),
            ),
        )
    )
    assert attempt["attributes"] == {"reference": None, "http_status": None, "posts": 1, "over": True}
    assert sold["attributes"] == {"reference": None, "declines": []}
    assert routed["attributes"]["slip"]["tiers"][0]["max_sales"] is None
    assert routed["attributes"]["slip"]["deadline"] is None
    for row in (routed, held):
        assert row["attributes"]["trace"]["facts"]["bids"] == [{"campaign": "west", "exclusive": None, "shared": None}]
        assert row["attributes"]["trace"]["facts"]["resumed_at"] is None


def test_a_replays_header_raises_the_run(told: Told) -> None:
    runs = ((1, b"5"), (9, b"5"), (0, b"x"), (2**31 - 1, b"999999999"), (0, b"9999999999"))
    rows = told(*(record_of(event(LeadValidated, run=run), (headers.RUN, text)) for run, text in runs))
    assert [row["run"] for row in rows] == [5, 9, 0, 2**31 - 1, 0]


def test_any_timestamp_gives_a_row(told: Told) -> None:
    stamps = (-1, 0, 2**31, 2**53, 2**62, 2**63 - 1)
    told(
        *(
            KafkaRecord(topic, 0, 0, timestamp, None, value)
            for topic in ABOUT_LEADS
            for timestamp in stamps
            for value in (b"{}", b"garbage", None)
        ),
        *(dead(*LETTER.headers())._replace(timestamp=timestamp) for timestamp in stamps),
    )


def test_any_place_is_told(told: Told) -> None:
    sent = [event(model, attempt=2**16 - 1, run=2**31 - 1) for model in EVENTS]
    places = [(0, 2**31), (1, 2**53), (2**16 - 1, 2**63 - 1)]
    records = [record_of(one)._replace(partition=p, offset=o) for one in sent for p, o in places]
    records += [KafkaRecord(topic, p, o - 1, WRITTEN_AT, None, b"no") for topic in ABOUT_LEADS for p, o in places]
    told.put(records)
    rows = told.events(records)
    assert [(row["_partition"], row["_offset"]) for row in rows] == [(one.partition, one.offset) for one in records]
    assert [row["stage"] != "dead" for row in rows[: len(sent) * 3]] == [True] * len(sent) * 3


def test_json_of_any_depth_gives_a_row(told: Told) -> None:
    """At one depth the parser still reads what the writer no longer writes."""
    told(*(raw(b'{"a":' + b"[" * depth + b"]" * depth + b"}") for depth in (*range(850, 1010), 100_000)))


def test_a_clock_that_runs_behind_is_no_negative_latency(told: Told) -> None:
    (row,) = told(record_of(event(LeadUnrouted, occurred_at=MOMENT.replace(year=2020))))
    assert row["latency_ms"] == 0
