"""Bytes to events and back: Avro in Confluent wire format (a zero byte, a 4-byte schema id, the Avro body).

Without a schema registry the ids come from the repository's own catalogue, ``schemas/avro/catalogue.json``.
Decoding resolves any released version to the model of today.
"""

from __future__ import annotations

import io
import json
import struct
from functools import cache
from importlib import resources
from typing import Any, Final

import fastavro
from pydantic import BaseModel, ValidationError

from schemas.avro_schema import schema_of, subject
from schemas.events import RawLead
from schemas.messages import BY_TOPIC, MODELS, Message
from schemas.reasons import Reason

MAGIC: Final = 0
PREFIX: Final = struct.Struct(">bI")
AS_TYPED: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


class UndecodableError(Exception):
    """Bytes that are no event. ``reason`` says why; ``detail`` names a rule, never a value."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


@cache
def _catalogue() -> dict[int, tuple[str, int]]:
    text = (resources.files("schemas") / "avro" / "catalogue.json").read_text()
    return {int(number): (name, version) for number, (name, version) in json.loads(text).items()}


@cache
def schema_by_id(number: int) -> tuple[str, Any]:
    """The subject and the parsed writer schema of an id.

    Raises:
        UndecodableError: the catalogue has no such id.
    """
    try:
        name, version = _catalogue()[number]
    except KeyError:
        raise UndecodableError(Reason.SCHEMA_UNKNOWN, f"schema id {number} is not in the catalogue") from None
    text = (resources.files("schemas") / "avro" / name / f"v{version:04}.avsc").read_text()
    return name, fastavro.parse_schema(json.loads(text))


@cache
def _writer(model: type[BaseModel]) -> tuple[bytes, Any]:
    number = max(n for n, (name, _) in _catalogue().items() if name == subject(model))
    return PREFIX.pack(MAGIC, number), schema_by_id(number)[1]


@cache
def _reader(model: type[BaseModel]) -> Any:
    return fastavro.parse_schema(schema_of(model))


def prefix_of(model: type[BaseModel]) -> bytes:
    """What a value begins with that is written by the latest released schema of a model's subject."""
    return _writer(model)[0]


def encode(message: Message) -> bytes:
    """The wire bytes of an event, by the latest released schema of its subject."""
    prefix, schema = _writer(type(message))
    buffer = io.BytesIO()
    buffer.write(prefix)
    fastavro.schemaless_writer(buffer, schema, message.model_dump())
    return buffer.getvalue()


def decode(topic: str, value: bytes | None) -> Message:
    """The event in a record's value, as the model of its topic.

    Raises:
        UndecodableError: the value is not what the topic holds.
    """
    model = BY_TOPIC[topic]
    if not value:
        raise UndecodableError(Reason.VALUE_EMPTY)
    if len(value) < PREFIX.size or value[0] != MAGIC:
        raise UndecodableError(Reason.SCHEMA_MISMATCH, "not in Confluent wire format")
    name, schema = schema_by_id(PREFIX.unpack_from(value)[1])
    if name != subject(model):
        raise UndecodableError(Reason.SCHEMA_MISMATCH, f"schema of {name}")
    buffer = io.BytesIO(value)
    buffer.seek(PREFIX.size)
    try:
        content = fastavro.schemaless_reader(buffer, schema, _reader(model))
        if buffer.tell() != len(value):
            raise UndecodableError(Reason.SCHEMA_MISMATCH, "bytes after the record")
        return model.model_validate(content)
    except ValidationError as error:
        raise UndecodableError(Reason.SCHEMA_MISMATCH, f"{error.error_count()} invalid fields") from None
    except UndecodableError:
        raise
    except Exception as error:  # fastavro raises many types on damaged bytes
        raise UndecodableError(Reason.SCHEMA_MISMATCH, type(error).__name__) from None


def decode_raw_lead(value: bytes | None) -> RawLead:
    """A record of ``leads``: a JSON object, or Avro. Fields become text exactly as typed: numbers keep their digits,
    nested values stay JSON, nulls are absent.

    Raises:
        UndecodableError: neither.
    """
    if not value:
        raise UndecodableError(Reason.VALUE_EMPTY)
    if value[0] == MAGIC:
        message = decode(RawLead.TOPIC.name, value)
        assert isinstance(message, RawLead)  # noqa: S101  # decode returns the topic's model
        return message
    try:
        document = AS_TYPED.decode(value.decode("utf-8-sig"))
        if not isinstance(document, dict):
            raise UndecodableError(Reason.VALUE_NOT_OBJECT)
        fields = {_text(name): _text(field) for name, field in document.items() if field is not None}
        return RawLead.trusted({"fields": fields})
    except UnicodeDecodeError:
        raise UndecodableError(Reason.VALUE_NOT_UTF8) from None
    except RecursionError:
        raise UndecodableError(Reason.VALUE_TOO_DEEP) from None
    except ValueError:
        raise UndecodableError(Reason.VALUE_NOT_JSON) from None


def _text(field: object) -> str:
    # A lone surrogate (a JSON escape such as \ud800) is no text that Avro or ClickHouse could hold.
    text = field if isinstance(field, str) else json.dumps(field, ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def warm_up() -> None:
    """Parse every schema now, so that the first record does not wait for it."""
    for model in MODELS:
        _writer(model)
        _reader(model)
