"""The certificate of an erasure: what was deleted, how that was verified, and what remains until when. It says nothing
of who it was but pseudonyms and ids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from clickhouse_connect.driver.client import Client
from pydantic import ValidationError

from schemas.topics import TopicSpec
from schemas.values import Frozen, Timestamp
from warehouse.erasing.people import FoundBy, Holding
from warehouse.erasing.tombstones import DURABLE

UNFINISHED: Final = datetime(1970, 1, 1, tzinfo=UTC)
VERIFIED: Final = (
    "no insert from before the tombstones runs, every active part was read and has no row of the person, no inactive"
    " part from before the mutation's end is left on any replica, and no part is detached"
)

ELSEWHERE: Final = (
    ("state folders of workers", "leads on hold, where LEADLINE_STATE is rocksdb, until it compacts them away"),
    ("backups", "copies that the operator made of ClickHouse's or Kafka's files"),
)


class Remainder(Frozen):
    """Where something of the person is still, and until when at the latest; None: that is the operator's to say."""

    where: str
    what: str
    until: Timestamp | None


class Certificate(Frozen):
    """What was erased. ``buyers`` were sent a lead of the person, and keep it by terms of their own."""

    id: UUID
    asked_at: Timestamp
    finished_at: Timestamp
    asked_by: str
    found_by: FoundBy
    persons: list[str]
    leads: list[UUID]
    rows_deleted: int
    parts_checked: int
    parts_removed: int
    verified: str = VERIFIED
    buyers: list[str]
    remains: list[Remainder]

    @property
    def topics_until(self) -> datetime:
        """When the last topic has dropped what it holds."""
        return max((one.until for one in self.remains if one.until is not None), default=self.asked_at)


class Begun(Frozen):
    """An erasure that was started: its number, when and by whom, and the rows that it found."""

    id: UUID
    asked_at: Timestamp
    asked_by: str
    rows: int


def remains(until: datetime, topics: Iterable[TopicSpec]) -> list[Remainder]:
    """What an erasure of all leads up to then does not reach."""
    kept = [
        Remainder(
            where=f"the topic {spec.name}",
            what=spec.meaning,
            until=until + timedelta(days=spec.gone_after_days) if spec.gone_after_days is not None else None,
        )
        for spec in topics
        if spec.personal_data
    ]
    return [*kept, *(Remainder(where=where, what=what, until=None) for where, what in ELSEWHERE)]


def persons_and_leads(client: Client, database: str, certificate: UUID) -> tuple[list[str], list[UUID]]:
    """Whom an erasure has named."""
    tables = ("DISTINCT person", "erased_persons"), ("DISTINCT lead_id", "erased")
    persons, leads = (
        [
            row[0]
            for row in client.query(
                f"SELECT {what} FROM {database}.{table} WHERE certificate = {{id:UUID}} ORDER BY 1",  # noqa: S608
                parameters={"id": certificate},
            ).result_rows
        ]
        for what, table in tables
    )
    return persons, leads


def buyers(client: Client, database: str, certificate: UUID) -> list[str]:
    """Who was sent, or may have been sent, a lead of the erasure."""
    sql = (
        f"SELECT DISTINCT buyer FROM {database}.lead_events"  # noqa: S608
        f" WHERE lead_id IN (SELECT lead_id FROM {database}.erased WHERE certificate = {{id:UUID}})"
        " AND stage = 'attempt' AND outcome != 'skipped' AND buyer != '' ORDER BY buyer"
    )
    return [str(row[0]) for row in client.query(sql, parameters={"id": certificate}).result_rows]


def note(
    client: Client, database: str, begun: Begun, found_by: FoundBy, holding: Holding, done: Certificate | None
) -> None:
    """Write the state of an erasure: started, or finished with its certificate."""
    row = {
        "id": begun.id,
        "state": "started" if done is None else "finished",
        "asked_at": begun.asked_at,
        "finished_at": UNFINISHED if done is None else done.finished_at,
        "asked_by": begun.asked_by,
        "found_by": found_by.value,
        "leads": len(holding.leads if done is None else done.leads),
        "rows": begun.rows if done is None else done.rows_deleted,
        "parts": 0 if done is None else done.parts_checked + done.parts_removed,
        "topics_until": UNFINISHED if done is None else done.topics_until,
        "certificate": "" if done is None else done.model_dump_json(),
    }
    client.insert(f"{database}.erasures", [list(row.values())], column_names=list(row), settings=DURABLE)


def earlier(
    client: Client, database: str, holding: Holding, lead_id: UUID | None
) -> tuple[Begun | None, Certificate | None]:
    """The erasure of these people that was started and not finished, and the last one that was finished."""
    rows = client.query(
        f"SELECT id, state, asked_at, asked_by, rows, certificate FROM {database}.erasures FINAL"  # noqa: S608
        f" WHERE id IN (SELECT certificate FROM {database}.erased_persons WHERE person IN {{persons:Array(String)}}"
        f" UNION ALL SELECT certificate FROM {database}.erased WHERE lead_id IN {{leads:Array(UUID)}})"
        " ORDER BY asked_at",
        parameters={"persons": list(holding.persons), "leads": [] if lead_id is None else [lead_id]},
    ).result_rows
    begun = done = None
    for number, state, asked_at, asked_by, found, text in rows:
        if state == "started":
            begun = Begun(id=number, asked_at=asked_at.replace(tzinfo=UTC), asked_by=asked_by, rows=found)
        else:
            done = _read(text)
    return begun, done


def _read(text: str) -> Certificate | None:
    try:
        return Certificate.model_validate_json(text)
    except ValidationError:  # of another version
        return None
