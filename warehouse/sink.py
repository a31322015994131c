"""The sink: every topic about leads into ``lead_events``.

At least once: offsets are committed after ClickHouse has acknowledged the rows, and a repeated row collapses, because
the table's key is the event's identity. Batches are bounded by rows and by age, so that an event is soon to be seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka.log_reader import as_record
from schemas.record import KafkaRecord
from schemas.topics import LEADS, SINK_GROUP
from warehouse.rows import COLUMNS, SUNK_TOPICS, row_of

log = structlog.get_logger(__name__)

INSERT_SETTINGS: Final = {"async_insert": 0, "max_partitions_per_insert_block": 0}
"""No limit of partitions (months): a producer may write any timestamp, and a batch once refused would stay refused."""

GIVE_UP_SECONDS: Final = 240.0
"""Less than max.poll.interval.ms: a sink that cannot insert for this long ends, and its partitions go to another."""


class SinkStoppedError(Exception):
    """ClickHouse did not take a batch; nothing of it is committed."""


@dataclass(frozen=True)
class SinkConfig:
    """Where from and where to. A batch is inserted at ``batch_rows`` rows or ``batch_seconds`` after its first."""

    bootstrap: str
    database: str
    group: str = SINK_GROUP
    batch_rows: int = 5_000
    batch_seconds: float = 0.25
    session_timeout_seconds: float = 6.0


class Sink:
    """One member of the sink's consumer group."""

    def __init__(self, config: SinkConfig, client: Client, on_ready: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._table = f"{config.database}.lead_events"
        self._client = client
        self._on_ready = on_ready
        self._batch: list[Message] = []
        # Where partitions end, over transaction markers that hold no record: committed too, not to count as lag.
        self._ends: dict[tuple[str, int], int] = {}
        self._stopping = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": config.bootstrap,
                "group.id": config.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": int(config.session_timeout_seconds * 1000),
                "heartbeat.interval.ms": int(config.session_timeout_seconds * 250),
                "fetch.wait.max.ms": 50,
                "topic.metadata.refresh.interval.ms": 10_000,
                "enable.partition.eof": True,
            }
        )

    def stop(self) -> None:
        """Ask :meth:`run` to insert what it has and return."""
        self._stopping = True

    def run(self) -> None:
        """Consume until :meth:`stop`.

        Raises:
            SinkStoppedError: ClickHouse refused a batch, or did not answer for too long.
            KafkaException: a fatal error of the consumer.
        """
        self._prepare_inserts()
        self._consumer.subscribe(list(SUNK_TOPICS), on_assign=self._assigned, on_revoke=self._revoked)
        try:
            while not self._stopping:
                self._fill()
                self._flush()
        finally:
            self._consumer.close()

    def _prepare_inserts(self) -> None:
        # The driver loads pandas at the first row it converts, which takes seconds: now, not with the first leads.
        try:
            context = self._client.create_insert_context(self._table, list(COLUMNS))
        except Error as error:
            raise SinkStoppedError(f"no table {self._table}: run `leadline up` first; {str(error)[:300]}") from error
        context.data = [row_of(KafkaRecord(LEADS.name, 0, 0, 0, None, None))]

    def _assigned(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.info("sink assigned", partitions=len(partitions))
        self._on_ready()

    def _revoked(self, _consumer: Consumer, _partitions: Sequence[TopicPartition]) -> None:
        # What is not inserted is not committed either: the next owner reads it again.
        self._batch.clear()
        self._ends.clear()

    def _fill(self) -> None:
        deadline = None
        while not self._stopping and len(self._batch) < self._config.batch_rows:
            left = self._config.batch_seconds if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return
            messages = self._consumer.consume(self._config.batch_rows - len(self._batch), timeout=min(left, 0.05))
            if not messages and not self._batch and self._ends:
                return  # an end that was reached after the last batch is committed without waiting for the next
            for message in messages:
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
                        self._ends[message.topic() or "", message.partition() or 0] = message.offset() or 0
                    elif error.fatal():
                        raise KafkaException(error)
                    else:
                        log.warning("consume", error=str(error))
                else:
                    self._batch.append(message)
            if self._batch and deadline is None:
                deadline = time.monotonic() + self._config.batch_seconds

    def _flush(self) -> None:
        if not self._batch and not self._ends:
            return
        if self._batch:
            self._insert([row_of(as_record(message)) for message in self._batch])
        ends, self._ends = self._ends, {}
        for message in self._batch:
            place = message.topic() or "", message.partition() or 0
            ends[place] = max(ends.get(place, 0), (message.offset() or 0) + 1)
        self._batch.clear()
        try:
            self._consumer.commit(offsets=[TopicPartition(t, p, o) for (t, p), o in ends.items()], asynchronous=False)
        except KafkaException as error:  # a rebalance came between: the rows come again, and collapse
            log.warning("commit", error=str(error))

    def _insert(self, rows: Sequence[Sequence[Any]]) -> None:
        give_up = time.monotonic() + GIVE_UP_SECONDS
        pause = 0.1
        while True:
            try:
                self._client.insert(
                    self._table,
                    rows,
                    column_names=list(COLUMNS),
                    settings=INSERT_SETTINGS,
                )
                return
            except Error as error:
                code = getattr(error, "code", None)
                if time.monotonic() + pause > give_up or self._stopping:
                    raise SinkStoppedError(f"ClickHouse did not take {len(rows)} rows: {str(error)[:300]}") from error
                log.warning("insert, trying again", rows=len(rows), code=code, error=str(error)[:200])
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
