"""A record's Avro body for ClickHouse, which reads it.

Here only its schema is looked at, unless ClickHouse could not read the batch or may have tried before.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import fastavro
from pydantic import BaseModel

from schemas import topics
from schemas.avro_schema import schema_of
from schemas.codec import PREFIX, UndecodableError, decode, encode, prefix_of
from schemas.headers import DeadLetter
from schemas.messages import BY_TOPIC
from schemas.record import Record

NOT_EVENT: Final = "value.not_event"
"""A dead letter that does not say what it is."""
REFUSED: Final = "value.refused"
"""A record that can be read, and that the table does not take for what it holds."""


def fault_of(record: Record, *, thoroughly: bool = False) -> str:
    """Why a record cannot be read, empty where it can. A raw lead always can: validation says what is wrong with it.

    Without ``thoroughly`` a value of the latest schema is taken for what it says it is: ClickHouse decodes it, and
    refuses it where it lied.
    """
    if record.topic == topics.LEADS.name:
        return ""
    try:
        if record.topic == topics.DEAD_LETTERS.name:
            DeadLetter.from_headers(record.headers)
        elif thoroughly or record.value is None or not record.value.startswith(_prefix(record.topic)):
            decode(record.topic, record.value)
    except UndecodableError as error:
        return error.reason.value
    except ValueError:
        return NOT_EVENT
    return ""


def event_body(record: Record) -> bytes:
    """The body of an event as its stage wrote it; one of an older schema is written anew.

    Raises:
        UndecodableError: :func:`fault_of` has something to say.
    """
    value = record.value
    if value is None or not value.startswith(_prefix(record.topic)):
        value = encode(decode(record.topic, value))
    return value[PREFIX.size :]


def made_body(model: type[BaseModel], values: Mapping[str, Any]) -> bytes:
    """The body of what is made of a record here."""
    written = io.BytesIO()
    fastavro.schemaless_writer(written, _schema(model), values)
    return written.getvalue()


def made_of(model: type[BaseModel], values: Callable[[Record], Mapping[str, Any]]) -> Callable[[Record], bytes]:
    """A source's ``body`` that is made of each record."""
    return lambda record: made_body(model, values(record))


@cache
def _prefix(topic: str) -> bytes:
    return prefix_of(BY_TOPIC[topic])


@cache
def _schema(model: type[BaseModel]) -> Any:
    return fastavro.parse_schema(schema_of(model))
