"""Erasing a person from the warehouse: tombstones, deletion, proof, certificate.

In this order, so that it can be cut off anywhere: once the tombstones are there nothing comes back, and who runs the
same again goes on under the same certificate. Mutations are counted by the engine; what is deleted is proven by parts.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from clickhouse_connect.driver.client import Client

from schemas.headers import EPOCH
from schemas.topics import TopicSpec
from warehouse.erasing import certificate as certificates
from warehouse.erasing import tombstones
from warehouse.erasing.certificate import Begun, Certificate
from warehouse.erasing.parts import Contacts
from warehouse.erasing.people import FoundBy, Holding, Identity, find
from warehouse.layout import layout_of

WAIT_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A person who was asked for. ``begun`` is an erasure of them that was cut off, ``done`` the last one that was
    not."""

    identity: Identity
    holding: Holding
    begun: Begun | None
    done: Certificate | None

    @property
    def anything(self) -> bool:
        """Whether there is something to do: rows, a lead without rows, or an erasure that was cut off."""
        return bool(self.holding.rows or self.begun or (self.holding.leads and not self.done))


def ask(client: Client, database: str, identity: Identity) -> Asked:
    """What there is to erase. Nothing is changed."""
    holding = find(client, database, identity)
    lead_id = UUID(identity.value) if identity.found_by is FoundBy.LEAD else None
    begun, done = certificates.earlier(client, database, holding, lead_id)
    return Asked(identity, holding, begun, done)


def erase(
    client: Client,
    database: str,
    asked: Asked,
    topics: Sequence[TopicSpec],
    *,
    cluster: str | None = None,
    asked_by: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
    told: Callable[[str, int], None] = lambda *_: None,
) -> Certificate:
    """Erase a person; ``topics`` are those of which the certificate says until when they hold something.

    Raises:
        UnfinishedError: not all is proven within ``wait_seconds``; run the same again.
        WarehouseError: another ClickHouse error.
    """
    layout = layout_of(client, database, cluster)
    (clock,) = client.query("SELECT toUnixTimestamp64Milli(now64(3))").result_rows
    now = EPOCH + timedelta(milliseconds=int(clock[0]))
    begun = asked.begun or Begun(
        id=uuid4(), asked_at=now, asked_by=asked_by or getpass.getuser(), rows=asked.holding.rows
    )
    begun = begun.model_copy(update={"rows": max(begun.rows, asked.holding.rows)})
    certificates.note(client, database, begun, asked.identity.found_by, asked.holding, None)
    tombstones.write(
        client,
        layout,
        begun.id,
        persons=asked.holding.persons,
        until=now,
        leads=asked.holding.leads,
        at=begun.asked_at,
    )
    # An erasure that was cut off may have named more.
    persons, _ = certificates.persons_and_leads(client, database, begun.id)
    contacts = Contacts(client, layout, persons, now, deadline=time.monotonic() + wait_seconds, told=told)
    contacts.wait_for_inserts()
    tombstones.write(client, layout, begun.id, leads=contacts.leads(), at=begun.asked_at)
    proof = contacts.delete()
    persons, leads = certificates.persons_and_leads(client, database, begun.id)
    done = Certificate(
        id=begun.id,
        asked_at=begun.asked_at,
        finished_at=datetime.now(UTC),
        asked_by=begun.asked_by,
        found_by=asked.identity.found_by,
        persons=persons,
        leads=leads,
        rows_deleted=begun.rows,
        parts_checked=proof.checked,
        parts_removed=proof.removed,
        buyers=certificates.buyers(client, database, begun.id),
        remains=certificates.remains(now, topics),
    )
    certificates.note(client, database, begun, asked.identity.found_by, asked.holding, done)
    return done
