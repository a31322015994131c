"""How a step becomes durable: acknowledged if its stage is deterministic, else as one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, Protocol, cast

import structlog
from confluent_kafka import KafkaError, Message

from connectors.kafka.producer import AckedProducer, PlacingProducer
from connectors.kafka.topic_admin import TopicIds
from connectors.kafka.transaction import TransactionalProducer, TransactionError
from schemas.topics import changelog
from streams.changelog import entries_of, records_of
from streams.lane import Step
from streams.stage import Stage
from streams.tables import milliseconds

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 6
"""Of one step. A broker that is away costs a transaction's time-out each, two minutes in all; what aborts for another
reason would abort for ever."""


class FrozenError(Exception):
    """The process stood still for longer than its session: its partitions may have another owner by now."""


class Writer(Protocol):
    """Writes the steps of one lane."""

    async def write(self, step: Step) -> int | None:
        """Return once the step is durable; an exception leaves it to the lane's next owner.

        The result is the changelog offset behind the step's last record, if the writer was asked to find it and nobody
        else can have written before it since the lane was restored.
        """
        ...

    def close(self) -> None:
        """Let go of what the writer holds alone."""
        ...


class AckedWriter:
    """Changes and outputs together, all acknowledged before the position advances. After a crash in between, whatever
    is missing of either is made again: the stage is deterministic.

    One producer a lane: a flush waits for all that its producer has in hand, and lanes do not wait for each other.

    ``following`` is the changelog offset to which the lane is restored, where its store wants to know how far it comes;
    the producer is a :class:`PlacingProducer` then.
    """

    def __init__(
        self,
        producer: AckedProducer,
        stage: Stage[Any],
        partition: int,
        executor: Executor,
        check: Callable[[], None],
        following: int | None = None,
    ) -> None:
        self._producer = producer
        self._following = following
        self._changelog = changelog(stage.name).name
        self._partition = partition
        self._executor = executor
        self._check = check

    async def write(self, step: Step) -> int | None:
        """See :class:`Writer`.

        Raises:
            DeliveryFailedError: a record is not written, and will not be.
            FrozenError: the partition may be another's.
        """
        self._check()
        produce, at_ms = self._producer.produce, milliseconds(step.at)
        for key, value in entries_of(step):
            produce(self._changelog, key, value, (), self._partition, at_ms)
        for output in step.outputs:
            produce(output.topic, output.key, cast("bytes | None", output.value), output.headers)
        if step.changes or step.outputs:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._producer.flush)
        if step.changes and self._following is not None:
            self._following = self._behind(self._following + len(step.changes))
            return self._following
        return None

    def _behind(self, expected: int) -> int | None:
        assert isinstance(self._producer, PlacingProducer)  # noqa: S101  # see the class
        if self._producer.following(self._changelog, self._partition) == expected:
            return expected
        # Nothing fences a former owner here. What it wrote is for the next restore, which must begin before it.
        log.warning("another owner has written the changelog", changelog=self._changelog, partition=self._partition)
        return None

    def close(self) -> None:
        """End the producer."""
        self._producer.close()


class TransactionalWriter:
    """Changes, positions and outputs, all or none. One producer a lane, so that lanes do not take turns.

    A transaction is always begun: the client alone knows until something is in it, and to begin one waits for the
    client's thread, which is better done where a commit is waited for.

    Raises:
        FencedError: a successor has the producer's id.
        TransactionError: the producer cannot begin.
    """

    def __init__(
        self,
        producer: TransactionalProducer,
        stage: Stage[Any],
        partition: int,
        executor: Executor,
        topic_ids: TopicIds,
        *,
        placing: bool = False,
    ) -> None:
        self._producer = producer
        self._changelog = changelog(stage.name).name
        self._partition = partition
        self._executor = executor
        self._topic_ids = topic_ids
        self._placed = self._place if placing else None
        self._following: int | None = None
        producer.begin()

    async def write(self, step: Step) -> int | None:
        """See :class:`Writer`.

        Raises:
            FencedError: the lane has another owner; nothing of the step is written.
            TransactionError: the step is not written, or only the lane's next owner can know.
        """
        if not (step.outputs or step.changes or step.positions):
            return None
        loop = asyncio.get_running_loop()
        for _ in range(ATTEMPTS):
            self._produce(step)
            # Only the waiting is done elsewhere: producing there would fight this thread for the interpreter.
            if await loop.run_in_executor(self._executor, self._commit):
                return self._following
        raise TransactionError(f"a step was aborted {ATTEMPTS} times")

    def _produce(self, step: Step) -> None:
        producer, at_ms = self._producer, milliseconds(step.at)
        self._following = None
        records = list(records_of(step, self._topic_ids))
        for number, (key, value) in enumerate(records, 1):
            placed = self._placed if number == len(records) else None
            producer.produce(self._changelog, key, value, (), self._partition, at_ms, placed)
        for output in step.outputs:
            producer.produce(output.topic, output.key, cast("bytes | None", output.value), output.headers)

    def _commit(self) -> bool:
        committed = self._producer.commit()
        self._producer.begin()
        return committed

    def _place(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._following = (message.offset() or 0) + 1

    def close(self) -> None:
        """End the producer; an open transaction is left to the lane's next owner."""
        self._producer.close()
