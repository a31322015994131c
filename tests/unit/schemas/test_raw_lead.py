"""Raw leads: what a producer may send, as text exactly as typed, and who a raw lead is."""

from __future__ import annotations

import json
import sys
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import lead_id, texts

from schemas import headers
from schemas.codec import UndecodableError, decode_raw_lead, encode
from schemas.events import RawLead
from schemas.identity import lead_id_at
from schemas.raw_lead import arrival_of, lead_id_of
from schemas.reasons import Reason
from schemas.record import KafkaRecord

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def record(
    value: bytes | None, *pairs: tuple[str, bytes], offset: int = 5, timestamp: int = 1_700_000_000_123
) -> KafkaRecord:
    return KafkaRecord("leads", 1, offset, timestamp, None, value, pairs)


def assert_text(fields: dict[str, str]) -> None:
    for text in (*fields, *fields.values()):
        assert isinstance(text, str)
        text.encode()  # no lone surrogates
    encode(RawLead(fields=fields))


@settings(max_examples=400)
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_fields_or_undecodable(value: bytes) -> None:
    try:
        assert_text(decode_raw_lead(value).fields)
    except UndecodableError as error:
        assert isinstance(error.reason, Reason)  # noqa: PT017


@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_every_json_object_is_a_raw_lead(document: dict[str, object]) -> None:
    assert_text(decode_raw_lead(json.dumps(document).encode()).fields)


@given(st.dictionaries(texts, texts, max_size=5))
def test_json_and_avro_say_the_same(fields: dict[str, str]) -> None:
    as_json = json.dumps(fields, ensure_ascii=False).encode()
    assert decode_raw_lead(as_json) == decode_raw_lead(encode(RawLead(fields=fields))) == RawLead(fields=fields)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("30303", "30303"),
        ("1.50", "1.50"),
        ("1e400", "1e400"),
        ("-0.0", "-0.0"),
        ("12345678901234567890.123456789012345678901", "12345678901234567890.123456789012345678901"),
        ("9" * 5000, "9" * 5000),  # Python's int takes 4,300 digits
        ("NaN", "NaN"),
        ("true", "true"),
        ('"  as typed "', "  as typed "),
        ('"\\u00e9"', "é"),
    ],
)
def test_values_stay_as_typed(typed: str, text: str) -> None:
    assert decode_raw_lead(f'{{"field": {typed}}}'.encode()).fields == {"field": text}


def test_nested_values_stay_json_and_nulls_are_absent() -> None:
    value = b'{"tags": ["a", {"b": "\xc3\xa9"}], "none": null, "ok": [true, null]}'
    fields = decode_raw_lead(value).fields
    assert set(fields) == {"tags", "ok"}
    assert json.loads(fields["tags"]) == ["a", {"b": "é"}]
    assert json.loads(fields["ok"]) == [True, None]


def test_nested_numbers_keep_their_digits() -> None:
    fields = decode_raw_lead(b'{"nested": {"amount": 1.500, "id": 12345678901234567890123}}').fields
    assert "1.500" in fields["nested"]
    assert "12345678901234567890123" in fields["nested"]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    fields = decode_raw_lead(b'{"a\\ud800": "x\\udfff", "nested": ["\\ud800"]}').fields
    assert_text(fields)
    assert fields["a?"] == "x?"


def test_a_byte_order_mark_is_no_content() -> None:
    assert decode_raw_lead(b'\xef\xbb\xbf{"a": "b"}').fields == {"a": "b"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.VALUE_EMPTY),
        (b"", Reason.VALUE_EMPTY),
        (b'{"a": "\xff"}', Reason.VALUE_NOT_UTF8),
        (b'{"a": ', Reason.VALUE_NOT_JSON),
        (b'{"a": 1}{"a": 2}', Reason.VALUE_NOT_JSON),
        (b"[]", Reason.VALUE_NOT_OBJECT),
        (b"null", Reason.VALUE_NOT_OBJECT),
        (b"[" * 100_000 + b"]" * 100_000, Reason.VALUE_TOO_DEEP),
        (b"\x00\x00", Reason.SCHEMA_MISMATCH),
        (b"\x00\xff\xff\xff\xff{}", Reason.SCHEMA_UNKNOWN),
    ],
)
def test_what_is_no_lead_says_why(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode_raw_lead(value)
    assert caught.value.reason is reason


def test_no_depth_of_nesting_raises_anything_else() -> None:
    """Reading and writing JSON have limits of their own: between them is a depth that reads and does not write."""
    refused = 0
    limit = sys.getrecursionlimit()
    for depth in (*range(1, limit, 97), *range(limit - 150, limit + 20)):
        try:
            fields = decode_raw_lead(b'{"a":' + b"[" * depth + b"]" * depth + b"}").fields
            assert fields["a"].count("[") == depth
        except UndecodableError as error:
            assert error.reason is Reason.VALUE_TOO_DEEP  # noqa: PT017
            refused += 1
    assert refused


def test_the_header_names_the_lead_before_its_producer_and_its_place() -> None:
    ours, theirs = lead_id("ours"), lead_id("theirs")
    body = json.dumps({"lead_id": str(theirs)}).encode()
    header = (headers.LEAD_ID, str(ours).encode())
    assert lead_id_of(record(body, header)) == ours
    assert lead_id_of(record(body)) == theirs
    assert lead_id_of(record(b"{}")) == lead_id_at("leads", 1, 5)
    assert lead_id_of(record(b"no lead")) == lead_id_at("leads", 1, 5)
    assert lead_id_of(record(b"no lead", header)) == ours


@pytest.mark.parametrize("text", ["", "  ", None])
def test_a_blank_lead_id_is_none(text: str | None) -> None:
    arrival = arrival_of(record(json.dumps({"lead_id": text}).encode()))
    assert arrival.lead_id == lead_id_at("leads", 1, 5)
    assert arrival.lead_id_valid


def test_a_producers_lead_id_that_is_no_uuid_is_noted() -> None:
    arrival = arrival_of(record(b'{"lead_id": "42"}'))
    assert not arrival.lead_id_valid
    assert arrival.lead_id == lead_id_at("leads", 1, 5)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([headers.LEAD_ID, headers.RUN, headers.RECEIVED_AT, headers.TRACEPARENT]),
            st.none() | st.binary(max_size=20) | st.integers().map(lambda i: str(i).encode()),
        ),
        max_size=6,
    ),
    st.integers(-(2**63), 2**63 - 1),
)
def test_hostile_headers_and_timestamps_stop_nothing(pairs: list[tuple[str, bytes]], timestamp: int) -> None:
    arrival = arrival_of(record(b'{"a": "b"}', *pairs, timestamp=timestamp))
    assert isinstance(arrival.lead_id, UUID)
    assert 0 <= arrival.run < 2**31
    assert arrival.received_at.tzinfo is not None
