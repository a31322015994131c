"""The raw leads of a simulation, in the order of time: a file's, or those of a stretch of the ``leads`` topic."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final, Protocol

from connectors.inbound.lead_file import BadRow, Form, LeadRow, read_leads
from connectors.kafka.log_reader import as_record, read_range
from schemas import headers
from schemas.record import KafkaRecord
from schemas.topics import LEADS
from streams.replay.window import OffsetRange, Window
from streams.tables import milliseconds

BLOCK: Final = 1 << 20


class RawLeads(Protocol):
    """Raw leads that another process can read as well; None stands for what is none."""

    def __iter__(self) -> Iterator[KafkaRecord | None]: ...


@dataclass(frozen=True)
class FileLeads:
    """The leads of a file as ``leadline send`` sends them, coming evenly, by their lines, from ``start`` until ``end``.

    Raises:
        LeadFileError: the CSV header is unusable.
        OSError: the file cannot be read.
    """

    path: Path
    form: Form
    start: datetime
    end: datetime

    def __iter__(self) -> Iterator[KafkaRecord | None]:
        first = milliseconds(self.start)
        step = (self.end - self.start) / timedelta(milliseconds=1) / lines_of(self.path)
        for number, row in enumerate(self._rows()):
            if isinstance(row, LeadRow):
                at = first + int((row.line - 1) * step)
                yield KafkaRecord(LEADS.name, 0, number, at, row.lead_id.encode(), row.value)
            else:
                yield None

    def is_one(self) -> bool:
        """Whether there is one lead and nothing else."""
        rows = list(islice(self._rows(), 2))
        return len(rows) == 1 and isinstance(rows[0], LeadRow)

    def _rows(self) -> Iterator[LeadRow | BadRow]:
        with self.path.open("rb") as stream:
            yield from read_leads(stream, name=self.path.name, form=self.form)


def lines_of(path: Path) -> int:
    """The lines of a file, one at least.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        blocks = iter(lambda: stream.read(BLOCK), b"")
        return max(sum(block.count(b"\n") for block in blocks), 1)


@dataclass(frozen=True)
class TopicLeads:
    """The leads that stand in a window of the topic, those of replays left out.

    Raises:
        KafkaException: the broker does not answer, or the window is no longer in the log.
    """

    bootstrap: str
    window: Window

    def __iter__(self) -> Iterator[KafkaRecord]:
        partitions = [self._records(place) for place in self.window.ranges if place.first < place.end]
        # Each partition's records are in the order of its producers' clocks, near enough.
        return heapq.merge(*partitions, key=attrgetter("timestamp"))

    def _records(self, place: OffsetRange) -> Iterator[KafkaRecord]:
        for batch in read_range(self.bootstrap, self.window.topic, place.partition, place.first, place.end):
            for message in batch:
                record = as_record(message)
                if not headers.run_of(record.headers):
                    yield record
