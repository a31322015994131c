"""Every table that the sink writes, and the topics that they are made of."""

from __future__ import annotations

from typing import Final

from schemas import topics
from warehouse.tables.cap_ledger import CAP_LEDGER
from warehouse.tables.contacts import CONTACTS
from warehouse.tables.dead_letters import DEAD_LETTERS
from warehouse.tables.deliveries import DELIVERIES
from warehouse.tables.feedback import FEEDBACK
from warehouse.tables.lead_events import LEAD_EVENTS
from warehouse.tables.releases import RELEASES
from warehouse.tables.routing_evaluations import ROUTING_EVALUATIONS

TABLES: Final = (
    LEAD_EVENTS, CONTACTS, ROUTING_EVALUATIONS, DELIVERIES, FEEDBACK, CAP_LEDGER, RELEASES,
    # The last: what cannot be read is known by then.
    DEAD_LETTERS,
)  # fmt: skip
SUNK_TOPICS: Final = tuple(spec.name for spec in topics.CATALOGUE if any(spec.name in table.topics for table in TABLES))
"""All but the steps on the way to an event."""
