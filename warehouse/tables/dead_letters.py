"""``dead_letters``: records that nobody could read or decide about, and where they are to be found.

What a stage gave up is on the topic ``dead-letters``; of other topics it is what the sink itself cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas import headers, topics
from schemas.codec import UndecodableError
from schemas.headers import DeadLetter
from schemas.identity import lead_id_at
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import moment, target

COLUMNS: Final = (
    "lead_id", "run", "stage", "reason", "detail", "origin_topic", "origin_partition", "origin_offset", "origin_at",
    "attempt", "version", "received_at", "occurred_at",
)  # fmt: skip
SINK: Final = "sink"
"""The stage of what the sink could not read."""
NOT_READ: Final = (topics.LEADS, topics.CLAIMS)
"""Validation gives up what is no raw lead; claims are not sunk."""


def _rows(record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, UndecodableError | ValueError):
        return (_unreadable(record, content),)
    if not isinstance(content, DeadLetter):
        return ()
    row = {
        "lead_id": content.lead_id,
        "run": headers.run_of(record.headers),
        "stage": content.stage,
        "reason": content.reason,
        "detail": content.detail,
        "origin_topic": content.topic,
        # Headers are anybody's: a number that no log has is told as -1.
        "origin_partition": content.partition if 0 <= content.partition < 2**31 else -1,
        "origin_offset": content.offset if 0 <= content.offset < 2**63 else -1,
        "origin_at": moment(content.timestamp_ms),
        "attempt": content.attempt if 0 <= content.attempt < 2**16 else 0,
        "version": content.version,
        "received_at": moment(content.received_at_ms),
        "occurred_at": moment(record.timestamp),
    }
    return (row,)


def _unreadable(record: Record, error: Exception) -> Mapping[str, Any]:
    at = headers.received_at_of(record.headers, record.timestamp)
    return {
        "lead_id": headers.lead_id_of(record.headers) or lead_id_at(record.topic, record.partition, record.offset),
        "run": headers.run_of(record.headers),
        "stage": SINK,
        "reason": error.reason.value if isinstance(error, UndecodableError) else "value.not_event",
        "detail": "",
        "origin_topic": record.topic,
        "origin_partition": record.partition,
        "origin_offset": record.offset,
        "origin_at": moment(record.timestamp),
        "attempt": 1,
        "version": "",
        "received_at": at,
        "occurred_at": moment(record.timestamp),
    }


DEAD_LETTERS: Final = target(
    "dead_letters", COLUMNS, [spec.name for spec in topics.CATALOGUE if spec not in NOT_READ], _rows
)
