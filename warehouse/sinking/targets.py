"""Every table that the sink writes, and the topics that they are made of."""

from __future__ import annotations

from typing import Final

from schemas import topics
from warehouse.rows import COLUMNS, LEAD_TOPICS, refused_row, row_of
from warehouse.tables.cap_ledger import CAP_LEDGER
from warehouse.tables.contacts import CONTACTS
from warehouse.tables.dead_letters import DEAD_LETTERS
from warehouse.tables.deliveries import DELIVERIES
from warehouse.tables.feedback import FEEDBACK
from warehouse.tables.releases import RELEASES
from warehouse.tables.routing_evaluations import ROUTING_EVALUATIONS
from warehouse.tables.target import Target

LEAD_EVENTS: Final = Target(
    "lead_events", COLUMNS, frozenset(LEAD_TOPICS), lambda record, content: (row_of(record, content),), refused_row
)
TARGETS: Final = (
    LEAD_EVENTS, CONTACTS, ROUTING_EVALUATIONS, DELIVERIES, FEEDBACK, DEAD_LETTERS, CAP_LEDGER, RELEASES,
)  # fmt: skip
SUNK_TOPICS: Final = tuple(
    spec.name for spec in topics.CATALOGUE if any(spec.name in target.topics for target in TARGETS)
)
"""All but the steps on the way to an event."""
