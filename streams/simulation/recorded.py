"""What really happened, from the topics: the outcomes of leads, and what buyers answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from confluent_kafka import TopicPartition

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, offsets_at, partitions_of, read_range, watermarks
from schemas import topics
from schemas.codec import UndecodableError, decode
from schemas.events import Delivery, Event
from schemas.headers import DeadLetter
from schemas.raw_lead import lead_id_of
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from schemas.topics import TopicSpec
from streams.simulation.answers import AnswerRecord
from streams.simulation.direct import Dead
from streams.simulation.tally import Tally

OUTCOMES: Final = (
    topics.REJECTED,
    topics.DUPLICATE,
    topics.ROUTED,
    topics.UNROUTED,
    topics.DELIVERIES,
    topics.DELIVERED,
    topics.UNDELIVERED,
)

Progress = Callable[[str, int], None]
"""Told the topic that is read, and how many of its records are done."""


def nothing(topic: str, done: int) -> None:
    """Tells nobody."""


def what_happened(bootstrap: str, leads: Iterable[KafkaRecord], start: datetime, progress: Progress = nothing) -> Tally:
    """What became of leads, from ``start`` until now. One that has no outcome yet is on its way.

    Raises:
        KafkaException: the broker does not answer.
    """
    tally = Tally()
    for lead in leads:
        tally.arrived(lead_id_of(lead))
    for spec in OUTCOMES:
        for event in events_since(bootstrap, spec, start, progress):
            tally.observe(event)
    for record in _records_since(bootstrap, topics.DEAD_LETTERS, start, progress):
        if (dead := _dead(record)) is not None:
            tally.observe(dead)
    return tally


def answers_since(bootstrap: str, start: datetime | None, progress: Progress = nothing) -> AnswerRecord:
    """What buyers answered since a moment, or in all that the topic still has.

    Raises:
        KafkaException: the broker does not answer.
    """
    record = AnswerRecord()
    record.add(e for e in events_since(bootstrap, topics.DELIVERIES, start, progress) if isinstance(e, Delivery))
    return record


def events_since(
    bootstrap: str, spec: TopicSpec, start: datetime | None, progress: Progress = nothing
) -> Iterator[Event]:
    """The events of a topic that were written since a moment, partition by partition. Records that this version cannot
    read are passed over."""
    for record in _records_since(bootstrap, spec, start, progress):
        try:
            event = decode(spec.name, record.value)
        except UndecodableError:
            continue
        if isinstance(event, Event):
            yield event


def _records_since(
    bootstrap: str, spec: TopicSpec, start: datetime | None, progress: Progress
) -> Iterator[KafkaRecord]:
    consumer = clients.reader(bootstrap)
    try:
        partitions = partitions_of(consumer, spec.name)
        firsts = {
            partition: watermarks(consumer, TopicPartition(spec.name, partition))[0]
            if start is None
            else offsets_at(consumer, spec.name, partition, start)
            for partition in partitions
        }
    finally:
        consumer.close()
    done = 0
    for partition, first in firsts.items():
        for batch in read_range(bootstrap, spec.name, partition, first):
            for message in batch:
                yield as_record(message)
            done += len(batch)
            progress(spec.name, done)


def _dead(record: KafkaRecord) -> Dead | None:
    try:
        letter = DeadLetter.from_headers(record.headers)
        return Dead(letter.lead_id, letter.run, letter.stage, Reason(letter.reason), letter.detail)
    except ValueError:  # of another writer, or a later version
        return None
