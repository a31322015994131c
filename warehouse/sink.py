"""The sink: every topic about leads into the tables, each record once.

A batch is planned in Kafka's commit, inserted under the plan's token, and settled by the next commit
(``warehouse/sinking``). Kafka refuses the plan of a member that lost its partitions, and ClickHouse drops a batch that
it has; so a sink may be killed or frozen anywhere, and its successor makes the same batch again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from uuid import uuid4

import structlog
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record
from connectors.kafka.topic_admin import topic_ids
from schemas.record import KafkaRecord
from schemas.topics import LEADS, SINK_GROUP
from warehouse.rows import SUNK_TOPICS
from warehouse.sinking.beginning import beginning_of, bounds_of
from warehouse.sinking.inserting import AbandonedError, SinkStoppedError, Writer
from warehouse.sinking.lane import Batch, Lane
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.plans import Claim, Plan, PlanError, claim_of, pending_of, replanned
from warehouse.sinking.targets import TARGETS

__all__ = ["Sink", "SinkConfig", "SinkStoppedError"]

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 0.2
STOP_SECONDS: Final = 10.0
"""How long a sink that is asked to stop waits for the inserts under way."""


@dataclass(frozen=True)
class SinkConfig:
    """Where from and where to.

    A lane's batch is planned ``batch_seconds`` after its last one, or at ``batch_rows`` or ``batch_bytes``, but never
    while that one is being inserted: a lane under load gathers more. At twice the size its partitions are paused. A
    token older than ``safe_seconds`` is not trusted. With ``accept_gaps`` it goes on where records are gone from the
    log unread.
    """

    bootstrap: str
    database: str
    group: str = SINK_GROUP
    batch_rows: int = 20_000
    batch_bytes: int = 32 * 1024 * 1024
    batch_seconds: float = 0.25
    session_timeout_seconds: float = 6.0
    safe_seconds: float = 60.0
    inserts: int = 2
    accept_gaps: bool = False


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
        self._failure: Exception | None = None
        self._stopping = False
        self._threads = ThreadPoolExecutor(config.inserts, "insert")
        self._admin = clients.admin(config.bootstrap)
        self._consumer = Consumer(
            {
                "bootstrap.servers": config.bootstrap,
                "group.id": config.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                # The same partition numbers of all topics to one member: its lanes.
                "partition.assignment.strategy": "range",
                "session.timeout.ms": int(config.session_timeout_seconds * 1000),
                "heartbeat.interval.ms": int(config.session_timeout_seconds * 250),
                "fetch.wait.max.ms": 50,
                "fetch.queue.backoff.ms": 10,
                "topic.metadata.refresh.interval.ms": 10_000,
                "enable.partition.eof": True,
            }
        )

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
            self._writer = Writer(
                self._client,
                self._config.database,
                TARGETS,
                sink=self._config.group,
                cluster=str(self._admin.list_topics(timeout=30).cluster_id),
                safe_seconds=self._config.safe_seconds,
                metrics=self.metrics,
                on_step=self._on_step,
            )
            self._writer.prepare(KafkaRecord(LEADS.name, 0, 0, 0, None, None))
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
        elif error.code() == KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001
            log.warning("partitions lost", error=str(error))
            self._drop()
        elif error.fatal():
            raise KafkaException(error)
        else:
            log.warning("consume", error=str(error))

    def _on_assign(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._drop()
        self._assigned = list(partitions)
        try:
            self._begin()
        except (SinkStoppedError, KafkaException) as error:  # the client would lose it on its way out of the callback
            self._failure = error

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
        """Read what is assigned from what is committed, and learn which batches are pending."""
        try:
            self._lanes = self._read_commits()
        except KafkaException as error:
            log.warning("commits cannot be read, trying again", error=str(error))
            self._consumer.assign([])
            self._begin_later()
            return
        self._begin_at = None
        self._paused.clear()
        starts = [
            TopicPartition(topic, lane.number, position)
            for lane in self._lanes.values()
            for topic, position in lane.positions.items()
        ]
        self._consumer.assign(starts)
        pending = sum(lane.recovering for lane in self._lanes.values())
        log.info("sink assigned", partitions=len(starts), lanes=len(self._lanes), pending=pending)
        self._on_ready()

    def _read_commits(self) -> dict[int, Lane]:
        places = [TopicPartition(place.topic, place.partition) for place in self._assigned]
        if not places:
            return {}
        self._topic_ids = topic_ids(self._admin, {place.topic for place in places})
        bounds = bounds_of(self._admin, places)
        positions: dict[int, dict[str, int]] = {}
        claims: list[Claim] = []
        cut: set[str] = set()
        for place in self._consumer.committed(places, timeout=10):
            if place.error is not None:
                raise KafkaException(place.error)
            topic, lane = place.topic, place.partition
            committed = place.offset if place.offset >= 0 else None
            log_bounds = bounds[topic, lane]
            stored = partial(self._writer.highest, topic, lane)
            start = beginning_of(committed, log_bounds.low, log_bounds.high, stored)
            if start.note:
                self._say(place, start.offset, start.note, start.lost)
            positions.setdefault(lane, {})[topic] = start.offset
            if committed is None or committed > log_bounds.high:
                continue
            try:
                claim = claim_of(topic, self._topic_ids[topic], lane, committed, place.metadata)
            except PlanError as error:
                raise SinkStoppedError(str(error)) from error
            if claim is not None and claim.part.last >= start.offset:
                claims.append(claim)
                if start.offset != committed:
                    cut.add(claim.batch)
        pending = [replace(one, whole=False) if one.plan.batch in cut else one for one in pending_of(claims)]
        return {
            number: Lane(number, starts, [one for one in pending if one.plan.lane == number])
            for number, starts in sorted(positions.items())
        }

    def _say(self, place: TopicPartition, offset: int, note: str, lost: tuple[int, int] | None) -> None:
        where = f"{place.topic}[{place.partition}]"
        log.warning(note, partition=where, committed=place.offset, begins=offset, lost=lost)
        if lost is None:
            return
        if not self._config.accept_gaps:
            raise SinkStoppedError(
                f"{where}: {note}, and the offsets from {lost[0]} to {lost[1] - 1} are gone from the log. "
                "Restore them, or go on without them: LEADLINE_SINK_ACCEPT_GAPS=true leadline sink"
            )
        self.metrics.gap(lost[1] - lost[0])

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
        """Pause the partitions of lanes in which too much waits, those a pending batch needs left out."""
        config = self._config
        full: set[tuple[str, int]] = set()
        for lane in self._lanes.values():
            if lane.rows >= 2 * config.batch_rows or lane.bytes >= 2 * config.batch_bytes:
                full.update((topic, lane.number) for topic in lane.positions if not lane.wants(topic))
        self.metrics.waiting(sum(lane.rows for lane in self._lanes.values()))
        if full == self._paused:
            return
        for places, act in ((full - self._paused, self._consumer.pause), (self._paused - full, self._consumer.resume)):
            if places:
                act([TopicPartition(topic, partition) for topic, partition in places])
        self._paused = full


def _name() -> str:
    return uuid4().hex[:16]


def _beside(settled: Mapping[str, int], plan: Plan) -> dict[str, int]:
    planned = {part.topic for part in plan.parts}
    return {topic: offset for topic, offset in settled.items() if topic not in planned}


def _commits(settled: Mapping[int, Mapping[str, int]]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, lane, offset) for lane, offsets in settled.items() for topic, offset in offsets.items()
    ]
