"""How Leadline talks to Kafka: one place for the settings that every librdkafka client needs."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from schemas.topics import DEAD_LETTER_BYTES

PARTITIONER: Final = "murmur2_random"
"""Kafka's own. librdkafka's default is another, and keys would land on other partitions than a Java producer's."""


def admin(bootstrap: str) -> AdminClient:
    """A client for topics and offsets."""
    return AdminClient({"bootstrap.servers": bootstrap})


def producer(bootstrap: str, **config: Any) -> Producer:
    """An idempotent producer that waits for all in-sync replicas."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "linger.ms": 5,
            "message.max.bytes": DEAD_LETTER_BYTES,
            "queue.buffering.max.messages": 1_000_000,
            **config,
        }
    )


def reader(bootstrap: str, **config: Any) -> Consumer:
    """A consumer without a group's duties: it is assigned partitions by hand and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "leadline-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            # When its queue is full librdkafka would wait a whole second before it fetches again.
            "fetch.queue.backoff.ms": 10,
            **config,
        }
    )
