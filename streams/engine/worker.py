"""A stage's worker: Faust for membership, partitions and lifecycle, slices and lanes for the data."""

from __future__ import annotations

import asyncio
import functools
import gc
import io
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faust
import structlog
from confluent_kafka import KafkaException
from faust.types import TP
from yarl import URL

from connectors.kafka.producer import AckedProducer, DeliveryFailedError
from streams.engine.changelog import restore
from streams.engine.lanes import Lanes
from streams.engine.slice_consumer import SliceConsumer, SliceTransport
from streams.stage import Context, Performer, Stage

log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 70
"""A slice could not be done: the process ends without committing it, and its supervisor starts another."""

GRACE_SECONDS: Final = 3.0

COLLECTION_THRESHOLDS: Final = (50_000, 10, 10)
"""Of Python's cycle collector; its defaults took a sixth of the engine's time."""


@dataclass(frozen=True)
class WorkerConfig:
    """How a worker runs. ``group`` names its consumer group, ``data`` a folder of its own for Faust."""

    bootstrap: str
    group: str
    data: Path
    partitions: int
    session_timeout_seconds: float = 6.0
    log_level: str = "INFO"


class EngineApp(faust.App):
    """An app that ends what the engine holds once everything in flight is done."""

    close: Callable[[], Awaitable[None]]

    async def on_stop(self) -> None:
        """Stop Faust's services, then the engine's."""
        await super().on_stop()
        await self.close()


class CoPartitionError(Exception):
    """The topics of a stage are not assigned alike: their partition counts differ."""


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
            broker_heartbeat_interval=config.session_timeout_seconds / 4,
            broker_commit_interval=0.5,
            broker_request_timeout=30.0,
            # aiokafka takes a worker without partitions for a dead one and lets it leave the group for ever.
            broker_max_poll_interval=86_400.0,
            stream_wait_empty=True,
            # Faust's web server shows table data to whoever asks.
            web_enabled=False,
        )
        app.close = self._close
        engine = self

        class Consumer(SliceConsumer):
            async def before_revoke(self, revoked: set[TP]) -> None:
                await engine.close_lanes()

            async def before_flow(self, assigned: set[TP]) -> None:
                await engine.open_lanes(assigned)

            def in_flow(self) -> None:
                engine.say_ready()

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
            self._lanes.submit(message.partition, event.value, functools.partial(_ack, event))

    async def open_lanes(self, assigned: set[TP]) -> None:
        """Restore the tables of the assigned partitions and open their lanes."""
        lanes = self._lanes or self._make_lanes()
        self._lanes = lanes
        await lanes.close(GRACE_SECONDS)
        topics = {spec.name for spec in self.stage.reads}
        per_topic = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in topics}
        if len({frozenset(partitions) for partitions in per_topic.values()}) > 1:
            self.fail(CoPartitionError(f"the topics of {self.stage.name} are not co-partitioned: {per_topic}"))
        partitions = sorted(next(iter(per_topic.values())))
        loop = asyncio.get_running_loop()
        restores = (loop.run_in_executor(None, restore, self.config.bootstrap, self.stage, p) for p in partitions)
        try:
            for partition, tables in zip(partitions, await asyncio.gather(*restores), strict=True):
                lanes.open(partition, tables)
        except Exception as error:
            self.fail(error)
        log.info("partitions assigned", stage=self.stage.name, partitions=partitions)
        if not partitions:  # a spare: nothing will flow, and it is ready to take over
            self._on_ready()

    def say_ready(self) -> None:
        """Records flow."""
        self._on_ready()

    async def close_lanes(self) -> None:
        """End what is in flight; the tables of revoked partitions go with their lanes."""
        if self._lanes is not None:
            await self._lanes.close(GRACE_SECONDS)

    async def _close(self) -> None:
        await self.close_lanes()
        if (close := getattr(self._lanes and self._lanes.perform, "close", None)) is not None:
            await close()

    def _make_lanes(self) -> Lanes:
        return Lanes(
            stage=self.stage,
            producer=AckedProducer(self.config.bootstrap),
            context=self._context,
            perform=self._make_performer() if self._make_performer else None,
            on_failure=self.fail,
        )

    def fail(self, error: BaseException) -> None:
        """End the process at once. What is not acknowledged is read again by the next owner of its partition."""
        log.error("worker stops", stage=self.stage.name, error=type(error).__name__, detail=_detail(error))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(EXIT_FAILED)

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
        worker.execute_from_commandline()


def _collect_less_often() -> None:
    """Set the cycle collector for slices: a thousand live records each are no reason to look for garbage at every
    seven hundredth. Records, outputs and tables hold no cycles; what is left for the collector is little."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def _detail(error: BaseException) -> str:
    """What may be logged: the message of an error of ours or Kafka's, of any other only where it was raised. A message
    may quote the lead."""
    if isinstance(error, KafkaException | DeliveryFailedError | CoPartitionError):
        return str(error)[:500]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _ack(event: Any) -> None:
    event.ack()
