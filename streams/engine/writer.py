"""How a step becomes durable: acknowledged in order if its stage is deterministic, else by one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol, cast

from connectors.kafka.producer import AckedProducer
from connectors.kafka.topic_admin import TopicIds
from connectors.kafka.transaction import TransactionalProducer
from schemas.topics import changelog
from streams.changelog import entries_of, records_of
from streams.lane import Step
from streams.stage import Stage
from streams.tables import milliseconds


class FrozenError(Exception):
    """The process stood still for longer than its session: its partitions may have another owner by now."""


class Writer(Protocol):
    """Writes the steps of one lane."""

    async def write(self, step: Step) -> None:
        """Return once the step is durable; an exception leaves it to the lane's next owner."""
        ...

    def close(self) -> None:
        """Let go of what the writer holds alone."""
        ...


class AckedWriter:
    """First the changelog, so that no decision is seen before it is stored, then the outputs. Lanes share it."""

    def __init__(
        self,
        producer: AckedProducer,
        stage: Stage[Any],
        partition: int,
        executor: Executor,
        check: Callable[[], None],
    ) -> None:
        self._producer = producer
        self._changelog = changelog(stage.name).name
        self._partition = partition
        self._executor = executor
        self._check = check

    async def write(self, step: Step) -> None:
        """See :class:`Writer`.

        Raises:
            DeliveryFailedError: a record is not written, and will not be.
            FrozenError: the partition may be another's.
        """
        self._check()
        loop, produce = asyncio.get_running_loop(), self._producer.produce
        if step.changes:
            at_ms = milliseconds(step.at)
            for key, value in entries_of(step):
                produce(self._changelog, key, value, (), self._partition, at_ms)
            await loop.run_in_executor(self._executor, self._producer.flush_now)
            self._check()
        if step.outputs:
            for output in step.outputs:
                produce(output.topic, output.key, cast("bytes | None", output.value), output.headers)
            await loop.run_in_executor(self._executor, self._producer.flush_now)

    def close(self) -> None:
        """Nothing is held alone."""


class TransactionalWriter:
    """Changes, positions and outputs, all or none. One producer a lane, so that lanes do not take turns."""

    def __init__(
        self,
        producer: TransactionalProducer,
        stage: Stage[Any],
        partition: int,
        executor: Executor,
        topic_ids: TopicIds,
    ) -> None:
        self._producer = producer
        self._changelog = changelog(stage.name).name
        self._partition = partition
        self._executor = executor
        self._topic_ids = topic_ids

    async def write(self, step: Step) -> None:
        """See :class:`Writer`.

        Raises:
            FencedError: the lane has another owner; nothing of the step is written.
            TransactionError: the step is not written, or only the lane's next owner can know.
        """
        if not (step.outputs or step.changes or step.positions):
            return
        loop = asyncio.get_running_loop()
        while True:
            self._produce(step)
            # Only the waiting is done elsewhere: producing there would fight this thread for the interpreter.
            if await loop.run_in_executor(self._executor, self._producer.commit):
                return

    def _produce(self, step: Step) -> None:
        producer, at_ms = self._producer, milliseconds(step.at)
        producer.begin()
        for key, value in records_of(step, self._topic_ids):
            producer.produce(self._changelog, key, value, (), self._partition, at_ms)
        for output in step.outputs:
            producer.produce(output.topic, output.key, cast("bytes | None", output.value), output.headers)

    def close(self) -> None:
        """End the producer; an open transaction is left to the lane's next owner."""
        self._producer.close()
