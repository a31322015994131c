"""``dead_letters``: records that nobody could read or decide about, and where they are to be found.

What a stage gave up is on the topic ``dead-letters``; of other topics it is what the sink itself cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from schemas import headers, topics
from schemas.headers import DeadLetter
from schemas.raw_lead import lead_id_by_place
from schemas.record import Record
from schemas.values import Frozen, Timestamp
from warehouse.tables.body import made_body, made_of
from warehouse.tables.lead_events import in_log, moment
from warehouse.tables.table import ATTEMPT, TOPIC, Source, Table, Unreadable, is_text, own

SINK: Final = "sink"
"""The stage of what the sink could not read."""
NOT_READ: Final = (topics.LEADS, topics.CLAIMS)
"""Validation gives up what is no raw lead; claims are not sunk."""


class Letter(Frozen):
    """A row, but for where it comes from."""

    topic: str
    lead_id: UUID
    stage: str
    reason: str
    detail: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_at: Timestamp
    attempt: int
    version: str
    received_at: Timestamp
    occurred_at: Timestamp


def _letter(record: Record) -> Mapping[str, Any]:
    letter = DeadLetter.from_headers(record.headers)
    return {
        "topic": record.topic,
        "lead_id": letter.lead_id,
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": letter.detail,
        "origin_topic": letter.topic,
        "origin_partition": in_log(letter.partition, 31),
        "origin_offset": in_log(letter.offset, 63),
        "origin_at": moment(letter.timestamp_ms),
        "attempt": letter.attempt if 0 <= letter.attempt < 2**16 else 0,
        "version": letter.version,
        "received_at": moment(letter.received_at_ms),
        "occurred_at": moment(record.timestamp),
    }


def _unreadable(record: Record, reason: str) -> bytes:
    told = {
        "topic": record.topic,
        "lead_id": lead_id_by_place(record),
        "stage": SINK,
        "reason": reason,
        "detail": "",
        "origin_topic": record.topic,
        "origin_partition": record.partition,
        "origin_offset": record.offset,
        "origin_at": moment(record.timestamp),
        "attempt": 1,
        "version": "",
        "received_at": headers.received_at_of(record.headers, record.timestamp),
        "occurred_at": moment(record.timestamp),
    }
    return made_body(Letter, told)


DEAD_LETTERS: Final = Table(
    "dead_letters",
    own(
        "lead_id",
        "stage",
        "reason",
        "detail",
        "origin_topic",
        "origin_partition",
        "origin_offset",
        "origin_at",
        "version",
        "received_at",
        "occurred_at",
    )
    | {"run": "toUInt32(_run)", "attempt": ATTEMPT},
    (Source(topics.DEAD_LETTERS.name, Letter, made_of(Letter, _letter), {}),),
    Unreadable(
        frozenset(spec.name for spec in topics.CATALOGUE if spec not in NOT_READ),
        Letter,
        _unreadable,
        {TOPIC: "e.topic"},
    ),
    checks=(is_text("stage", "reason", "detail", "origin_topic", "version"),),
)
