"""The ``config`` topic: putting a release in force, and following what is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from confluent_kafka import Message

from connectors.kafka.log_reader import as_record, read_range
from connectors.kafka.partition_reader import Batch, PartitionReader
from connectors.kafka.transaction import TransactionalProducer
from schemas.codec import decode, encode
from schemas.config.history import Applied, ReleaseHistory
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease
from schemas.config.release import Configuration
from schemas.messages import ConfigEntity
from schemas.record import Record
from schemas.topics import CONFIG

RELEASES_KEPT: Final = 8
"""Whole in memory, with all that is prepared for them."""
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
    written: WrittenRelease,
    *,
    at: datetime,
    author: str,
    message: str,
    expected: str | None = None,
) -> Applied | None:
    """Put a release in force, all of it in one transaction; None when it is already. ``expected`` is the release
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
        if history.current == written.release:
            return None
        records = list(history.records_of(written, at, author, message))
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
    """The release in force, as it changes, filled in from ``environment``. Reads the whole topic first; ``on_change``
    is told of what is in force then and of each later release, those in a thread of their own.

    ``prepare`` is given each configuration once, before it is in force. A release that cannot be used here, or not be
    prepared, is not put in force: ``on_change`` gets the error, and the one before stays. At the start there is none
    before: what was in force once may lack the very rule that the present one cannot be used for.
    """

    def __init__(
        self,
        bootstrap: str,
        environment: Mapping[str, str],
        on_change: Callable[[Applied, Exception | None], None],
        failed: Callable[[Exception], None],
        prepare: Callable[[Configuration], None] = lambda configuration: None,
    ) -> None:
        self._environment = environment
        self._on_change = on_change
        self._prepare = prepare
        self._filled: dict[str, Configuration] = {}
        self._lock = threading.Lock()
        self.current: Configuration | None = None
        """The configuration in force here; None before the first one that can be used."""
        self._history, end = _read(bootstrap)
        if self._history.applied:
            self._put_in_force(self._history.applied[-1])
        self._reader = PartitionReader(bootstrap)
        self._reader.start({(CONFIG.name, 0): end}, self._deliver, failed)

    def configuration(self, release: str) -> Configuration:
        """Any release that ever was in force.

        Raises:
            UnknownReleaseError: there is none of that name.
            UnusableReleaseError: a variable of it is not set here, this version cannot read it, or it cannot be
                prepared.
        """
        with self._lock:
            if (known := self._filled.get(release)) is not None:
                return known
            written = self._history.written(release)
        configuration = written.filled(self._environment)
        try:
            self._prepare(configuration)
        except Exception as error:
            raise UnusableReleaseError(f"release {release} cannot be prepared here: {error}") from error
        with self._lock:
            found = self._filled.setdefault(release, configuration)
            for old in list(self._filled)[:-RELEASES_KEPT]:  # one that is asked for again is filled in again
                if self._filled[old] is not self.current:
                    del self._filled[old]
            return found

    def close(self) -> None:
        """Follow no more."""
        self._reader.close()

    def _deliver(self, batch: Batch) -> None:
        before = len(self._history.applied)
        with self._lock:
            for records in batch.records.values():
                _add(self._history, records)
        for applied in self._history.applied[before:]:
            self._put_in_force(applied)

    def _put_in_force(self, applied: Applied) -> None:
        try:
            configuration = self.configuration(applied.release)
        except Exception as error:  # whatever is wrong with it, the work goes on by the one before
            self._on_change(applied, error)
            return
        self.current = configuration
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
