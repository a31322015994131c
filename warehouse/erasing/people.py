"""Who is asked for: from a lead, a phone or an email to pseudonyms, and to what ``contacts`` holds under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from clickhouse_connect.driver.client import Client

from schemas.identity import person
from warehouse.errors import WarehouseError

UNLOGGED: Final = {"log_queries": 0}
"""A phone that is looked for must not stay in a server's log of queries."""


class FoundBy(StrEnum):
    """What is known of the person."""

    LEAD = "lead"
    PHONE = "phone"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a person. ``value`` is personal data unless it is a lead's id: a phone in E.164 or an email in
    lower case; ``pseudonym`` is None for a lead's id."""

    found_by: FoundBy
    value: str = field(repr=False)
    pseudonym: str | None = None

    @classmethod
    def of_lead(cls, lead_id: UUID) -> Identity:
        """The person behind a lead."""
        return cls(FoundBy.LEAD, str(lead_id))

    @classmethod
    def of_phone(cls, secret: bytes, phone: str) -> Identity:
        """The person with a phone, in E.164."""
        return cls(FoundBy.PHONE, phone, person(secret, phone=phone, email=None))

    @classmethod
    def of_email(cls, secret: bytes, email: str) -> Identity:
        """The person with an email, in lower case."""
        return cls(FoundBy.EMAIL, email, person(secret, phone=None, email=email))


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of a person: the pseudonyms, the leads, and ``rows`` of ``contacts`` between two arrivals. ``rows``
    counts what replays have replaced, too. ``leads`` has one that never had a row, if it was asked for."""

    persons: tuple[str, ...]
    leads: tuple[UUID, ...]
    rows: int
    first: datetime | None
    last: datetime | None


def check_key(client: Client, database: str, secret: bytes) -> None:
    """See that pseudonyms are made with this key, by the latest contact.

    Raises:
        WarehouseError: they are made with another.
    """
    latest = f"SELECT phone, person FROM {database}.contacts WHERE phone != '' ORDER BY ingested_at DESC LIMIT 1"  # noqa: S608
    for phone, pseudonym in _ask(client, latest, {}):
        if person(secret, phone=phone, email=None) != pseudonym:
            raise WarehouseError(
                "the pseudonyms in the warehouse were made with another key: set LEADLINE_PSEUDONYM_KEY, or"
                " LEADLINE_HOME, to what the stages run with"
            )


def find(client: Client, database: str, identity: Identity) -> Holding:
    """What the warehouse holds of a person: every row under the pseudonyms that the identity leads to."""
    persons = _persons(client, database, identity)
    leads: dict[UUID, None] = {}
    if identity.found_by is FoundBy.LEAD and _is_known(client, database, identity.value):
        leads[UUID(identity.value)] = None
    rows, first, last = 0, None, None
    if persons:
        under = {"persons": list(persons)}
        (found,) = _ask(
            client,
            f"SELECT count(), min(received_at), max(received_at) FROM {database}.contacts"  # noqa: S608
            " WHERE person IN {persons:Array(String)}",
            under,
        )
        rows = int(found[0])
        if rows:
            first, last = _utc(found[1]), _utc(found[2])
        of_them = f"SELECT DISTINCT lead_id FROM {database}.contacts WHERE person IN {{persons:Array(String)}}"  # noqa: S608
        leads |= {lead_id: None for (lead_id,) in _ask(client, of_them, under)}
    return Holding(persons, tuple(leads), rows, first, last)


def _persons(client: Client, database: str, identity: Identity) -> tuple[str, ...]:
    """The pseudonyms: the identity's own first, and those that it stands beside in a row."""
    column, kind = ("lead_id", "UUID") if identity.found_by is FoundBy.LEAD else (identity.found_by.value, "String")
    found = _ask(
        client,
        f"SELECT DISTINCT person FROM {database}.contacts WHERE {column} = {{value:{kind}}}",  # noqa: S608
        {"value": identity.value},
    )
    beside = [str(row[0]) for row in found]
    own = () if identity.pseudonym is None else (identity.pseudonym,)
    return tuple(dict.fromkeys((*own, *beside)))


def _is_known(client: Client, database: str, lead_id: str) -> bool:
    """Whether anything happened to a lead: one that was rejected has no contact, but topics have it."""
    sql = f"SELECT count() FROM {database}.lead_events WHERE lead_id = {{value:UUID}}"  # noqa: S608
    return bool(_ask(client, sql, {"value": lead_id})[0][0])


def _ask(client: Client, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters, settings=UNLOGGED).result_rows
    return rows


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
