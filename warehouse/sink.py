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
from typing import Final
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record
from warehouse.sinking.config import SinkConfig, consumer_of
from warehouse.sinking.failures import Failure, failure_of
from warehouse.sinking.gaps import Gap, note_gaps
from warehouse.sinking.inserting import AbandonedError, SinkStoppedError, Writer
from warehouse.sinking.lane import Batch, Lane
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.plans import Plan, PlanError, replanned
from warehouse.sinking.resuming import resume
from warehouse.sinking.targets import SUNK_TOPICS, TARGETS

__all__ = ["Sink", "SinkConfig", "SinkStoppedError"]

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 0.2
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
        self._lanes: dict[int, Lane] = {}
        self._topic_ids: Mapping[str, str] = {}
        self._running: dict[Future[None], Batch] = {}
        self._paused: set[tuple[str, int]] = set()
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
                TARGETS,
                sink=self._config.group,
                cluster=self._cluster,
                safe_seconds=self._config.safe_seconds,
                metrics=self.metrics,
                on_step=self._on_step,
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
        for message in self._consumer.consume(self._config.batch_rows, timeout=POLL_SECONDS):
            self._take(message)
        if self._failure is not None:
            raise self._failure
        if self._begin_at is not None and time.monotonic() >= self._begin_at and not self._running:
            self._begin()
        self._harvest()
        for lane in list(self._lanes.values()):
            batch = lane.recovered()
            if batch is not None and (batch.pending.whole or self._replan(batch)):
                self._insert(batch)
        now = time.monotonic()
        due = [lane for lane in self._lanes.values() if self._is_due(lane, now)]
        if due:
            self._plan(due)
        idle = [lane for lane in self._lanes.values() if not lane.rows and now - lane.flushed_at > POLL_SECONDS]
        if any(lane.in_flight is None and lane.unsettled() for lane in idle):
            self._settle(idle)
        self._balance()
        self._report(now)

    def _is_due(self, lane: Lane, now: float) -> bool:
        config = self._config
        return lane.due(now, rows=config.batch_rows, size=config.batch_bytes, seconds=config.batch_seconds)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            record = as_record(message)
            if (lane := self._lanes.get(record.partition)) is not None:
                lane.add(record)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
            if (lane := self._lanes.get(message.partition() or 0)) is not None:
                lane.reached_end(message.topic() or "", message.offset() or 0)
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
        for batch in self._running.values():
            batch.abandoned.set()
        self._lanes.clear()
        self._begin_at = None

    def _begin_later(self) -> None:
        self._drop()
        self._begin_at = time.monotonic() + RETRY_SECONDS

    def _begin(self) -> None:
        """Outside of callbacks: read what is assigned from what is committed, and learn which batches are pending."""
        try:
            found = resume(self._consumer, self._admin, self._assigned, self._writer.highest)
            self._accept(found.gaps)
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
        self._lanes, self._topic_ids = dict(found.lanes), found.topic_ids
        self._begin_at = None
        starts = [
            TopicPartition(topic, lane.number, position)
            for lane in self._lanes.values()
            for topic, position in lane.positions.items()
        ]
        self._consumer.assign(starts)
        pending = sum(lane.recovering for lane in self._lanes.values())
        log.info("sink assigned", partitions=len(starts), lanes=len(self._lanes), pending=pending)
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

    def _replan(self, batch: Batch) -> bool:
        plan = replanned(batch.pending, _name())
        return self._commit([TopicPartition(p.topic, p.partition, p.first, plan.metadata(p)) for p in plan.parts])

    def _plan(self, lanes: Sequence[Lane]) -> None:
        """Plan a batch of each lane, all in one commit; then insert them."""
        plans = [(lane, lane.plan(_name(), time.time_ns() // 1_000_000, self._topic_ids)) for lane in lanes]
        offsets = [
            TopicPartition(part.topic, part.partition, part.first, plan.metadata(part))
            for _, plan in plans
            for part in plan.parts
        ]
        settled = {lane.number: _beside(lane.unsettled(), plan) for lane, plan in plans}
        if not self._commit([*offsets, *_commits(settled)]):
            return
        self._on_step("planned")
        for lane, plan in plans:
            lane.settled(settled[lane.number])
            self._insert(lane.begin(plan))

    def _settle(self, lanes: Sequence[Lane]) -> None:
        """Commit what is done, so that nothing counts as lag."""
        settled = {lane.number: lane.unsettled() for lane in lanes}
        if self._commit(_commits(settled)):
            for lane in lanes:
                lane.settled(settled[lane.number])

    def _commit(self, offsets: list[TopicPartition]) -> bool:
        if not offsets:
            return True
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
                continue
            if self._lanes.get(batch.lane.number) is batch.lane:
                batch.lane.finish(time.monotonic())
                oldest = min((record.timestamp for record in batch.records), default=0)
                self.metrics.inserted(len(batch.records), time.time() - oldest / 1000, recovered=not batch.fresh)

    def _finish(self, seconds: float) -> None:
        """Wait for the inserts under way, and settle them."""
        wait(self._running, seconds)
        try:
            self._harvest()
        except SinkStoppedError as error:
            self._failure = error
        self._settle(list(self._lanes.values()))

    def _balance(self) -> None:
        """Pause the partitions of lanes in which too much waits, those a pending batch needs left out. What was paused
        before a new beginning is resumed here too: its lanes are empty."""
        config = self._config
        crowded = sum(lane.held for lane in self._lanes.values()) >= config.held_bytes
        full: set[tuple[str, int]] = set()
        for lane in self._lanes.values():
            if crowded or lane.rows >= 2 * config.batch_rows or lane.bytes >= 2 * config.batch_bytes:
                full.update((topic, lane.number) for topic in lane.positions if not lane.wants(topic))
        if full == self._paused:
            return
        for places, act in ((full - self._paused, self._consumer.pause), (self._paused - full, self._consumer.resume)):
            if places:
                act([TopicPartition(topic, partition) for topic, partition in places])
        self._paused = full

    def _report(self, now: float) -> None:
        lanes = self._lanes.values()
        self.metrics.holding(
            sum(lane.rows for lane in lanes), sum(lane.held for lane in lanes), paused=len(self._paused)
        )
        if now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        oldest = min((lane.oldest for lane in lanes if lane.oldest is not None), default=None)
        behind: Counter[str] = Counter()
        for lane in lanes:
            for topic, done in lane.done().items():
                # What the last answer to a fetch said: nobody is asked.
                _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, lane.number), cached=True)
                behind[topic] += max(end - done, 0)
        self.metrics.behind(behind, 0.0 if oldest is None else time.time() - oldest / 1000)


def _name() -> str:
    return uuid4().hex[:16]


def _beside(settled: Mapping[str, int], plan: Plan) -> dict[str, int]:
    planned = {part.topic for part in plan.parts}
    return {topic: offset for topic, offset in settled.items() if topic not in planned}


def _commits(settled: Mapping[int, Mapping[str, int]]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, lane, offset) for lane, offsets in settled.items() for topic, offset in offsets.items()
    ]
