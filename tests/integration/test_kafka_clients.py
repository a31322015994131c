"""The Kafka clients on a real broker: acknowledged is stored, anything else an error, and keys land as Java's do."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from kit.full_stack import wait_until

from connectors.inbound.intake import BrokerUnavailableError, LeadMessage
from connectors.kafka import clients
from connectors.kafka.lag import lag_of
from connectors.kafka.log_reader import as_record, offsets_at, partitions_of, read_range, read_ranges, watermarks
from connectors.kafka.open_transaction import OpenTransactionError, first_open, refuse_open
from connectors.kafka.producer import AckedProducer, DeliveryFailedError
from connectors.kafka.publisher import LeadPublisher
from connectors.kafka.transaction import FencedError, TransactionalProducer
from schemas.record import KafkaRecord
from schemas.topics import DEAD_LETTER_BYTES
from streams.engine.exits import Exit, exit_of
from streams.memory.log import MemoryLog

NewTopic = Callable[..., str]


@pytest.fixture
def new_topic(new_topic: NewTopic, kafka_bootstrap: str) -> Iterator[NewTopic]:
    """As everywhere, and the broker knows it: creation is acknowledged a moment before that."""
    reader = clients.reader(kafka_bootstrap)

    def create(**options: Any) -> str:
        name = new_topic(**options)
        wait_until(lambda: partitions_of(reader, name), "the broker knows the topic", 10)
        return name

    yield create
    reader.close()


@contextmanager
def nobody() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def everything(bootstrap: str, topic: str, partition: int = 0, *bounds: int) -> list[KafkaRecord]:
    return [as_record(message) for batch in read_range(bootstrap, topic, partition, *bounds) for message in batch]


def written(bootstrap: str, topic: str, count: int, **config: object) -> None:
    producer = AckedProducer(bootstrap, **config)
    for number in range(count):
        producer.produce(topic, b"k", str(number).encode(), [("n", b"%d" % number)])
    producer.flush()


def test_flush_acknowledges(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    written(kafka_bootstrap, topic, 5_000)
    records = everything(kafka_bootstrap, topic)
    assert [record.value for record in records] == [str(n).encode() for n in range(5_000)]
    assert [record.offset for record in records] == list(range(5_000))
    assert (records[7].key, records[7].headers) == (b"k", (("n", b"7"),))


def test_a_full_queue_waits_and_loses_nothing(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    written(kafka_bootstrap, topic, 2_000, **{"queue.buffering.max.messages": 10})
    assert len(everything(kafka_bootstrap, topic)) == 2_000


def test_a_record_too_large_for_the_client_is_refused_at_once(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    with pytest.raises(DeliveryFailedError, match="too large"):
        AckedProducer(kafka_bootstrap).produce(new_topic(), None, b"x" * (DEAD_LETTER_BYTES + 1))


def test_a_record_too_large_for_the_topic_fails_the_flush_for_good(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic(max_message_bytes="1000")
    producer = AckedProducer(kafka_bootstrap)
    producer.produce(topic, None, b"x" * 5_000)
    with pytest.raises(DeliveryFailedError, match=r"(?i)large"):
        producer.flush()
    producer.produce(topic, None, b"small")
    with pytest.raises(DeliveryFailedError):
        producer.flush()


def test_nothing_is_acknowledged_where_nobody_listens() -> None:
    with nobody() as address:
        producer = AckedProducer(address, delivery_timeout_seconds=1.0, log_level=0)
        producer.produce("leads", None, b"x")
        started = time.monotonic()
        with pytest.raises(DeliveryFailedError):
            producer.flush()
        assert time.monotonic() - started < 5


def test_a_topic_that_is_not_there_is_an_error(kafka_bootstrap: str, unique: Callable[[str], str]) -> None:
    producer = AckedProducer(kafka_bootstrap, delivery_timeout_seconds=2.0)
    producer.produce(unique("nowhere"), None, b"x")
    with pytest.raises(DeliveryFailedError):
        producer.flush()


def test_keys_land_where_a_java_producer_puts_them(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    partitions = 4
    topic = new_topic(partitions=partitions)
    chance = random.Random(1)
    keys = [chance.randbytes(chance.randrange(1, 40)) for _ in range(500)]
    producer, log = AckedProducer(kafka_bootstrap), MemoryLog(partitions=partitions)
    for key in keys:
        producer.produce(topic, key, None)
    producer.flush()
    landed = {r.key: r.partition for p in range(partitions) for r in everything(kafka_bootstrap, topic, p)}
    assert landed == {key: (murmur2(key) & 0x7FFFFFFF) % partitions for key in keys}
    assert landed == {key: log.append(topic, key, None).partition for key in keys}
    assert set(landed.values()) == set(range(partitions))


def test_a_stretch_of_a_topic(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    assert everything(kafka_bootstrap, topic) == []
    written(kafka_bootstrap, topic, 100)

    def offsets(*bounds: int) -> list[int]:
        return [record.offset for record in everything(kafka_bootstrap, topic, 0, *bounds)]

    assert offsets(10, 20) == list(range(10, 20))
    assert offsets(90) == list(range(90, 100))
    assert offsets(0, 1) == [0]
    assert offsets(99, 10_000) == [99]
    assert offsets(100, 200) == offsets(20, 20) == offsets(30, 10) == []


def test_a_stretch_ends_before_the_markers_of_a_transaction(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    """Offsets have gaps: a commit or an abort takes one, and aborted records are nobody's."""
    topic = new_topic()
    producer = clients.producer(kafka_bootstrap, **{"transactional.id": topic})
    producer.init_transactions(30)
    for keep in (True, False, True):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(topic, b"kept" if keep else b"aborted")
        producer.flush()
        producer.commit_transaction() if keep else producer.abort_transaction()
    records = everything(kafka_bootstrap, topic)
    assert [(record.offset, record.value) for record in records] == [(n, b"kept") for n in (0, 1, 2, 8, 9, 10)]


def test_an_open_transaction_is_found_and_refused_until_it_is_decided(
    kafka_bootstrap: str, new_topic: NewTopic
) -> None:
    topic = new_topic()
    written(kafka_bootstrap, topic, 2)
    assert first_open(kafka_bootstrap, topic, 0) is None
    producer = TransactionalProducer(kafka_bootstrap, topic)
    producer.fence()
    producer.begin()
    producer.produce(topic, b"k", b"undecided", partition=0)
    wait_until(lambda: first_open(kafka_bootstrap, topic, 0) is not None, "the record is written", 10)
    assert first_open(kafka_bootstrap, topic, 0) == 2
    with pytest.raises(OpenTransactionError, match=r"offset 2,.* abort --topic .* --partition 0 --start-offset 2"):
        refuse_open(kafka_bootstrap, topic, 0, seconds=0.3)
    producer.close()
    successor = TransactionalProducer(kafka_bootstrap, topic)
    successor.fence()  # ends what the other has left
    refuse_open(kafka_bootstrap, topic, 0)
    successor.close()


def test_a_worker_that_is_not_told_of_open_transactions_stops_for_kafka_s_sake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(KafkaException) as stopped:
            first_open(address, "any", 0, seconds=0.3)
    assert exit_of(stopped.value) is Exit.KAFKA


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("finds_out", ["as it commits", "as it waits for room"])
def test_who_is_fenced_is_told_so_and_lets_go_in_silence(
    kafka_bootstrap: str, new_topic: NewTopic, finds_out: str
) -> None:
    topic = new_topic()
    first = TransactionalProducer(kafka_bootstrap, topic, **{"queue.buffering.max.messages": 1})
    first.fence()
    first.begin()
    first.produce(topic, b"k", b"of the first", partition=0)
    wait_until(lambda: first_open(kafka_bootstrap, topic, 0) is not None, "the record is written", 10)
    second = TransactionalProducer(kafka_bootstrap, topic)
    second.fence()
    if finds_out == "as it commits":
        with pytest.raises(FencedError):
            first.commit()
    else:
        first.produce(topic, b"k", b"sent", partition=0)
        with pytest.raises(FencedError):
            first.produce(topic, b"k", b"no room until that is acknowledged", partition=0)
    first.close()
    second.begin()
    second.produce(topic, b"k", b"of the second", partition=0)
    assert second.commit()
    second.close()
    assert [record.value for record in everything(kafka_bootstrap, topic)] == [b"of the second"]


def test_offsets_of_a_moment(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic(partitions=2)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    producer = clients.producer(kafka_bootstrap)
    for minute in range(10):
        at = round((start + timedelta(minutes=minute)).timestamp() * 1000)
        producer.produce(topic, b"x", partition=0, timestamp=at)
    producer.flush()
    reader = clients.reader(kafka_bootstrap)
    try:
        assert partitions_of(reader, topic) == [0, 1]
        assert partitions_of(reader, "no-such-topic") == []
        assert watermarks(reader, TopicPartition(topic, 0)) == (0, 10)
        moments = [-60, 0, 30, 60, 541, 10_000]
        found = [offsets_at(reader, topic, 0, start + timedelta(seconds=seconds)) for seconds in moments]
        assert found == [0, 0, 1, 1, 10, 10]
        assert offsets_at(reader, topic, 1, start) == 0
    finally:
        reader.close()


def test_reading_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.kafka.log_reader.TIMEOUT_SECONDS", 0.5)
    with nobody() as address, pytest.raises(KafkaException):
        list(read_range(address, "leads", 0))


def test_several_ranges_at_once(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    one, other = new_topic(), new_topic()
    written(kafka_bootstrap, one, 30)
    written(kafka_bootstrap, other, 30)
    asked = [(one, 0, 3, 10), (other, 0, 0, 1)]

    def places(*ranges: tuple[str, int, int, int]) -> set[tuple[str, int]]:
        found = [as_record(message) for batch in read_ranges(kafka_bootstrap, ranges) for message in batch]
        assert len(set(found)) == len(found)
        return {(record.topic, record.offset) for record in found}

    assert places(*asked) == {*((one, n) for n in range(3, 10)), (other, 0)}
    assert places((other, 0, 20, 30)) == {(other, n) for n in range(20, 30)}
    with pytest.raises(KafkaException) as caught:
        places((other, 0, 20, 31))
    assert caught.value.args[0].code() == KafkaError._PARTITION_EOF, "what is not there is not waited for"
    assert places((one, 0, 5, 5)) == places() == set()
    admin = clients.admin(kafka_bootstrap)
    for future in admin.delete_records([TopicPartition(one, 0, 5)]).values():
        future.result(20)
    assert places((one, 0, 5, 10), asked[1]) == {*((one, n) for n in range(5, 10)), (other, 0)}
    with pytest.raises(KafkaException) as caught:
        places(*asked)
    assert caught.value.args[0].code() == KafkaError._AUTO_OFFSET_RESET


LATIN = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Latin(str):
    def encode(self, *_):
        return super().encode("latin-1")

async def main():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
        await producer.send_and_wait(sys.argv[2], b"first", headers=[(Latin("caf\\xe9"), b"1"), ("name", b"2")])
        await producer.send_and_wait(sys.argv[2], b"second", headers=[("name", b"2")])

asyncio.run(main())
"""
"""A producer that writes a header's name in Latin-1, as some clients let it."""


def test_a_header_s_name_may_be_any_bytes(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    plain = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
    subprocess.run([sys.executable, "-c", LATIN, kafka_bootstrap, topic], env=plain, check=True, timeout=60)
    first, second = [message for batch in read_range(kafka_bootstrap, topic, 0) for message in batch]
    for _ in range(100):  # until the interpreter calls it another way
        assert as_record(second).headers == (("name", b"2"),)
    read = as_record(first)
    assert (read.value, read.headers) == (b"first", ())


def test_lag(kafka_bootstrap: str, new_topic: NewTopic, unique: Callable[[str], str]) -> None:
    one, other = new_topic(partitions=2), new_topic()
    group, admin = unique("group"), clients.admin(kafka_bootstrap)
    wait_until(lambda: lag_of(admin, group, (one, other)) == 0, "the broker knows the topics", 10)
    assert lag_of(admin, group, (one, "no-such-topic")) is None
    written(kafka_bootstrap, one, 10)
    written(kafka_bootstrap, other, 5)
    assert lag_of(admin, group, (one, other)) == 15
    assert lag_of(admin, group, (other,)) == 5
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": group})
    try:
        consumer.commit(offsets=[TopicPartition(other, 0, 4)], asynchronous=False)
    finally:
        consumer.close()
    assert lag_of(admin, group, (one, other)) == 11


async def test_published_is_stored(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    publisher = LeadPublisher(kafka_bootstrap, topic)
    try:
        leads = [LeadMessage(str(n), b'{"n": %d}' % n) for n in range(200)]
        await asyncio.gather(*(publisher.publish(leads[n : n + 10]) for n in range(0, 200, 10)))
        stored = {record.value for record in everything(kafka_bootstrap, topic)}
        assert stored == {lead.value for lead in leads}
        await publisher.publish([])
    finally:
        publisher.close()


async def test_a_lead_that_is_not_stored_fails_its_own_caller_only(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic(max_message_bytes="1000")
    publisher = LeadPublisher(kafka_bootstrap, topic)
    try:
        good, bad = LeadMessage("good", b"x"), LeadMessage("bad", b"x" * 5_000)
        outcomes = await asyncio.gather(publisher.publish([good]), publisher.publish([bad]), return_exceptions=True)
        # One batch may hold both: then it is refused as a whole, and the good one's sender is told to try again.
        assert isinstance(outcomes[1], BrokerUnavailableError)
        await publisher.publish([good])
    finally:
        publisher.close()
    assert b"x" in {record.value for record in everything(kafka_bootstrap, topic)}


async def test_a_broker_that_is_away_is_said_in_time() -> None:
    with nobody() as address:
        publisher = LeadPublisher(address, "leads", delivery_timeout_seconds=1.0)
        try:
            started = time.monotonic()
            with pytest.raises(BrokerUnavailableError) as raised:
                await publisher.publish([LeadMessage("a", b"{}")])
            assert raised.value.retry_after_seconds > 0
            assert time.monotonic() - started < 5
        finally:
            publisher.close()


async def test_a_caller_that_goes_away_breaks_nothing(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = new_topic()
    publisher = LeadPublisher(kafka_bootstrap, topic)
    try:
        leaving = asyncio.create_task(publisher.publish([LeadMessage("a", b"gone")]))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await publisher.publish([LeadMessage("b", b"stayed")])
    finally:
        publisher.close()
    found = wait_until(lambda: everything(kafka_bootstrap, topic), "the records", 10)
    assert b"stayed" in {record.value for record in found}
