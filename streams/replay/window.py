"""Replay: a window of a topic goes through its stage again, under a run number.

The records are written again to the topic they stand in, at its end, to the partition they stand in, with headers that
carry the lead's id, its arrival and the run. Dedup lets the owner of a fingerprint pass, and routing decides anew only
about a lead that nobody has, so a sold lead is never sold again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, offsets_at, partitions_of, read_range
from connectors.kafka.producer import AckedProducer
from schemas import headers, topics
from schemas.headers import Headers
from schemas.raw_lead import lead_id_of
from schemas.record import KafkaRecord
from streams.replay.erased import Erased

REPLAYABLE: Final = (topics.LEADS.name, topics.VALIDATED.name, topics.UNIQUE.name)
"""Offers are not: an offer tells one candidate of a slip, and only routing knows whether another has the lead."""

FLUSH_EVERY: Final = 10_000
NOBODY: Final = Erased()


class ReplayError(Exception):
    """This cannot be replayed; the message says what can."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """``first <= offset < end`` of one partition."""

    partition: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """What stood in the window when it was looked at; what a replay writes comes after it."""

    topic: str
    ranges: tuple[OffsetRange, ...]

    @property
    def records(self) -> int:
        """An upper bound of what is written: earlier replays and erased people are passed over."""
        return sum(r.end - r.first for r in self.ranges)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a window's records: ``written`` again, of earlier replays and so ``passed_over``, or about someone
    who is ``erased``."""

    written: int = 0
    passed_over: int = 0
    erased: int = 0


def find_window(bootstrap: str, topic: str, start: datetime, end: datetime) -> Window:
    """The offsets of ``start <= timestamp < end``, at most up to the topic's end now.

    Raises:
        ReplayError: the topic is no stage's live input.
        KafkaException: the broker does not answer.
    """
    if topic not in REPLAYABLE:
        raise ReplayError(f"{topic} cannot be replayed; choose {', '.join(REPLAYABLE)}")
    consumer = clients.reader(bootstrap)
    try:
        ranges = []
        for partition in partitions_of(consumer, topic):
            first = offsets_at(consumer, topic, partition, start)
            ranges.append(OffsetRange(partition, first, max(first, offsets_at(consumer, topic, partition, end))))
        return Window(topic, tuple(ranges))
    finally:
        consumer.close()


def again(record: KafkaRecord, run: int) -> Headers:
    """The headers under which a record goes through again."""
    received_at = headers.received_at_of(record.headers, record.timestamp)
    ours = {
        headers.LEAD_ID: str(lead_id_of(record)),
        headers.RECEIVED_AT: str(round(received_at.timestamp() * 1000)),
        headers.RUN: str(run),
    }
    kept = tuple((name, value) for name, value in record.headers if name not in ours)
    return kept + tuple((name, value.encode()) for name, value in ours.items())


def replay(
    bootstrap: str,
    window: Window,
    run: int,
    *,
    erased: Erased = NOBODY,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Write the window again, but for what earlier replays wrote and for whoever is ``erased``.

    Raises:
        DeliveryFailedError: a record was not acknowledged. Those before it may be through; the run can be repeated.
    """
    producer = AckedProducer(bootstrap)
    written = passed_over = forgotten = 0
    for place in window.ranges:
        for record in _records(bootstrap, window.topic, place):
            if headers.run_of(record.headers):
                passed_over += 1
            elif erased.has(record):
                forgotten += 1
            else:
                producer.produce(record.topic, record.key, record.value, again(record, run), record.partition)
                written += 1
                if written % FLUSH_EVERY == 0:
                    producer.flush()
            on_progress(written + passed_over + forgotten)
    producer.flush()
    return Replayed(written, passed_over, forgotten)


def _records(bootstrap: str, topic: str, place: OffsetRange) -> Iterator[KafkaRecord]:
    for batch in read_range(bootstrap, topic, place.partition, place.first, place.end):
        for message in batch:
            yield as_record(message)
