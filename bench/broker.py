"""The benchmarks' Kafka: topics to fill, to watch and to throw away."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from connectors.kafka import clients
from connectors.kafka.producer import AckedProducer

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Broker:
    """A Kafka whose topics all have ``partitions`` partitions."""

    bootstrap: str
    partitions: int

    @cached_property
    def _admin(self) -> AdminClient:
        return clients.admin(self.bootstrap)

    def create(self, *topics: str) -> None:
        """Make topics."""
        new = [NewTopic(topic, num_partitions=self.partitions, replication_factor=1) for topic in topics]
        for future in self._admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS).values():
            future.result()

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
        ends = self._admin.list_offsets(  # type: ignore[no-untyped-call]
            {place: OffsetSpec.latest() for place in places}
        )
        return sum(future.result(TIMEOUT_SECONDS).offset for future in ends.values())

    def places(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Every partition of topics."""
        known = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        return [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]

    def fill(self, topic: str, records: int, size: int, keys: int) -> None:
        """Make a topic and write ``records`` records of ``size`` bytes, on ``keys`` keys at random (a fixed seed)."""
        self.create(topic)
        generator = random.Random(7)
        producer = AckedProducer(self.bootstrap)
        value = generator.randbytes(size)
        for _ in range(records):
            producer.produce(topic, b"key-%08d" % generator.randrange(keys), value)
        producer.flush_now()
