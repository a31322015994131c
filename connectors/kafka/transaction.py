"""A producer whose records are written all or none, and which its successor fences.

librdkafka's errors fall into three kinds (its INTRODUCTION.md, "Error handling"): those to try again, those that need
the transaction to be aborted, and fatal ones. Only after the first two is it certain what became of the transaction.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from connectors.kafka import clients

log = structlog.get_logger(__name__)

TRANSACTION_TIMEOUT_SECONDS: Final = 20.0
"""After which the broker aborts what a dead producer has left open, if no successor did so before."""

CALL_SECONDS: Final = 5.0

FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  # its public name
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)


class FencedError(Exception):
    """Another producer has taken over the transactional id: whatever this one has in hand is no longer its own."""


class TransactionError(Exception):
    """The transaction cannot be completed; nothing of it is written, or only its successor can know."""


class TransactionalProducer:
    """One transactional id. Not for use by several threads at once."""

    def __init__(self, bootstrap: str, transactional_id: str, **config: Any) -> None:
        self._id = transactional_id
        self._producer = clients.producer(
            bootstrap,
            **{
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT_SECONDS * 1000),
                "linger.ms": 0,
                **config,
            },
        )

    def fence(self, seconds: float = 60.0) -> None:
        """Take over the id: abort what its last owner left open, and end its right to write. Once, before anything.

        Raises:
            FencedError: a successor was quicker.
            TransactionError: the broker did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._producer.init_transactions(CALL_SECONDS)
                return
            except KafkaException as error:
                self._raise_unless_retriable(error, deadline)

    def begin(self) -> None:
        """Start a transaction.

        Raises:
            FencedError: a successor has the id.
            TransactionError: not possible now.
        """
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._fatal(error) from error

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int = -1,
        timestamp_ms: int = 0,
        on_delivery: Callable[[KafkaError | None, Message], None] | None = None,
    ) -> None:
        """Add a record to the transaction. Waits while the queue is full. ``on_delivery`` is told what became of it, in
        the thread that commits, before the commit returns.

        Raises:
            FencedError: a successor has the id.
            TransactionError: the record can never be sent, for instance because it is too large.
        """
        while True:
            try:
                if headers or on_delivery:
                    self._producer.produce(
                        topic, value, key, partition, on_delivery, headers=list(headers), timestamp=timestamp_ms
                    )
                else:
                    self._producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
                return
            except BufferError:
                self._wait_for_room()
            except KafkaException as error:
                raise TransactionError(f"{topic}: {error}") from error

    def commit(self, seconds: float = 120.0) -> bool:
        """Block until the transaction is written, or is certain not to be: then False, and it may be begun again.

        Raises:
            FencedError: a successor has the id; the transaction is aborted.
            TransactionError: the broker did not answer in time, and only the successor will know.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._producer.commit_transaction(CALL_SECONDS)
                return True
            except KafkaException as error:
                if _error(error).txn_requires_abort():
                    log.warning("transaction aborted, trying again", id=self._id, error=str(error))
                    self._abort(deadline)
                    return False
                self._raise_unless_retriable(error, deadline)

    def close(self) -> None:
        """Let go of the broker; an open transaction is aborted, by the broker if that cannot be asked now."""
        # A fatal error is told once more by whatever next waits for the broker: it must not hide what it was first.
        with suppress(KafkaException), warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            self._producer.close()

    def _wait_for_room(self) -> None:
        try:
            self._producer.poll(0.1)
        except KafkaException as error:
            raise self._fatal(error) from error

    def _abort(self, deadline: float) -> None:
        while True:
            try:
                self._producer.abort_transaction(CALL_SECONDS)
                return
            except KafkaException as error:
                self._raise_unless_retriable(error, deadline)

    def _raise_unless_retriable(self, error: KafkaException, deadline: float) -> None:
        if not _error(error).retriable() or time.monotonic() > deadline:
            raise self._fatal(error) from error
        log.warning("transaction call, trying again", id=self._id, error=str(error))

    def _fatal(self, error: KafkaException) -> Exception:
        if _error(error).code() in FENCED:
            return FencedError(f"{self._id}: {error}")
        return TransactionError(f"{self._id}: {error}")


def _error(error: KafkaException) -> KafkaError:
    found: KafkaError = error.args[0]
    return found
