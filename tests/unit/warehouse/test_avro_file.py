"""The sink's Avro files: any Avro reader finds in them what the records hold, each in its own slot."""

from __future__ import annotations

import doctest
import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import models
from kit.events import event

from schemas.avro_schema import schema_of
from schemas.codec import PREFIX, encode
from schemas.events import (
    Delivery,
    Feedback,
    LeadDelivered,
    LeadRouted,
    LeadUndelivered,
    LeadUnrouted,
    LeadValidated,
    Offer,
)
from schemas.messages import MODELS, Message
from warehouse.tables import avro_file, json_sql
from warehouse.tables.avro_file import AvroFile, Row, clickhouse_type, long
from warehouse.tables.table import slot_of

# Several of them have the same parts: a slip, a lead, declines.
EVENTS = (
    Delivery, Feedback, LeadDelivered, LeadRouted, LeadUndelivered, LeadUnrouted, LeadValidated, Offer,
)  # fmt: skip
SIDE = {"type": "record", "name": "Side", "fields": [{"name": "n", "type": "long"}]}
SLOTS = {slot_of(model.TOPIC.name): model for model in MODELS}


def file_of(slots: list[str]) -> AvroFile:
    return AvroFile([(slot, schema_of(SLOTS[slot])) for slot in slots])


def rows_in(file: bytes) -> list[dict[str, Any]]:
    return list(fastavro.reader(io.BytesIO(file)))  # type: ignore[arg-type]


@st.composite
def filled(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int, int, Message]]]:
    """Slots in some order, and events for some of them, with a partition, an offset and a run."""
    chosen = draw(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4, unique=True))
    events = st.sampled_from(chosen).flatmap(lambda model: models(model))
    rows = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 10**9 - 1), events)
    return [slot_of(model.TOPIC.name) for model in chosen], draw(st.lists(rows, min_size=1, max_size=3))


def row_of(partition: int, offset: int, run: int, event: Message) -> Row:
    return partition, offset, run, slot_of(event.TOPIC.name), encode(event)[PREFIX.size :]


@settings(max_examples=60)
@given(filled())
def test_a_reader_finds_each_record_in_its_slot(given_: tuple[list[str], list[tuple[int, int, int, Message]]]) -> None:
    slots, sent = given_
    rows = rows_in(file_of(slots).of(row_of(*one) for one in sent))
    assert len(rows) == len(sent)
    for row, (partition, offset, run, message) in zip(rows, sent, strict=True):
        assert (row["_partition"], row["_run"]) == (partition, run)
        assert row["_mark"] == row["_end"]
        assert (row["_mark"][0] != 0, int.from_bytes(row["_mark"][1:], "little")) == (True, offset)
        own = slot_of(message.TOPIC.name)
        assert {slot: len(row[slot]) for slot in slots} == {slot: int(slot == own) for slot in slots}
        assert type(message).model_validate(row[own][0]) == message


def test_every_topic_can_have_a_slot_in_one_file() -> None:
    file = file_of(list(SLOTS))
    for slot in SLOTS:
        assert f"{slot} Array(Tuple(" in file.structure
    body = encode(event(Feedback))[PREFIX.size :]
    (row,) = rows_in(file.of([(0, 1, 2, "feedback", body)]))
    assert [slot for slot in SLOTS if row[slot]] == ["feedback"]


def test_the_same_records_are_the_same_file() -> None:
    body = encode(event(Feedback))[PREFIX.size :]
    rows = [(0, offset, 0, "feedback", body) for offset in range(100)]
    first, again = (file_of(["feedback"]).of(iter(rows)) for _ in range(2))
    assert first == again
    assert [int.from_bytes(row["_mark"][1:], "little") for row in rows_in(first)] == list(range(100))


@pytest.mark.parametrize("number", [0, -1, 1, 63, 64, -64, -65, 2**31, 2**63 - 1, -(2**63)])
def test_a_number_is_an_avro_long(number: int) -> None:
    written = io.BytesIO()
    fastavro.schemaless_writer(written, "long", number)
    assert long(number) == written.getvalue()


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_number_is_an_avro_long(number: int) -> None:
    test_a_number_is_an_avro_long(number)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("string", "String"),
        ("long", "Int64"),
        ("double", "Float64"),
        ("boolean", "Bool"),
        ("bytes", "String"),
        (["null", "string"], "Nullable(String)"),
        ({"type": "string", "logicalType": "uuid"}, "UUID"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "DateTime64(3, 'UTC')"),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], "Nullable(DateTime64(3, 'UTC'))"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 4}, "Decimal(12, 4)"),
        ({"type": "array", "items": {"type": "map", "values": "string"}}, "Array(Map(String, String))"),
        (
            {
                "type": "record",
                "name": "Pair",
                "fields": [
                    {"name": "left", "type": SIDE},
                    {"name": "right", "type": ["null", "Side"]},
                ],
            },
            "Tuple(`left` Tuple(`n` Int64), `right` Nullable(Tuple(`n` Int64)))",
        ),
    ],
)
def test_a_schema_is_a_type(schema: Any, expected: str) -> None:
    assert clickhouse_type(schema) == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_is_a_type(model: type[Message]) -> None:
    assert clickhouse_type(schema_of(model)).startswith("Tuple(")


@pytest.mark.parametrize("module", [avro_file, json_sql])
def test_the_examples_in_the_documentation_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
