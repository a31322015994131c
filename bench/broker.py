"""The benchmarks' Kafka: topics to fill, to watch and to throw away."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.errors import BenchmarkError
from connectors.kafka import clients

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Broker:
    """A Kafka whose topics all have ``partitions`` partitions."""

    bootstrap: str
    partitions: int

    @cached_property
    def _admin(self) -> AdminClient:
        # Silent: whatever goes wrong is raised, and after Ctrl-C the broker goes first.
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create(self, *topics: str) -> None:
        """Make topics, and wait until each partition is led."""
        new = [NewTopic(topic, num_partitions=self.partitions, replication_factor=1) for topic in topics]
        for future in self._admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS).values():
            future.result()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not self._led(topics):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"Kafka has not made {', '.join(topics)} within {TIMEOUT_SECONDS:g} s")
            time.sleep(0.05)

    def _led(self, topics: Sequence[str]) -> bool:
        try:
            self.count(topics)
        except (KeyError, KafkaException):  # not in the metadata yet; no leader yet
            return False
        return True

    def delete(self, topics: Sequence[str]) -> None:
        """Remove topics and give their space back."""
        if topics:
            for future in self._admin.delete_topics(list(topics), operation_timeout=TIMEOUT_SECONDS).values():
                future.result()

    def topics(self) -> set[str]:
        """Every topic there is."""
        return set(self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics)

    def count(self, topics: Iterable[str]) -> int:
        """Records that topics have, by their end offsets."""
        return self.count_in(self.places(topics))

    def count_in(self, places: Sequence[TopicPartition]) -> int:
        """Records that partitions have, by their end offsets: one request, so it may be asked often."""
        return sum(self.ends(places).values())

    def ends(self, places: Sequence[TopicPartition]) -> dict[int, int]:
        """End offsets by partition number; of several topics the sums."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        found: dict[int, int] = {}
        for place, future in self._admin.list_offsets(dict.fromkeys(places, latest)).items():
            found[place.partition] = found.get(place.partition, 0) + future.result(TIMEOUT_SECONDS).offset
        return found

    def places(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Every partition of topics."""
        known = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        return [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]

    def fill(self, topic: str, records: int, size: int, keys: int) -> None:
        """Make a topic and write ``records`` records of ``size`` bytes, on ``keys`` keys at random (a fixed seed)."""
        self.create(topic)
        generator = random.Random(7)
        value = generator.randbytes(size)
        write(self.bootstrap, topic, ((b"key-%08d" % generator.randrange(keys), value) for _ in range(records)))


def write(bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> None:
    """Write records to a topic; returns once all of them are acknowledged.

    Raises:
        BenchmarkError: some are not.
    """
    write_to_topics(bootstrap, ((topic, key, value) for key, value in records))


def write_to_topics(bootstrap: str, records: Iterable[tuple[str, bytes | None, bytes]]) -> None:
    """As :func:`write`, each record with its topic."""
    producer = clients.producer(bootstrap, log_level=0)  # as above
    for topic, key, value in records:
        while True:
            try:
                producer.produce(topic, key=key, value=value)
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(TIMEOUT_SECONDS):
        raise BenchmarkError(f"Kafka has not acknowledged {left:,} records within {TIMEOUT_SECONDS:g} s")
