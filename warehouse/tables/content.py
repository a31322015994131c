"""What a record holds, read once for all the tables that it gives rows to."""

from __future__ import annotations

from schemas import topics
from schemas.codec import UndecodableError, decode
from schemas.headers import DeadLetter
from schemas.messages import Message
from schemas.raw_lead import RawArrival, arrival_of
from schemas.record import Record

Content = Message | RawArrival | DeadLetter | UndecodableError | ValueError
"""The topic's message, or why there is none."""


def content_of(record: Record) -> Content:
    """Read a record of any topic; never raises for what it holds."""
    try:
        if record.topic == topics.LEADS.name:
            return arrival_of(record)
        if record.topic == topics.DEAD_LETTERS.name:
            return DeadLetter.from_headers(record.headers)
        return decode(record.topic, record.value)
    except (UndecodableError, ValueError) as error:
        return error
