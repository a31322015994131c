"""What the stages are told of an erasure: whoever keeps one of the person's leads lets go of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from clickhouse_connect.driver.client import Client

from schemas.events import Feedback, FeedbackKind
from schemas.identity import Step, event_id

ATTEMPT: Final = 2**16 - 1
"""Of an erasure's event, so that none of a buyer's takes its place."""


def signals(client: Client, database: str, persons: Sequence[str], at: datetime) -> list[Feedback]:
    """An event of ``feedback`` for each lead that has a contact under these pseudonyms, in its person's key."""
    found = client.query(
        f"SELECT lead_id, any(person), min(received_at) FROM {database}.contacts"  # noqa: S608  # a checked setting
        " WHERE person IN {persons:Array(String)} GROUP BY lead_id ORDER BY lead_id",
        parameters={"persons": list(persons)},
        settings={"log_queries": 0},
    ).result_rows
    return [
        Feedback(
            event_id=event_id(lead_id, Step.FEEDBACK, attempt=ATTEMPT),
            lead_id=lead_id,
            attempt=ATTEMPT,
            received_at=received_at.replace(tzinfo=UTC),
            occurred_at=at,
            release="",
            vertical="",
            source="",
            person=person,
            campaign="",
            buyer="",
            kind=FeedbackKind.ERASURE,
            reason=None,
            amount=None,
        )
        for lead_id, person, received_at in found
    ]
