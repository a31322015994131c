"""Reading assigned partitions as they grow, in a thread of its own: librdkafka fetches, nothing here joins a group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, watermarks
from schemas.record import KafkaRecord

log = structlog.get_logger(__name__)

Place = tuple[str, int]
"""A topic and a partition."""

POLL_SECONDS: Final = 0.1
"""What stopping may have to wait for."""
RESUME_SECONDS: Final = 0.01
"""What resuming may have to wait for."""
RECORDS_PER_BATCH: Final = 2000

REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001  # its public name
    }
)


@dataclass(slots=True)
class Batch:
    """What came at once, by place: committed records in the order of their offsets; where a place was read to its end,
    the offset behind it (behind transaction markers too, which are no records); and the end that the last fetch saw."""

    records: dict[Place, list[KafkaRecord]] = field(default_factory=dict)
    reached: dict[Place, int] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)


class PartitionReader:
    """Reads one set of partitions after another. ``paused`` may be set at any time to those of them that are not to be
    fetched: reading goes on behind what was delivered when they are no longer in it.

    The client takes one call at a time: another would wait for the end of the poll, and might wait for ever. So while
    the thread runs, it makes all calls.
    """

    def __init__(self, bootstrap: str, **config: Any) -> None:
        self._consumer = clients.reader(
            bootstrap,
            **{
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 10_000,
                "queued.max.messages.kbytes": 8 * 1024,
                **config,
            },
        )
        self.paused: frozenset[Place] = frozenset()
        self._paused: frozenset[Place] = frozenset()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(
        self,
        offsets: Mapping[Place, int | None],
        deliver: Callable[[Batch], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Read from these offsets on, from the beginning of the log where it is None, and nothing else any more.

        ``deliver`` is called in the reader's thread, which reads on when it returns; ``failed`` is called there with
        what ends the reading.
        """
        self.stop()
        self._consumer.assign([_at(place, offset) for place, offset in offsets.items()])
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._ended, deliver, failed), name="reader", daemon=True
        )
        self._thread.start()

    def halt(self) -> None:
        """Deliver nothing after what is being delivered; do not wait for it."""
        self._ended.set()

    def stop(self) -> None:
        """Halt, and wait until nothing is delivered any more: :data:`POLL_SECONDS` at most, if ``deliver`` returns."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.paused = frozenset()
            self._pause()  # the client would remember it for the next time
            self._consumer.unassign()

    def close(self) -> None:
        """Stop, and let go of the broker."""
        self.stop()
        self._consumer.close()

    def _run(
        self, ended: threading.Event, deliver: Callable[[Batch], None], failed: Callable[[Exception], None]
    ) -> None:
        try:
            while not ended.is_set():
                self._pause()
                # To consume many waits until there are so many: wait for one, then take what has come.
                first = self._consumer.poll(RESUME_SECONDS if self._paused else POLL_SECONDS)
                if first is None:
                    continue
                batch = self._sorted([first, *self._consumer.consume(RECORDS_PER_BATCH - 1, timeout=0)])
                if not ended.is_set():
                    deliver(batch)
        except Exception as error:
            failed(error)

    def _pause(self) -> None:
        wanted = self.paused
        if more := wanted - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in more])
        if fewer := self._paused - wanted:
            self._consumer.resume([TopicPartition(*place) for place in fewer])
        self._paused = wanted

    def _sorted(self, messages: list[Message]) -> Batch:
        batch = Batch()
        for message in messages:
            error = message.error()
            if error is None:
                record = as_record(message)
                place = record[:2]
                try:
                    batch.records[place].append(record)
                except KeyError:
                    batch.records[place] = [record]
            else:
                self._told(error, message, batch)
        for place in batch.records:
            _, batch.ends[place] = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return batch

    def _told(self, error: KafkaError, message: Message, batch: Batch) -> None:
        place = message.topic() or "", message.partition() or 0
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
            batch.reached[place] = batch.ends[place] = message.offset() or 0
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            low, _ = watermarks(self._consumer, TopicPartition(*place))
            log.error("the log does not reach back to the next record", topic=place[0], partition=place[1], first=low)
            self._consumer.incremental_unassign([TopicPartition(*place)])  # its fetches have ended; to seek is an error
            self._consumer.incremental_assign([_at(place, low)])
        elif error.fatal() or error.code() in REFUSED:
            raise KafkaException(error)
        else:  # librdkafka tries again
            log.warning("reading is disturbed", topic=place[0], partition=place[1], error=error.str())


def _at(place: Place, offset: int | None) -> TopicPartition:
    return TopicPartition(*place, OFFSET_BEGINNING if offset is None else offset)
