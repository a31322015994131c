"""The sink: every topic about leads into the tables, each record once.

A batch is planned in Kafka's commit, inserted under the plan's token, and settled by the next commit
(``warehouse/sinking``). Kafka refuses the plan of a member that lost its partitions, and ClickHouse drops a batch that
it has; so a sink may be killed or frozen anywhere, and its successor makes the same batch again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Final
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record
from warehouse.sinking.abandoned import AbandonedError
from warehouse.sinking.config import SinkConfig, consumer_of
from warehouse.sinking.failures import Failure, failure_of
from warehouse.sinking.gaps import Gap, note_gaps
from warehouse.sinking.inserting import SinkStoppedError, Writer
from warehouse.sinking.intake import Batch, Intake
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.others import records_of
from warehouse.sinking.plans import Partition, PlanError, batch_of
from warehouse.sinking.resuming import resume
from warehouse.sinking.tables import SUNK_TOPICS, TABLES

__all__ = ["Sink", "SinkConfig", "SinkStoppedError"]

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.02
READ_RECORDS: Final = 5_000
"""How many are taken from the client at once: more would keep all else waiting, a plan included."""
RETRY_SECONDS: Final = 0.2
ANSWER_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 1.0
STOP_SECONDS: Final = 10.0
"""How long a sink that is asked to stop waits for the inserts under way."""


class Sink:
    """One member of the sink's consumer group. ``on_step`` hears of every step of a batch, for who tests crashes."""

    def __init__(
        self,
        config: SinkConfig,
        client: Client,
        on_ready: Callable[[], None] = lambda: None,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.metrics = SinkMetrics()
        self._config, self._client = config, client
        self._on_ready, self._on_step = on_ready, on_step
        self._assigned: list[TopicPartition] = []
        self._begin_at: float | None = None
        """When what is assigned is to be read (again) from what is committed; None when it is being read."""
        self._intake = Intake({})
        self._topic_ids: Mapping[str, str] = {}
        self._running: dict[Future[None], Batch] = {}
        self._paused: set[Partition] = set()
        self._committed_at = self._asked_at = float("-inf")
        self._gaps: set[Gap] = set()
        self._reported_at = float("-inf")
        self._failure: Exception | None = None
        self._stopping = False
        self._threads = ThreadPoolExecutor(config.inserts, "insert")
        self._admin = clients.admin(config.bootstrap)
        self._consumer = consumer_of(config)

    def stop(self) -> None:
        """Ask :meth:`run` to finish the inserts under way and return."""
        self._stopping = True

    def run(self) -> None:
        """Consume until :meth:`stop`.

        Raises:
            SinkStoppedError: ClickHouse refused a batch, or records are gone from the log; the message says what to do.
            KafkaException: a fatal error of the consumer.
        """
        try:
            self._cluster = str(self._admin.list_topics(timeout=30).cluster_id)
            self._writer = Writer(
                self._client,
                self._config.database,
                TABLES,
                sink=self._config.group,
                cluster=self._cluster,
                safe_seconds=self._config.safe_seconds,
                metrics=self.metrics,
                on_step=self._on_step,
                others=partial(records_of, self._config.bootstrap),
            )
            self._writer.prepare()
            self._consumer.subscribe(
                list(SUNK_TOPICS), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stopping:
                self._step()
            self._finish(STOP_SECONDS)
        finally:
            self._drop()
            self._consumer.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _step(self) -> None:
        config = self._config
        messages = self._consumer.consume(min(config.batch_rows, READ_RECORDS), timeout=POLL_SECONDS)
        if self._intake.abandoned.is_set():
            log.warning("stood still for longer than a session, beginning again")
            self._begin_later()
        self._intake.abandoned.renew()
        # Only now: a rebalance within that read has made another one.
        add = self._intake.add
        for message in messages:
            if message.error() is None:
                add(as_record(message))
            else:
                self._heed(message)
        if self._failure is not None:
            raise self._failure
        if self._begin_at is not None and time.monotonic() >= self._begin_at and not self._running:
            self._begin()
        self._harvest()
        self._await()
        for batch in self._intake.recovered():
            self._insert(batch)
        now = time.monotonic()
        rows, size = config.batch_rows, config.batch_bytes
        if len(self._intake.in_flight) < config.inserts and self._intake.due(
            now, rows=rows, size=size, seconds=config.batch_seconds
        ):
            self._plan(now)
        # The next plan settles too, so only where none is to come.
        if not self._intake.waits and now - self._committed_at >= config.batch_seconds:
            self._settle()
        self._balance()
        self._report(now)

    def _heed(self, message: Message) -> None:
        """A message that is no record."""
        error = message.error()
        assert error is not None  # noqa: S101  # only such come here
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
            self._intake.reached_end(message.topic() or "", message.partition() or 0, message.offset() or 0)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            log.warning("the log has no such offset", error=str(error))
            self._begin_later()
        elif error.fatal():
            raise KafkaException(error)
        else:
            # After _MAX_POLL_EXCEEDED the client has said by itself that the partitions are lost, perhaps has new ones.
            log.warning("consume", error=str(error))

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._drop()
        self._assigned = list(partitions)
        # What this very read still holds is of the assignment before, so nothing is read before it is done with.
        consumer.assign([])
        self._begin_at = time.monotonic()

    def _on_revoke(self, _consumer: Consumer, _partitions: Sequence[TopicPartition]) -> None:
        self._finish(self._config.session_timeout_seconds / 3)
        self._drop()
        self._assigned = []

    def _on_lost(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.warning("partitions lost", partitions=len(partitions))
        self._drop()
        self._assigned = []

    def _drop(self) -> None:
        """Forget what is in hand: whoever has the partitions reads it again, and makes planned batches again."""
        self._intake.abandoned.set()
        self._intake = Intake({})
        self._begin_at = None

    def _begin_later(self) -> None:
        self._drop()
        self._begin_at = time.monotonic() + RETRY_SECONDS

    def _begin(self) -> None:
        """Outside of callbacks: read what is assigned from what is committed, and learn which batches are pending."""
        group, held_seconds = self._config.group, self._config.session_timeout_seconds
        try:
            found = resume(self._consumer, self._admin, group, self._assigned, self._writer.highest, held_seconds)
            self._writer.learn(found.topic_ids)
            self._accept(found.gaps)
            for batch in found.cut:
                self._writer.doubt(batch)
        except PlanError as error:
            raise SinkStoppedError(str(error)) from error
        except (KafkaException, Error) as error:
            if isinstance(error, Error) and failure_of(error) is not Failure.TRANSIENT:
                raise SinkStoppedError(
                    f"where to begin is not known; if a table is missing, `leadline up` makes it: {str(error)[:300]}"
                ) from error
            log.warning("where to begin is not known, trying again", error=str(error)[:200])
            self._consumer.assign([])
            self._begin_later()
            return
        self._intake, self._topic_ids = found.intake, found.topic_ids
        self._begin_at = None
        starts = _commits(found.intake.positions)
        self._consumer.assign(starts)
        log.info("sink assigned", partitions=len(starts), pending=found.intake.recovering)
        self._on_ready()

    def _accept(self, gaps: Sequence[Gap]) -> None:
        """Note what is gone from the logs, and stop where that is not to be gone on without."""
        fresh = [gap for gap in gaps if gap not in self._gaps]
        accepted = self._config.accept_gaps
        sink, database = self._config.group, self._config.database
        note_gaps(self._client, database, fresh, sink=sink, cluster=self._cluster, accepted=accepted)
        self._gaps.update(fresh)
        for gap in fresh:
            log.warning("gap", gap=str(gap), lost=gap.lost)
        lost = [gap for gap in fresh if gap.lost]
        if lost and not accepted:
            raise SinkStoppedError(
                f"{'; '.join(map(str, lost))}. "
                "Restore them, or go on without them: LEADLINE_SINK_ACCEPT_GAPS=true leadline sink"
            )
        for gap in lost:
            self.metrics.gap(gap.last - gap.first + 1)

    def _await(self) -> None:
        """Ask whether the members that make torn batches have settled them."""
        awaited = self._intake.awaited
        if not awaited or time.monotonic() - self._asked_at < RETRY_SECONDS:
            return
        self._asked_at = time.monotonic()
        asked = [TopicPartition(topic, partition) for topic, partition in set(awaited.values())]
        try:
            found = self._consumer.committed(asked, timeout=ANSWER_SECONDS)
        except KafkaException as error:
            log.warning("whether others have settled is not known, trying again", error=str(error)[:200])
            return
        planned = {(place.topic, place.partition): batch_of(place.metadata) for place in found if place.error is None}
        for batch, first in list(awaited.items()):
            if first in planned and planned[first] != batch:
                self._intake.go_on(batch)

    def _plan(self, now: float) -> None:
        """Plan a batch and settle what else is done, in one commit; then insert it."""
        intake, config = self._intake, self._config
        at_ms = time.time_ns() // 1_000_000
        plan = intake.plan(uuid4().hex[:16], at_ms, self._topic_ids, rows=config.batch_rows, size=config.batch_bytes)
        planned = {(part.topic, part.partition) for part in plan.parts}
        settled = {at: offset for at, offset in intake.unsettled().items() if at not in planned}
        parts = [TopicPartition(part.topic, part.partition, part.first, plan.metadata(part)) for part in plan.parts]
        if not self._commit([*parts, *_commits(settled)]):
            return
        self._on_step("planned")
        intake.settled(settled)
        self._insert(intake.begin(plan, now))

    def _settle(self) -> None:
        """Commit what is done, so that nothing counts as lag."""
        settled = self._intake.unsettled()
        if self._commit(_commits(settled)):
            self._intake.settled(settled)

    def _commit(self, offsets: list[TopicPartition]) -> bool:
        if not offsets:
            return True
        self._committed_at = time.monotonic()
        try:
            for place in self._consumer.commit(offsets=offsets, asynchronous=False) or ():
                if place.error is not None:
                    raise KafkaException(place.error)
        except KafkaException as error:
            # Whether Kafka has it nobody knows: what it has is read again.
            log.warning("commit refused", error=str(error))
            self.metrics.commit_refused()
            self._begin_later()
            return False
        return True

    def _insert(self, batch: Batch) -> None:
        self._running[self._threads.submit(self._writer.write, batch)] = batch

    def _harvest(self) -> None:
        for future in [future for future in self._running if future.done()]:
            batch = self._running.pop(future)
            try:
                future.result()
            except AbandonedError:
                if batch in self._intake.in_flight:  # this thread was silent, and does not know it yet
                    self._begin_later()
                continue
            if self._intake.finish(batch):
                age = 0.0 if batch.oldest is None else time.time() - batch.oldest / 1000
                self.metrics.inserted(len(batch.records), age, recovered=not batch.fresh)

    def _finish(self, seconds: float) -> None:
        """Wait for the inserts under way, and settle them."""
        wait(self._running, seconds)
        try:
            self._harvest()
        except SinkStoppedError as error:
            self._failure = error
        self._settle()

    def _balance(self) -> None:
        """Pause the partitions in which too much waits, those a pending batch needs left out. What was paused before a
        new beginning is resumed here too: nothing waits in it."""
        config = self._config
        crowded = self._intake.held >= config.held_bytes
        # More than a batch of one is of no use, since a partition is in one at a time.
        full = self._intake.full(rows=0 if crowded else config.batch_rows, size=0 if crowded else config.batch_bytes)
        if full == self._paused:
            return
        for places, act in ((full - self._paused, self._consumer.pause), (self._paused - full, self._consumer.resume)):
            if places:
                act([TopicPartition(topic, partition) for topic, partition in places])
        self._paused = full

    def _report(self, now: float) -> None:
        intake = self._intake
        self.metrics.holding(intake.rows, intake.held, paused=len(self._paused))
        if now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        behind: Counter[str] = Counter()
        for (topic, partition), done in intake.done().items():
            # What the last answer to a fetch said: nobody is asked.
            _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            behind[topic] += max(end - done, 0)
        self.metrics.behind(behind, 0.0 if intake.oldest is None else time.time() - intake.oldest / 1000)


def _commits(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
