"""A raw lead's identity, on which every reader of ``leads`` agrees: validation, the warehouse and a replay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas import headers
from schemas.codec import UndecodableError, decode_raw_lead
from schemas.identity import lead_id_at
from schemas.record import Record

LABEL: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""With a letter at least: digits alone may be a phone number."""


def label_of(text: str) -> str:
    """A vertical or source as typed if it looks like a name, else nothing: it might be personal data."""
    text = text.strip()
    return text if LABEL.fullmatch(text) else ""


@dataclass(frozen=True, slots=True)
class RawArrival:
    """A raw lead with its id: the header's (a replay or the intake), the producer's, or its place in the log.
    ``partition`` is the one that it came in, which a replay does not change."""

    fields: dict[str, str]
    lead_id: UUID
    lead_id_valid: bool
    run: int
    received_at: datetime
    traceparent: str | None
    partition: int = 0


def arrival_of(record: Record) -> RawArrival:
    """The raw lead in a record of ``leads``.

    Raises:
        UndecodableError: neither JSON nor Avro.
    """
    fields = decode_raw_lead(record.value).fields
    lead_id, valid = headers.lead_id_of(record.headers), True
    if lead_id is None and (text := fields.get("lead_id", "").strip()):
        try:
            lead_id = UUID(text)
        except ValueError:
            valid = False
    return RawArrival(
        fields=fields,
        lead_id=lead_id or lead_id_at(record.topic, record.partition, record.offset),
        lead_id_valid=valid,
        run=headers.run_of(record.headers),
        received_at=headers.received_at_of(record.headers, record.timestamp),
        traceparent=headers.traceparent_of(record.headers),
        partition=record.partition,
    )


def lead_id_of(record: Record) -> UUID:
    """The lead's id, of undecodable bytes too."""
    try:
        return arrival_of(record).lead_id
    except UndecodableError:
        return lead_id_by_place(record)


def lead_id_by_place(record: Record) -> UUID:
    """The lead of a record that cannot be read: the header's, or else its place's."""
    return headers.lead_id_of(record.headers) or lead_id_at(record.topic, record.partition, record.offset)
