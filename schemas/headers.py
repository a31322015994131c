"""Record headers: their names, and what is written under them.

Dead letters keep the record's key and value; everything else about the failure is in headers, free of personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

Headers = tuple[tuple[str, bytes], ...]

LEAD_ID: Final = "leadline-lead-id"
RUN: Final = "leadline-run"
RECEIVED_AT: Final = "leadline-received-at"
TRACEPARENT: Final = "traceparent"

DLQ_TOPIC: Final = "dlq-origin-topic"
DLQ_PARTITION: Final = "dlq-origin-partition"
DLQ_OFFSET: Final = "dlq-origin-offset"
DLQ_TIMESTAMP: Final = "dlq-origin-timestamp"
DLQ_STAGE: Final = "dlq-stage"
DLQ_REASON: Final = "dlq-reason"
DLQ_DETAIL: Final = "dlq-detail"
DLQ_ATTEMPT: Final = "dlq-attempt"
DLQ_VERSION: Final = "dlq-component-version"

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS: Final = 9_999_999_999_999
"""The year 2286, the last that ClickHouse's DateTime64 holds whole. A producer may write any timestamp it likes."""


def read(headers: Iterable[tuple[str, bytes | None]] | None, name: str) -> str | None:
    """The last value of a header as text, or None when it is missing or not UTF-8."""
    found = None
    for key, value in headers or ():
        if key == name and value is not None:
            found = value
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError:
        return None


def run_of(headers: Iterable[tuple[str, bytes | None]] | None) -> int:
    """The replay's number; 0 is live traffic. A header that is no number counts as live."""
    text = read(headers, RUN)
    return int(text) if text is not None and text.isdecimal() and len(text) <= 9 else 0


def lead_id_of(headers: Iterable[tuple[str, bytes | None]] | None) -> UUID | None:
    """The lead's id as a replay or an intake states it."""
    text = read(headers, LEAD_ID)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None


def received_at_of(headers: Iterable[tuple[str, bytes | None]] | None, timestamp_ms: int) -> datetime:
    """When the raw record first arrived: its own timestamp, or what a replay carried over. UTC, whole milliseconds.

    A timestamp outside 1970 to 2286 counts as the nearer end.
    """
    text = read(headers, RECEIVED_AT)
    carried = text is not None and text.isdecimal() and len(text) <= len(str(LATEST_MS))
    milliseconds = int(text) if carried and text is not None else min(max(timestamp_ms, 0), LATEST_MS)
    return EPOCH + timedelta(milliseconds=milliseconds)


def traceparent_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """The trace that a record belongs to, by W3C Trace Context; None when there is none, or it is not well formed."""
    text = read(headers, TRACEPARENT)
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record is dead, and where it came from. ``detail`` never holds personal data."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    stage: str
    reason: str
    detail: str
    version: str
    lead_id: UUID
    run: int
    received_at_ms: int
    attempt: int = 1

    def headers(self) -> Headers:
        """The headers of the record on ``dead-letters``."""
        fields = {
            DLQ_TOPIC: self.topic,
            DLQ_PARTITION: self.partition,
            DLQ_OFFSET: self.offset,
            DLQ_TIMESTAMP: self.timestamp_ms,
            DLQ_STAGE: self.stage,
            DLQ_REASON: self.reason,
            DLQ_DETAIL: self.detail,
            DLQ_ATTEMPT: self.attempt,
            DLQ_VERSION: self.version,
            LEAD_ID: self.lead_id,
            RUN: self.run,
            RECEIVED_AT: self.received_at_ms,
        }
        return tuple((name, str(value).encode()) for name, value in fields.items())

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]] | None) -> DeadLetter:
        """Read back what :meth:`headers` wrote.

        Raises:
            ValueError: a header is missing or not of its type.
        """
        pairs = tuple(headers or ())

        def text(name: str) -> str:
            value = read(pairs, name)
            if value is None:
                raise ValueError(f"a dead letter needs the header {name}")
            return value

        return cls(
            topic=text(DLQ_TOPIC),
            partition=int(text(DLQ_PARTITION)),
            offset=int(text(DLQ_OFFSET)),
            timestamp_ms=int(text(DLQ_TIMESTAMP)),
            stage=text(DLQ_STAGE),
            reason=text(DLQ_REASON),
            detail=text(DLQ_DETAIL),
            version=text(DLQ_VERSION),
            lead_id=UUID(text(LEAD_ID)),
            run=int(text(RUN)),
            received_at_ms=int(text(RECEIVED_AT)),
            attempt=int(text(DLQ_ATTEMPT)),
        )
