"""``contacts``: who the leads are. The only table with personal data; whoever is erased does not come back into it."""

from __future__ import annotations

from typing import Final

from schemas.events import LeadValidated
from warehouse.tables.body import event_body
from warehouse.tables.table import IN_TIME, RUN, Source, Table, is_text, own

NOT_ERASED: Final = (
    "lead_id NOT IN (SELECT lead_id FROM {database}.erased)"
    " AND NOT (person IN (SELECT person FROM {database}.erased_persons) AND received_at <= ("
    "SELECT CAST((groupArray(person), groupArray(until)), 'Map(String, DateTime64(3, \\'UTC\\'))')"
    " FROM (SELECT person, max(until) AS until FROM {database}.erased_persons GROUP BY person)"
    ")[person])"
)
"""The tombstones of :mod:`warehouse.erasing.tombstones`, looked at by the very statement that inserts."""

CONTACTS: Final = Table(
    "contacts",
    own("lead_id", "person", "received_at")
    | {
        "run": RUN,
        "first_name": "r.lead.first_name",
        "last_name": "r.lead.last_name",
        "phone": "ifNull(r.lead.phone, '')",
        "email": "ifNull(r.lead.email, '')",
        "zip": "r.lead.zip",
        "state": "r.lead.state",
        "fields": "r.lead.extra",
        "consent_text_hash": "ifNull(r.lead.consent.text_hash, '')",
        "consent_url": "ifNull(r.lead.consent.url, '')",
        "consent_ip": "ifNull(r.lead.consent.ip, '')",
        "consent_at": "r.lead.consent.at",
        "consent_sellers": "ifNull(r.lead.consent.sellers, [])",
        "trustedform_cert_url": "ifNull(r.lead.consent.trustedform_cert_url, '')",
        "jornaya_lead_id": "ifNull(r.lead.consent.jornaya_lead_id, '')",
        "test": "r.lead.test",
    },
    (Source(LeadValidated.TOPIC.name, LeadValidated, event_body, {}),),
    checks=(
        IN_TIME[0],
        is_text("person", "first_name", "last_name", "phone", "email", "zip", "state", "consent_text_hash"),
        is_text("consent_url", "consent_ip", "trustedform_cert_url", "jornaya_lead_id"),
        is_text("arrayStringConcat(mapKeys(fields), ' ')", "arrayStringConcat(mapValues(fields), ' ')"),
        is_text("arrayStringConcat(consent_sellers, ' ')"),
    ),
    only=NOT_ERASED,
)
