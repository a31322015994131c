"""Reading partitions as they grow, on a real broker: each committed record once, in order, whatever is paused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from confluent_kafka import TopicPartition
from kit.full_stack import wait_until
from structlog.testing import capture_logs

from connectors.kafka import clients
from connectors.kafka.partition_reader import Batch, PartitionReader, Place
from connectors.kafka.transaction import TransactionalProducer
from schemas.record import KafkaRecord

NewTopic = Callable[..., str]
RECORDS = 5_000


class Reading:
    """A reader, and all that it delivers."""

    def __init__(self, bootstrap: str) -> None:
        self.reader = PartitionReader(bootstrap, **{"queued.min.messages": 500})
        self.records: list[KafkaRecord] = []
        self.reached: dict[Place, int] = {}
        self.ends: dict[Place, int] = {}
        self.failures: list[Exception] = []
        self.room = threading.Event()
        self.room.set()

    def start(self, offsets: Mapping[Place, int | None]) -> None:
        self.reader.start(offsets, self._deliver, self.failures.append)

    def _deliver(self, batch: Batch) -> None:
        for place, records in batch.records.items():
            assert {record[:2] for record in records} == {place}
            self.records += records
        self.reached |= batch.reached
        self.ends |= batch.ends
        self.room.wait(30)

    def offsets(self, place: Place) -> list[int]:
        return [record.offset for record in self.records if record[:2] == place]

    def until(self, place: Place, count: int) -> None:
        wait_until(lambda: len(self.offsets(place)) >= count or self.failures, f"{count} of {place}", 30)
        assert not self.failures


@pytest.fixture
def reading(kafka_bootstrap: str) -> Iterator[Reading]:
    found = Reading(kafka_bootstrap)
    yield found
    found.room.set()
    found.reader.close()


def write(bootstrap: str, topic: str, partition: int, count: int, first: int = 0) -> None:
    producer = clients.producer(bootstrap)
    for number in range(first, first + count):
        producer.produce(topic, b"%d" % number, partition=partition, headers=[("n", b"%d" % number), ("none", None)])
    producer.flush()


def test_every_record_from_an_offset_on_is_delivered_once(
    kafka_bootstrap: str, new_topic: NewTopic, reading: Reading
) -> None:
    topic = new_topic(partitions=2)
    for partition in (0, 1):
        write(kafka_bootstrap, topic, partition, RECORDS)
    reading.start({(topic, 0): 1_000, (topic, 1): None})
    reading.until((topic, 1), RECORDS)
    reading.until((topic, 0), RECORDS - 1_000)
    write(kafka_bootstrap, topic, 0, 10, RECORDS)
    reading.until((topic, 0), RECORDS - 990)
    assert reading.offsets((topic, 0)) == list(range(1_000, RECORDS + 10))
    assert reading.offsets((topic, 1)) == list(range(RECORDS))
    assert reading.ends == {(topic, 0): RECORDS + 10, (topic, 1): RECORDS}
    assert reading.records[0].headers == ((("n", reading.records[0].value),)), "a header without a value is none"


def test_a_paused_partition_waits_and_loses_nothing(
    kafka_bootstrap: str, new_topic: NewTopic, reading: Reading
) -> None:
    topic = new_topic(partitions=2)
    for partition in (0, 1):
        write(kafka_bootstrap, topic, partition, RECORDS)
    reading.room.clear()
    reading.start({(topic, 0): 0, (topic, 1): 0})
    wait_until(lambda: reading.records, "the first batch", 30)
    reading.reader.paused = frozenset({(topic, 0)})
    before = len(reading.offsets((topic, 0)))
    reading.room.set()
    reading.until((topic, 1), RECORDS)
    write(kafka_bootstrap, topic, 1, 10, RECORDS)
    reading.until((topic, 1), RECORDS + 10)
    assert len(reading.offsets((topic, 0))) == before
    reading.reader.paused = frozenset()
    reading.until((topic, 0), RECORDS)
    assert reading.offsets((topic, 0)) == list(range(RECORDS))


def test_a_pause_ends_with_its_reading(kafka_bootstrap: str, new_topic: NewTopic, reading: Reading) -> None:
    topic = new_topic(partitions=2)
    for partition in (0, 1):
        write(kafka_bootstrap, topic, partition, RECORDS)
    reading.room.clear()
    reading.start({(topic, 0): 0, (topic, 1): 0})
    wait_until(lambda: reading.records, "the first batch", 30)
    reading.reader.paused = frozenset({(topic, 0)})
    reading.room.set()
    reading.until((topic, 1), RECORDS)
    reading.reader.stop()
    reading.records.clear()
    reading.start({(topic, 0): 0, (topic, 1): 0})
    reading.until((topic, 0), RECORDS)
    assert reading.offsets((topic, 0)) == list(range(RECORDS))


def test_nothing_is_delivered_after_a_stop_and_a_new_start_reads_anew(
    kafka_bootstrap: str, new_topic: NewTopic, reading: Reading
) -> None:
    topic = new_topic()
    write(kafka_bootstrap, topic, 0, RECORDS)
    for _ in range(3):
        reading.room.clear()
        reading.records.clear()
        reading.start({(topic, 0): 0})
        wait_until(lambda: reading.records, "the first batch", 30)
        reading.reader.halt()
        reading.room.set()
        reading.reader.stop()
        assert reading.offsets((topic, 0)) == list(range(len(reading.records)))
        assert len(reading.records) < RECORDS
    reading.start({(topic, 0): len(reading.records)})
    reading.until((topic, 0), RECORDS)
    assert reading.offsets((topic, 0)) == list(range(RECORDS))


def test_only_committed_records_come_and_the_end_is_behind_their_markers(
    kafka_bootstrap: str, new_topic: NewTopic, reading: Reading
) -> None:
    topic = new_topic()
    aborted = TransactionalProducer(kafka_bootstrap, topic)
    aborted.fence()
    aborted.begin()
    aborted.produce(topic, None, b"aborted")
    aborted.close()  # as a crash leaves it
    kept = TransactionalProducer(kafka_bootstrap, topic)
    kept.fence()
    kept.begin()
    kept.produce(topic, None, b"kept")
    assert kept.commit()
    reading.start({(topic, 0): 0})
    wait_until(lambda: reading.records and reading.reached.get((topic, 0)), "the end", 30)
    (record,) = reading.records
    assert record.value == b"kept"
    end = reading.reached[topic, 0]
    assert end == record.offset + 2 == reading.ends[topic, 0]
    kept.close()


def test_a_log_that_does_not_reach_back_is_read_from_its_beginning_and_that_is_said(
    kafka_bootstrap: str, new_topic: NewTopic, reading: Reading
) -> None:
    topic = new_topic()
    write(kafka_bootstrap, topic, 0, 100)
    admin = clients.admin(kafka_bootstrap)
    for future in admin.delete_records([TopicPartition(topic, 0, 60)]).values():
        future.result(30)
    with capture_logs() as logs:
        reading.start({(topic, 0): 5})
        reading.until((topic, 0), 40)
    assert reading.offsets((topic, 0)) == list(range(60, 100))
    assert [(entry["log_level"], entry["first"]) for entry in logs if entry.get("topic") == topic] == [("error", 60)]
