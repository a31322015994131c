"""Rows of ``contacts`` deleted, and the proof of it: not that a query finds nothing, but that the files are gone.

A mutation writes every part anew that has such a row; the part before it stays on the disk, inactive, until the engine
cleans up. So what was inactive when the mutation was done is watched until none of it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from clickhouse_connect.driver.client import Client

from warehouse.errors import WarehouseError
from warehouse.layout import Layout

TABLE: Final = "contacts"
POLL_SECONDS: Final = 0.2
NO_MONTH: Final = "190001"
"""A partition before any that there can be."""

Part = tuple[str, str]
"""Its replica's host, and its name."""


class UnfinishedError(WarehouseError):
    """Not all is proven yet. Tombstones are there, so nothing comes back; run the same again."""


@dataclass(frozen=True, slots=True)
class Proof:
    """``checked`` parts were read whole and have no row of the person, ``removed`` are off the disk."""

    checked: int
    removed: int


class Contacts:
    """The rows of ``persons`` that were received or came until a moment, and the parts with them, on every replica.
    There may be no persons: a lead that was rejected has none.

    Every step ends by ``deadline`` (of :func:`time.monotonic`) or raises UnfinishedError. ``told`` hears what is being
    waited for, and how much of it there still is.
    """

    def __init__(
        self,
        client: Client,
        layout: Layout,
        persons: Sequence[str],
        until: datetime,
        *,
        deadline: float,
        told: Callable[[str, int], None],
    ) -> None:
        self._client, self._layout = client, layout
        names = ", ".join(f"'{person}'" for person in persons) or "NULL"
        moment = f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        # Written out, because a replica makes the mutation by itself. They are pseudonyms: hexadecimal digits.
        before = f"<= toDateTime64('{moment}', 3, 'UTC')"
        # What is there goes, also if a producer's clock was ahead.
        self._where = f"person IN ({names}) AND (received_at {before} OR ingested_at {before})"
        self._deadline, self._told = deadline, told

    def wait_for_inserts(self) -> None:
        """Wait for the inserts that run now: they may have begun before there was a tombstone."""
        running = self._inserts()
        self._poll("inserts that began before", lambda: len(running & self._inserts()))

    def delete(self) -> Proof:
        """Delete the rows, and wait until their bytes are gone.

        Raises:
            UnfinishedError: the time is over; a part is detached; or rows came all the same.
        """
        if self.rows():
            self._client.command(
                f"ALTER TABLE {self._layout.database}.{TABLE} DELETE WHERE {self._where}",
                settings={"mutations_sync": 0},  # waited for below, where it can be told of and be over in time
            )
        self._poll("mutations", self._mutations)
        if rows := self.rows():
            raise UnfinishedError(f"{rows} rows came while they were deleted: does a sink of an older version run?")
        if detached := self._count("detached_parts"):
            raise UnfinishedError(
                f"{TABLE} has {detached} detached parts, which nobody can read: drop them or attach them"
            )
        old = self._parts(active=False)
        # New ones come with every merge, and have nothing of the person.
        self._poll("old parts", lambda: len(old & self._cleaned()))
        return Proof(checked=len(self._parts(active=True)), removed=len(old))

    def leads(self) -> list[UUID]:
        """Whose rows there are."""
        sql = f"SELECT DISTINCT lead_id FROM {self._source()} WHERE {self._where}"  # noqa: S608
        return [row[0] for row in self._client.query(sql).result_rows]

    def rows(self) -> int:
        """How many rows there are, read from the parts themselves: deletions that only hide rows do not count."""
        (row,) = self._client.query(
            f"SELECT count() FROM {self._source()} WHERE {self._where}",  # noqa: S608  # names of ours
            settings={"apply_deleted_mask": 0, "use_skip_indexes": 0},
        ).result_rows
        return int(row[0])

    def _source(self) -> str:
        table = f"{self._layout.database}.{TABLE}"
        return f"clusterAllReplicas('{self._layout.cluster}', {table})" if self._layout.cluster else table

    def _system(self, table: str) -> str:
        cluster = self._layout.cluster
        return f"clusterAllReplicas('{cluster}', system.{table})" if cluster else f"system.{table}"

    def _inserts(self) -> set[str]:
        sql = (
            f"SELECT concat(hostName(), query_id, initial_query_id) FROM {self._system('processes')}"  # noqa: S608
            " WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND positionCaseInsensitive(query, {table:String}) > 0"
        )
        return {str(row[0]) for row in self._ask(sql)}

    def _mutations(self) -> int:
        sql = (
            f"SELECT latest_fail_reason, parts_to_do FROM {self._system('mutations')}"  # noqa: S608
            " WHERE database = {database:String} AND table = {table:String} AND NOT is_done AND NOT is_killed"
        )
        waiting = self._ask(sql)
        failed = next((str(reason) for reason, _ in waiting if reason), None)
        if failed is not None:
            raise UnfinishedError(f"the mutation fails: {failed[:300]}")
        return max(sum(int(parts) for _, parts in waiting), len(waiting))

    def _cleaned(self) -> set[Part]:
        # An idle engine looks for old parts every half minute; when a partition is dropped it does so at once. On a
        # cluster that would be a task for every replica, which has a thread for it anyway.
        if self._layout.cluster is None:
            self._client.command(f"ALTER TABLE {self._layout.database}.{TABLE} DROP PARTITION ID '{NO_MONTH}'")
        return self._parts(active=False)

    def _parts(self, *, active: bool) -> set[Part]:
        # By naming _state, also those are listed that are being deleted at this moment.
        sql = (
            f"SELECT hostName(), name FROM {self._system('parts')}"  # noqa: S608
            " WHERE database = {database:String} AND table = {table:String}"
            f" AND {'' if active else 'NOT '}active AND _state != ''"
        )
        return {(str(host), str(name)) for host, name in self._ask(sql)}

    def _count(self, system_table: str) -> int:
        sql = (
            f"SELECT count() FROM {self._system(system_table)}"  # noqa: S608
            " WHERE database = {database:String} AND table = {table:String}"
        )
        return int(self._ask(sql)[0][0])

    def _ask(self, sql: str) -> Sequence[Sequence[Any]]:
        names = {"database": self._layout.database, "table": TABLE}
        rows: Sequence[Sequence[Any]] = self._client.query(sql, parameters=names).result_rows
        return rows

    def _poll(self, what: str, left: Callable[[], int]) -> None:
        while n := left():
            self._told(what, n)
            if time.monotonic() > self._deadline:
                raise UnfinishedError(f"the time is over, and there are {n} {what} still")
            time.sleep(POLL_SECONDS)
