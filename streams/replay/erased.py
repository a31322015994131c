"""Who is erased, as a replay asks it of a record: by the lead, by the person, and by what a raw lead says of itself.

A raw lead has no pseudonym yet, and one that was rejected was never in the warehouse. So whatever looks like a phone or
an email in its fields is taken for one, under whatever name it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas import topics
from schemas.codec import UndecodableError, decode
from schemas.events import LeadUnique, LeadValidated
from schemas.identity import person
from schemas.raw_lead import arrival_of, lead_id_of
from schemas.record import KafkaRecord
from streams.validation.contacts import parse_email, parse_phone
from streams.validation.folding import folded

_PHONE: Final = re.compile(r"(?<!\d)(?:\+?1[ .-]{0,2})?\(?[2-9]\d{2}\)?[ .-]{0,3}\d{3}[ .-]{0,3}\d{4}(?!\d)")
_EMAIL: Final = re.compile(r"[^\s\"'<>(),;:\\]{1,64}@[^\s\"'<>(),;:\\]+")
_NUMERIC: Final = re.compile(r"(?:[^A-Za-z\d]*\d){10,20}[^A-Za-z\d]*")
"""What may be a phone as a whole, however it is set."""
_LONGEST_EMAIL: Final = 320


@dataclass(frozen=True, slots=True)
class Erased:
    """The leads that are erased, and the persons with the moment until which their leads are."""

    leads: frozenset[UUID] = frozenset()
    persons: Mapping[str, datetime] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return bool(self.leads or self.persons)

    def has(self, record: KafkaRecord) -> bool:
        """Whether a record of a topic that can be replayed is about someone who is erased."""
        if not self:
            return False
        try:
            if record.topic == topics.LEADS.name:
                return self._has_raw(record)
            event = decode(record.topic, record.value)
        except UndecodableError:
            return lead_id_of(record) in self.leads
        assert isinstance(event, LeadValidated | LeadUnique)  # noqa: S101  # the other topics of a replay
        known = _pseudonyms(self.secret, event.lead.phone, event.lead.email)
        return event.lead_id in self.leads or self._names(event.received_at, event.person, *known)

    def _has_raw(self, record: KafkaRecord) -> bool:
        arrival = arrival_of(record)
        if arrival.lead_id in self.leads:
            return True
        return bool(self.persons) and any(
            self._names(arrival.received_at, *_pseudonyms(self.secret, phone, email))
            for text in arrival.fields.values()
            for phone, email in _identities(text)
        )

    def _names(self, received_at: datetime, *pseudonyms: str) -> bool:
        return any(
            (until := self.persons.get(pseudonym)) is not None and received_at <= until for pseudonym in pseudonyms
        )


def _pseudonyms(secret: bytes, phone: str | None, email: str | None) -> Iterator[str]:
    if phone:
        yield person(secret, phone=phone, email=None)
    if email:
        yield person(secret, phone=None, email=email)


def _identities(text: str) -> Iterator[tuple[str | None, str | None]]:
    """The phones and emails in a text, each in the form that validation gives it: the text as a whole, which is how
    validation reads it, and what stands in it, such as in nested JSON."""
    text = folded(text)
    if _NUMERIC.fullmatch(text):
        yield parse_phone(text), None
    for found in _PHONE.findall(text):
        yield parse_phone(found), None
    if "@" in text:
        if len(text) <= _LONGEST_EMAIL:
            yield None, parse_email(text)
        for found in _EMAIL.findall(text):
            yield None, parse_email(found.strip("."))
