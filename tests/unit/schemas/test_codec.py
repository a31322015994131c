"""Events on the wire: every model goes there and back, and damaged bytes are undecodable, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.builders import models, validated

from schemas import topics
from schemas.codec import MAGIC, PREFIX, UndecodableError, decode, encode
from schemas.events import LeadUnique, LeadValidated, RawLead
from schemas.messages import BY_TOPIC, MODELS, Message
from schemas.reasons import Reason

EVENT = validated("a lead")
WIRE = encode(EVENT)


def topic_of(model: type[Message]) -> str:
    return model.TOPIC.name


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_model_goes_there_and_back(model: type[Message]) -> None:
    @settings(max_examples=60)
    @given(models(model))
    def there_and_back(message: Message) -> None:
        assert decode(topic_of(model), encode(message)) == message

    there_and_back()


def test_each_topic_of_events_has_one_model() -> None:
    assert len(BY_TOPIC) == len(MODELS)
    assert set(BY_TOPIC) == set(topics.BY_NAME) - {topics.DEAD_LETTERS.name}


def decode_or_refuse(topic: str, value: bytes | None) -> None:
    try:
        message = decode(topic, value)
    except UndecodableError as error:
        assert isinstance(error.reason, Reason)  # noqa: PT017
        return
    assert isinstance(message, BY_TOPIC[topic])


@given(st.integers(0, len(WIRE) - 1))
def test_truncated_bytes_are_undecodable(length: int) -> None:
    with pytest.raises(UndecodableError):
        decode(topics.VALIDATED.name, WIRE[:length])


@given(st.binary(min_size=1, max_size=20))
def test_appended_bytes_are_undecodable(rest: bytes) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(topics.VALIDATED.name, WIRE + rest)
    assert caught.value.reason is Reason.SCHEMA_MISMATCH


@settings(max_examples=500)
@given(st.lists(st.integers(0, len(WIRE) * 8 - 1), min_size=1, max_size=4, unique=True))
def test_flipped_bits_raise_nothing_else(bits: list[int]) -> None:
    damaged = bytearray(WIRE)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    decode_or_refuse(topics.VALIDATED.name, bytes(damaged))


@settings(max_examples=300)
@given(st.sampled_from(sorted(BY_TOPIC)), st.integers(1, len(MODELS)), st.binary(max_size=80))
def test_arbitrary_bodies_raise_nothing_else(topic: str, schema: int, body: bytes) -> None:
    decode_or_refuse(topic, PREFIX.pack(MAGIC, schema) + body)


@pytest.mark.parametrize("value", [None, b""])
def test_nothing_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(topics.UNIQUE.name, value)
    assert caught.value.reason is Reason.VALUE_EMPTY


def test_an_unknown_schema_id_is_undecodable() -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(topics.VALIDATED.name, PREFIX.pack(MAGIC, 4_000_000_000) + WIRE[PREFIX.size :])
    assert caught.value.reason is Reason.SCHEMA_UNKNOWN


def test_an_event_of_another_topic_is_undecodable() -> None:
    for topic in set(BY_TOPIC) - {topics.VALIDATED.name}:
        with pytest.raises(UndecodableError) as caught:
            decode(topic, WIRE)
        assert caught.value.reason is Reason.SCHEMA_MISMATCH


def test_bytes_that_break_a_rule_of_the_model_are_undecodable_and_not_quoted() -> None:
    wrong = EVENT.model_copy(update={"run": -1, "source": "jane@example.com"})  # copies are not validated
    with pytest.raises(UndecodableError) as caught:
        decode(topics.VALIDATED.name, encode(wrong))
    assert "jane" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_time_loses_its_microseconds_once_and_not_on_the_wire() -> None:
    event = LeadValidated(**EVENT.model_dump() | {"occurred_at": EVENT.occurred_at.replace(microsecond=123_999)})
    assert event.occurred_at.microsecond == 123_000
    assert decode(topics.VALIDATED.name, encode(event)) == event


def test_events_are_values() -> None:
    assert LeadUnique.model_config["frozen"] is RawLead.model_config["frozen"] is True
    with pytest.raises(ValueError, match="frozen"):
        EVENT.run = 1
