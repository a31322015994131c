"""The ``config`` topic: putting a release in force, and following what is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from confluent_kafka import Message

from connectors.kafka.log_reader import as_record, read_range
from connectors.kafka.partition_reader import Batch, PartitionReader
from connectors.kafka.transaction import TransactionalProducer
from schemas.codec import decode, encode
from schemas.config.history import Applied, ReleaseHistory
from schemas.config.release import Configuration
from schemas.events import ConfigEntity
from schemas.record import Record
from schemas.topics import CONFIG

WRITER: Final = "leadline-config"
"""The transactional id of whoever puts a release in force: one at a time."""


class ReleaseChangedError(Exception):
    """Another release was put in force since the one that was looked at."""


def read_history(bootstrap: str) -> ReleaseHistory:
    """Every release there is now.

    Raises:
        KafkaException: the broker does not answer, or has no such topic.
    """
    history, _ = _read(bootstrap)
    return history


def apply(
    bootstrap: str,
    configuration: Configuration,
    *,
    at: datetime,
    author: str,
    message: str,
    expected: str | None = None,
) -> Applied | None:
    """Put a configuration in force, all of it in one transaction; None when it is already. ``expected`` is the release
    that must be in force until then, if that matters.

    Raises:
        ReleaseChangedError: another one is.
        FencedError: somebody else puts one in force at this moment.
        TransactionError, KafkaException: the broker does not answer.
    """
    producer = TransactionalProducer(bootstrap, WRITER)
    try:
        producer.fence()  # what another has begun is aborted: from here on the history does not change under us
        history = read_history(bootstrap)
        if expected is not None and history.current != expected:
            raise ReleaseChangedError(f"{history.current} is in force, not {expected}; look at the difference again")
        if history.current == configuration.release:
            return None
        records = list(history.records_of(configuration, at, author, message))
        while True:
            producer.begin()
            for key, record in records:
                producer.produce(CONFIG.name, key.encode(), encode(record), partition=0)
            if producer.commit():
                break
        for key, record in records:
            history.add(key, record)
        return history.applied[-1]
    finally:
        producer.close()


class ReleaseFollower:
    """The release in force, as it changes. Reads the whole topic first; ``on_change`` is told of each later one, in a
    thread of its own.

    A release that this version cannot read is not put in force here: ``on_change`` gets the error, and the one before
    stays.
    """

    def __init__(
        self,
        bootstrap: str,
        on_change: Callable[[Applied, Exception | None], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._on_change = on_change
        self._history, end = _read(bootstrap)
        self._lock = threading.Lock()
        self.current = self._history.configuration(self._history.current) if self._history.current else None
        """The configuration in force; None before the first release."""
        self._reader = PartitionReader(bootstrap)
        self._reader.start({(CONFIG.name, 0): end}, self._deliver, failed)

    def configuration(self, release: str) -> Configuration:
        """Any release that ever was in force.

        Raises:
            UnknownReleaseError: there is none of that name.
            ValueError: this version cannot read it.
        """
        with self._lock:
            return self._history.configuration(release)

    def close(self) -> None:
        """Follow no more."""
        self._reader.close()

    def _deliver(self, batch: Batch) -> None:
        before = len(self._history.applied)
        with self._lock:
            for records in batch.records.values():
                _add(self._history, records)
        for applied in self._history.applied[before:]:
            try:
                self.current = self.configuration(applied.release)
            except (KeyError, ValueError) as error:
                self._on_change(applied, error)
            else:
                self._on_change(applied, None)


def _read(bootstrap: str) -> tuple[ReleaseHistory, int]:
    history, following = ReleaseHistory(), 0
    for batch in read_range(bootstrap, CONFIG.name, 0):
        following = _last(batch) + 1
        _add(history, map(as_record, batch))
    return history, following


def _last(batch: list[Message]) -> int:
    return batch[-1].offset() or 0


def _add(history: ReleaseHistory, records: Iterable[Record]) -> None:
    for record in records:
        found = decode(CONFIG.name, record.value)
        assert isinstance(found, ConfigEntity)  # noqa: S101  # the topic holds nothing else
        history.add((record.key or b"").decode(), found)
