"""Reading a stretch of a topic, from one offset to another, outside any consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import clients
from schemas.record import KafkaRecord

TIMEOUT_SECONDS = 30.0
BATCH_RECORDS: Final = 10_000
RANGES_KBYTES: Final = 16 * 1024
"""What may be read ahead of several ranges."""
BATCH_SECONDS: Final = 0.05
"""What a batch may wait for more: the last one of a range, or a short range, does so for nothing."""
# Where a name is no UTF-8 the client returns headers and raises, both. A call from C sees that and says SystemError;
# the interpreter's own calls, once warm, do not look, and the error comes up wherever the next one is looked for.
# What it returned is broken: it is asked once a message.
_headers: Final = methodcaller("headers")


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The partitions of a topic; none when it does not exist."""
    metadata = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics.get(topic)
    return [] if metadata is None or metadata.error is not None else sorted(metadata.partitions)


def offsets_at(consumer: Consumer, topic: str, partition: int, moment: datetime) -> int:
    """The first offset whose record is not older than a moment; the end offset when there is none."""
    asked = TopicPartition(topic, partition, round(moment.timestamp() * 1000))
    (found,) = consumer.offsets_for_times([asked], timeout=TIMEOUT_SECONDS)
    if found.offset >= 0:
        return int(found.offset)
    return watermarks(consumer, asked)[1]


def watermarks(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """A partition's first offset and its end offset.

    Raises:
        KafkaException: the broker does not answer.
    """
    found = consumer.get_watermark_offsets(place, timeout=TIMEOUT_SECONDS)
    if not found:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001  # its public name
    return int(found[0]), int(found[1])


def log_bounds(bootstrap: str, topic: str, partition: int) -> tuple[int, int]:
    """A partition's first offset and its end offset, for who has no consumer.

    Raises:
        KafkaException: the broker does not answer.
    """
    consumer = clients.reader(bootstrap)
    try:
        return watermarks(consumer, TopicPartition(topic, partition))
    finally:
        consumer.close()


def read_range(
    bootstrap: str,
    topic: str,
    partition: int,
    first: int | None = None,
    end: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[list[Message]]:
    """Batches of the committed records with ``first <= offset < end``; by default all that is there now.

    ``progress`` is told offsets, those done and those in all, after each batch.

    Raises:
        KafkaException: the broker does not answer, or the range is no longer in the log.
    """
    consumer = clients.reader(bootstrap)
    try:
        asked = TopicPartition(topic, partition)
        low, high = watermarks(consumer, asked)
        if first is not None and first < low:
            raise KafkaException(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))
        begun = position = low if first is None else first
        stop = high if end is None else min(end, high)
        if position >= stop:
            return
        consumer.assign([TopicPartition(topic, partition, position)])
        while position < stop:
            batch = []
            for message in consumer.consume(BATCH_RECORDS, timeout=BATCH_SECONDS):
                error = message.error()
                if error is None:
                    offset = message.offset() or 0
                    position = offset + 1
                    if offset < stop:
                        batch.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
                    position = stop
                else:
                    raise KafkaException(error)
            if batch:
                yield batch
            progress(position - begun, stop - begun)
    finally:
        consumer.close()


def read_ranges(bootstrap: str, ranges: Sequence[tuple[str, int, int, int]]) -> Iterator[list[Message]]:
    """Batches, empty ones too, of the committed records of several partitions at once: topic, partition, first and end
    of each. All that they hold, or an error.

    Raises:
        KafkaException: the broker does not answer, or a range is not in the log: no longer (``_AUTO_OFFSET_RESET``), or
            not all of it now (``_PARTITION_EOF``).
    """
    stops = {(topic, partition): end for topic, partition, first, end in ranges if first < end}
    consumer = clients.reader(bootstrap, **{"queued.max.messages.kbytes": RANGES_KBYTES})
    try:
        consumer.assign(
            [TopicPartition(topic, partition, first) for topic, partition, first, end in ranges if first < end]
        )
        heard = time.monotonic()
        while stops:
            batch = []
            messages = consumer.consume(BATCH_RECORDS, timeout=BATCH_SECONDS)
            for message in messages:
                at, position, error = (
                    (message.topic() or "", message.partition() or 0),
                    message.offset() or 0,
                    message.error(),
                )
                stop = stops.get(at, 0)
                if error is None:
                    if position < stop:
                        batch.append(message)
                    position += 1
                elif error.code() != KafkaError._PARTITION_EOF or position < stop:  # noqa: SLF001  # its public name
                    raise KafkaException(error)
                if at in stops and position >= stop:
                    del stops[at]
                    consumer.pause([TopicPartition(*at)])
            heard = time.monotonic() if messages else heard
            if time.monotonic() - heard > TIMEOUT_SECONDS:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
            yield batch
    finally:
        consumer.close()


def as_record(message: Message) -> KafkaRecord:
    """A librdkafka message, which is no error, as a plain record."""
    read: Any = message  # its stubs allow None, for errors
    try:
        headers = _headers(read)
    except SystemError:  # a producer may write any bytes; none of those is ours
        headers = ()
    return KafkaRecord(
        read.topic(),
        read.partition(),
        read.offset(),
        read.timestamp()[1],
        read.key(),
        read.value(),
        tuple([pair for pair in headers if pair[1] is not None]) if headers else (),
    )
