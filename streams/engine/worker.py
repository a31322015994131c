"""A stage's worker: Faust for membership, partitions and lifecycle, slices and lanes for the data."""

from __future__ import annotations

import asyncio
import functools
import gc
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faust
import structlog
from faust.types import TP
from yarl import URL

from connectors.kafka import clients
from connectors.kafka.log_reader import log_bounds
from connectors.kafka.open_transaction import refuse_open
from connectors.kafka.producer import AckedProducer, PlacingProducer
from connectors.kafka.topic_admin import TopicIds, topic_ids
from connectors.kafka.transaction import TransactionalProducer
from schemas.topics import changelog
from streams.dead_letter_limit import DeadLetterLimit
from streams.engine.arrivals import Slice
from streams.engine.changelog import restore
from streams.engine.exits import CoPartitionError, detail_of, exit_of
from streams.engine.lanes import TICK_SECONDS, Lanes
from streams.engine.metrics import WorkerMetrics
from streams.engine.slice_consumer import Announced, SliceConsumer, SliceTransport
from streams.engine.writer import AckedWriter, FrozenError, TransactionalWriter, Writer
from streams.lane import Lane
from streams.stage import Context, Guarantee, Performer, Stage
from streams.tables import milliseconds

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 3.0
STOP_SECONDS: Final = 8.0
"""What a worker that was told to stop takes at most."""

COLLECTION_THRESHOLDS: Final = (50_000, 10, 10)
"""Of Python's cycle collector; its defaults took a sixth of the engine's time."""


@dataclass(frozen=True)
class WorkerConfig:
    """How a worker runs. ``group`` names its consumer group and, with a partition, the transactional ids; ``data`` is a
    folder of its own for Faust. ``state`` is the folder of the stage's tables, which its workers on this machine may
    share; None keeps them in memory."""

    bootstrap: str
    group: str
    data: Path
    partitions: int
    session_timeout_seconds: float = 6.0
    log_level: str = "INFO"
    transactions_in_flight: int = 2
    dead_letter_run: int = 200
    dead_letter_share: float = 0.5
    state: Path | None = None


class EngineApp(faust.App):
    """An app that ends what the engine holds once everything in flight is done."""

    rest: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]

    async def on_stop(self) -> None:
        """Stop Faust's services, then the engine's."""
        # What is written is written: a client that does not come back from Kafka must not keep the process.
        deadline = threading.Timer(STOP_SECONDS, _end_now)
        deadline.daemon = True
        deadline.start()
        # First what is in flight: once the consumer has left, its partitions are another's.
        await self.rest()
        await super().on_stop()
        await self.close()


@dataclass(frozen=True, slots=True)
class EventSlice:
    """A slice as a Faust stream has it."""

    event: Any

    def take(self) -> Slice:
        """Cut it, and let the next be announced."""
        self.event.ack()
        announced: Announced = self.event.value
        return announced.cut()

    def drop(self) -> None:
        """Leave it."""
        self.event.ack()


class SliceSchema(faust.Schema[Any, Any]):
    """Hands a slice on as it is: the stage decodes."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        """No key."""
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """The slice."""
        return message.value


class Engine:
    """One stage on Faust."""

    def __init__(
        self,
        stage: Stage[Any],
        config: WorkerConfig,
        context: Callable[[], Context],
        make_performer: Callable[[], Performer[Any, Any]] | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.stage = stage
        self.config = config
        self._context = context
        self._make_performer = make_performer
        self._on_ready = on_ready
        self._lanes: Lanes | None = None
        self._topic_ids: TopicIds = {}
        self._generation = 0
        self._rested_in: int | None = None
        self._stopping = False
        # A signal comes when it likes, in the middle of an assignment too.
        self._changing = asyncio.Lock()
        self._alive_at = time.monotonic()
        # A thread for each lane that waits for Kafka, so that lanes do not wait for each other.
        self._threads = ThreadPoolExecutor(max(4, config.partitions), thread_name_prefix="lane")
        self._limit = DeadLetterLimit(config.dead_letter_run, config.dead_letter_share)
        self.metrics = WorkerMetrics(stage)
        self.app = self._build_app()

    def _build_app(self) -> faust.App:
        config = self.config
        brokers = [URL(f"kafka://{host}") for host in config.bootstrap.split(",")]
        app = EngineApp(
            config.group,
            broker=brokers,
            datadir=config.data,
            topic_partitions=config.partitions,
            topic_disable_leader=True,
            topic_allow_declare=False,
            key_serializer="raw",
            value_serializer="raw",
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=config.session_timeout_seconds,
            broker_heartbeat_interval=config.session_timeout_seconds / 8,  # by which others learn of a rebalance
            consumer_metadata_max_age_ms=5_000,  # a leader whose broker has just come back gives out none until then
            broker_commit_interval=0.5,
            broker_request_timeout=30.0,
            stream_wait_empty=True,
            # Faust's web server shows table data to whoever asks.
            web_enabled=False,
        )
        app.rest = self._stop
        app.close = self._close
        engine = self

        class Consumer(SliceConsumer):
            bootstrap = config.bootstrap

            def fail(self, error: BaseException) -> None:
                engine.fail(error)

            async def before_revoke(self, revoked: set[TP]) -> None:
                await engine.rest()

            async def before_flow(self, assigned: set[TP], generation: int) -> None:
                await engine.open_lanes(assigned, generation)

            def in_flow(self) -> None:
                engine.in_flow()

            def next_of(self, tp: TP) -> int | None:
                return engine.next_of(tp)

        class Transport(SliceTransport):
            pass

        Transport.Consumer = Consumer
        app.transport = Transport(brokers, app)
        schema = SliceSchema(key_serializer="raw", value_serializer="raw")
        for spec in self.stage.reads:
            channel = app.topic(spec.name, schema=schema, partitions=config.partitions)
            app.agent(channel, name=f"{config.group}.{spec.name}")(self._take)
        return app

    async def _take(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            assert self._lanes is not None  # noqa: S101  # no record flows before the lanes are open
            if message.generation_id != self._generation:  # of an assignment before: it may be far ahead of its lane
                event.ack()
                continue
            self._lanes.submit(message.partition, EventSlice(event))

    async def open_lanes(self, assigned: set[TP], generation: int) -> None:
        """Open the lanes of the assigned partitions. Those that were this worker's a generation ago go on as they are:
        nobody else can have had them since."""
        async with self._changing:
            if not self._stopping:
                await self._open_lanes(assigned, generation)

    async def _open_lanes(self, assigned: set[TP], generation: int) -> None:
        lanes = self._lanes or self._make_lanes()
        self._lanes = lanes
        topics = {spec.name for spec in self.stage.reads}
        per_topic = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in topics}
        if len({frozenset(partitions) for partitions in per_topic.values()}) > 1:
            self.fail(CoPartitionError(f"the topics of {self.stage.name} are not co-partitioned: {per_topic}"))
        partitions = sorted(next(iter(per_topic.values())))
        kept = set(lanes.open_lanes) & set(partitions) if self._rested_in == generation - 1 else set()
        self._generation = generation
        loop = asyncio.get_running_loop()
        try:
            for partition in set(lanes.open_lanes) - kept:
                await lanes.close(partition)
            fresh = [partition for partition in partitions if partition not in kept]
            if fresh:
                self._topic_ids = await loop.run_in_executor(None, self._ask_topic_ids)
            opened = (loop.run_in_executor(None, self._open, partition) for partition in fresh)
            for partition, (lane, writer) in zip(fresh, await asyncio.gather(*opened), strict=True):
                lanes.open(partition, lane, writer)
            for partition in kept:
                lanes.resume(partition)
        except Exception as error:
            self.fail(error)
        self.metrics.assigned(len(partitions))
        log.info("partitions assigned", stage=self.stage.name, partitions=partitions, kept=sorted(kept))
        if not partitions:  # a spare: nothing will flow, and it is ready to take over
            self._on_ready()

    def _ask_topic_ids(self) -> TopicIds:
        topics = [*self.stage.reads, changelog(self.stage.name)]
        return topic_ids(clients.admin(self.config.bootstrap), [spec.name for spec in topics])

    def _open(self, partition: int) -> tuple[Lane, Writer]:
        """Fence the last owner, then restore: what it still writes would not be restored, and must not be written."""
        stage, config = self.stage, self.config
        producer = None
        if stage.guarantee is Guarantee.EXACTLY_ONCE:
            producer = TransactionalProducer(config.bootstrap, f"{config.group}-{partition}")
            producer.fence()
            refuse_open(config.bootstrap, changelog(stage.name).name, partition)
        told = functools.partial(self.metrics.restoring, partition)
        restored = restore(config.bootstrap, stage, partition, self._topic_ids, told, config.state)
        ends = {} if producer is not None else self._ends(partition)
        lane = Lane(stage, restored.tables, restored.positions, limit=self._limit, topic_ids=self._topic_ids, ends=ends)
        return lane, self._writer(partition, producer, restored.following)

    def _ends(self, partition: int) -> dict[str, int]:
        bootstrap = self.config.bootstrap
        return {spec.name: log_bounds(bootstrap, spec.name, partition)[1] for spec in self.stage.reads}

    def _writer(self, partition: int, producer: TransactionalProducer | None, following: int | None) -> Writer:
        stage, bootstrap, places = self.stage, self.config.bootstrap, following is not None
        if producer is not None:
            return TransactionalWriter(producer, stage, partition, self._threads, self._topic_ids, placing=places)
        acked = (PlacingProducer if places else AckedProducer)(bootstrap, **{"linger.ms": 0})
        return AckedWriter(acked, stage, partition, self._threads, self._check_alive, following)

    def next_of(self, tp: TP) -> int | None:
        """Where a lane is in a partition."""
        return None if self._lanes is None else self._lanes.next(tp.topic, tp.partition)

    def in_flow(self) -> None:
        """Records flow."""
        self._on_ready()

    async def rest(self) -> None:
        """Bring what is in flight to rest, so that its partitions can go to another worker."""
        async with self._changing:
            if self._lanes is not None:
                await self._consumer.end_reading()
                self._rested_in = self._generation
                await self._lanes.rest(GRACE_SECONDS)

    async def _stop(self) -> None:
        self._stopping = True
        await self.rest()

    async def _tick(self, lanes: Lanes) -> None:
        self._alive_at = time.monotonic()
        seconds = min(TICK_SECONDS, self.stage.tick_seconds or TICK_SECONDS)
        while True:
            await asyncio.sleep(seconds)
            try:
                self._check_alive()
            except FrozenError as error:
                self.fail(error)
            self._alive_at = time.monotonic()
            lanes.tick()
            self._measure(lanes)

    def _measure(self, lanes: Lanes) -> None:
        now_ms = milliseconds(self._context().now)
        self.metrics.tables(lanes.open_lanes, now_ms)
        for partition, lane in lanes.open_lanes.items():
            for spec in self.stage.reads:
                records, waiting = self._consumer.behind(TP(spec.name, partition))
                oldest = min((ms for ms in (lane.oldest_ms(spec.name), waiting) if ms is not None), default=now_ms)
                self.metrics.lag(spec.name, partition, records, max(now_ms - oldest, 0) / 1000)

    def _check_alive(self) -> None:
        stood_still = time.monotonic() - self._alive_at
        if self.stage.guarantee is Guarantee.DETERMINISTIC and stood_still > self.config.session_timeout_seconds:
            raise FrozenError(f"stood still for {stood_still:.1f} s, longer than its session")

    async def _close(self) -> None:
        if self._lanes is None:
            return
        self._ticking.cancel()
        for partition in self._lanes.open_lanes:
            await self._lanes.close(partition)
        if (close := getattr(self._lanes.perform, "close", None)) is not None:
            await close()

    def _make_lanes(self) -> Lanes:
        transactions = self.stage.guarantee is Guarantee.EXACTLY_ONCE
        lanes = Lanes(
            stage=self.stage,
            context=self._context,
            perform=self._make_performer() if self._make_performer else None,
            on_failure=self.fail,
            on_advance=self._advance,
            metrics=self.metrics,
            steps_in_flight=self.config.transactions_in_flight if transactions else None,
        )
        self._ticking = asyncio.get_running_loop().create_task(self._tick(lanes))
        return lanes

    def _advance(self, topic: str, partition: int, following: int) -> None:
        self._consumer.advance(TP(topic, partition), following)

    @property
    def _consumer(self) -> SliceConsumer:
        consumer = self.app.consumer
        assert isinstance(consumer, SliceConsumer)  # noqa: S101  # the transport's
        return consumer

    def fail(self, error: BaseException) -> None:
        """End the process at once. What is not written is read again by the next owner of its partition."""
        code = exit_of(error)
        log.error(
            "worker stops", stage=self.stage.name, error=type(error).__name__, detail=detail_of(error), exit_code=code
        )
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)

    def run(self) -> None:
        """Run until a signal; does not return."""
        self.config.data.mkdir(parents=True, exist_ok=True)
        self.stage.warm_up()
        _collect_less_often()
        worker = faust.Worker(
            self.app,
            loglevel=logging.getLevelName(self.config.log_level),
            # Faust's own set-up would put the root logger at DEBUG for its spinner.
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            stdout=io.StringIO(),  # the worker would write terminal codes into the log
            blocking_timeout=None,
        )
        try:
            worker.execute_from_commandline()
        except SystemExit as end:
            if isinstance(end.__context__, Exception):  # Faust has one exit code for whatever stops it
                self.fail(end.__context__)
            raise


def _end_now() -> None:
    log.warning("the end of Faust's services is not waited for", seconds=STOP_SECONDS)
    os._exit(0)


def _collect_less_often() -> None:
    """Set the cycle collector for slices: a thousand live records each are no reason to look for garbage at every
    seven hundredth. Records, outputs and tables hold no cycles; what is left for the collector is little."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)
