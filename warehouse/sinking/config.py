"""Where a sink reads from and writes to, and how much it takes at once."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer

from schemas.topics import SINK_GROUP


@dataclass(frozen=True)
class SinkConfig:
    """Where from and where to.

    A batch is planned ``batch_seconds`` after the last one, or when ``batch_rows`` or ``batch_bytes`` wait; a partition
    waits while a batch of it is being inserted, and all do while ``inserts`` are. A partition in which that much waits
    is paused, and all are when ``held_bytes`` are held, what is being inserted included. A token older than
    ``safe_seconds`` is not trusted. Kafka takes the partitions of a sink that is not heard of for
    ``session_timeout_seconds``, or whose own thread stands still for ``max_poll_seconds``; an insert is another
    thread's. One whose thread stood still for a session begins again. With ``accept_gaps`` it goes on where records are
    gone from the log unread.
    """

    bootstrap: str
    database: str
    group: str = SINK_GROUP
    batch_rows: int = 50_000
    batch_bytes: int = 32 * 1024 * 1024
    batch_seconds: float = 0.3
    held_bytes: int = 256 * 1024 * 1024
    session_timeout_seconds: float = 6.0
    max_poll_seconds: float = 300.0
    safe_seconds: float = 60.0
    inserts: int = 2
    accept_gaps: bool = False


def consumer_of(config: SinkConfig) -> Consumer:
    """A member of the sink's group, not subscribed yet."""
    return Consumer(
        {
            "bootstrap.servers": config.bootstrap,
            "group.id": config.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            # Neighbours of all topics to one member: fewer batches are torn apart than by dealing single ones.
            "partition.assignment.strategy": "range",
            "session.timeout.ms": int(config.session_timeout_seconds * 1000),
            "max.poll.interval.ms": int(config.max_poll_seconds * 1000),
            "heartbeat.interval.ms": int(config.session_timeout_seconds * 250),
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
            "topic.metadata.refresh.interval.ms": 10_000,
            "enable.partition.eof": True,
        }
    )
