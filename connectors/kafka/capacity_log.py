"""The ``capacity`` topic: which campaigns are at a cap, as far as it tells."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from connectors.kafka.partition_reader import Batch, PartitionReader
from schemas.codec import UndecodableError, decode
from schemas.messages import Capacity
from schemas.record import KafkaRecord
from schemas.topics import CAPACITY

log = structlog.get_logger(__name__)

NEVER: Final = datetime.max.replace(tzinfo=UTC)
AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown before a moment: then the first window ends."""

    full: Mapping[str, str] = field(default_factory=dict)
    until: datetime = AT_ONCE


class CapacityFollower:
    """Campaigns that are full, as they change. A hint, and so never waited for: it begins with none, and reads the
    topic from its beginning while others go on. ``failed`` is called, in a thread of its own, with what ends the
    reading."""

    def __init__(self, bootstrap: str, failed: Callable[[Exception], None]) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, datetime]] = {}
        self._shown = _Shown()
        self._reader = PartitionReader(bootstrap)
        self._reader.start({(CAPACITY.name, 0): None}, self._deliver, failed)

    def full(self, now: datetime) -> Mapping[str, str]:
        """The campaigns that are at a cap whose window has not ended, each with the reason. The same object as before
        where nothing has changed, so it costs nothing to ask for every slice."""
        shown = self._shown
        return shown.full if now < shown.until else self._show(now)

    def close(self) -> None:
        """Follow no more."""
        self._reader.close()

    def _show(self, now: datetime) -> Mapping[str, str]:
        with self._lock:
            lasting = {campaign: (reason, end) for campaign, (reason, end) in self._told.items() if now < end}
            self._told = lasting
            full = {campaign: reason for campaign, (reason, _) in lasting.items()}
            until = min((end for _, end in lasting.values()), default=NEVER)
            self._shown = _Shown(self._shown.full if full == self._shown.full else full, until)
            return self._shown.full

    def _deliver(self, batch: Batch) -> None:
        records = [record for of in batch.records.values() for record in of]
        with self._lock:
            told = dict(self._told)
            for record in records:
                _take(told, record)
            if told != self._told:
                self._told = told
                self._shown = _Shown(self._shown.full)  # made anew when it is asked for


def _take(told: dict[str, tuple[str, datetime]], record: KafkaRecord) -> None:
    campaign = (record.key or b"").decode(errors="replace")
    found = None
    if record.value is not None:
        try:
            found = decode(CAPACITY.name, record.value)
        except UndecodableError as error:  # of a later version; without the hint leads are offered as before
            log.warning("capacity cannot be read", campaign=campaign, error=str(error))
    if isinstance(found, Capacity) and found.full is not None:
        told[campaign] = (found.full, found.until or NEVER)
    else:
        told.pop(campaign, None)
