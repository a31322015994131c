"""``contacts``: who the leads are. The only table with personal data; whoever is erased does not come back into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.events import Consent, LeadValidated
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import run_of, target

COLUMNS: Final = (
    "lead_id", "run", "person", "received_at", "first_name", "last_name", "phone", "email", "zip", "state", "fields",
    "consent_text_hash", "consent_url", "consent_ip", "consent_at", "consent_sellers", "trustedform_cert_url",
    "jornaya_lead_id", "test",
)  # fmt: skip

NOT_ERASED: Final = (
    "lead_id NOT IN (SELECT lead_id FROM {database}.erased)"
    " AND NOT (person IN (SELECT person FROM {database}.erased_persons) AND received_at <= ("
    "SELECT CAST((groupArray(person), groupArray(until)), 'Map(String, DateTime64(3, \\'UTC\\'))')"
    " FROM (SELECT person, max(until) AS until FROM {database}.erased_persons GROUP BY person)"
    ")[person])"
)
"""The tombstones of :mod:`warehouse.erasing.tombstones`, looked at by the very statement that inserts."""


def _rows(record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, LeadValidated):
        return ()
    lead, consent = content.lead, content.lead.consent or Consent()
    row = {
        "lead_id": content.lead_id,
        "run": run_of(record, content),
        "person": content.person,
        "received_at": content.received_at,
        "first_name": lead.first_name,
        "last_name": lead.last_name,
        "phone": lead.phone or "",
        "email": lead.email or "",
        "zip": lead.zip,
        "state": lead.state,
        "fields": lead.extra,
        "consent_text_hash": consent.text_hash or "",
        "consent_url": consent.url or "",
        "consent_ip": consent.ip or "",
        "consent_at": consent.at,
        "consent_sellers": consent.sellers,
        "trustedform_cert_url": consent.trustedform_cert_url or "",
        "jornaya_lead_id": consent.jornaya_lead_id or "",
        "test": lead.test,
    }
    return (row,)


CONTACTS: Final = target("contacts", COLUMNS, [LeadValidated.TOPIC.name], _rows, only=NOT_ERASED)
