"""Where the warehouse's tables are, and how statements are written for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clickhouse_connect.driver.client import Client

from warehouse.errors import WarehouseError

_ENGINE: Final = re.compile(r"\{engine:([^{}]*)\}")
WINDOW_BLOCKS: Final = 10_000
WINDOW_SECONDS: Final = 7 * 86_400


class Backend(StrEnum):
    """What answers: the engine in our own process, or a ClickHouse server."""

    EMBEDDED = "embedded"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tables are: with a ``cluster`` they are replicated on it."""

    database: str
    cluster: str | None
    backend: Backend

    def render(self, sql: str) -> str:
        """A statement without placeholders."""
        replicated = "Replicated" if self.cluster else ""
        sql = _ENGINE.sub(lambda match: replicated + match[1], sql)
        window = (
            f"replicated_deduplication_window = {WINDOW_BLOCKS}, "
            f"replicated_deduplication_window_seconds = {WINDOW_SECONDS}"
            if self.cluster
            else f"non_replicated_deduplication_window = {WINDOW_BLOCKS}"
        )
        on_cluster = f" ON CLUSTER `{self.cluster}`" if self.cluster else ""
        for placeholder, value in (("database", self.database), ("on_cluster", on_cluster), ("window", window)):
            sql = sql.replace(f"{{{placeholder}}}", value)
        return sql


def backend_of(client: Client) -> Backend:
    """Which of the two a client talks to: the embedded engine has a function of its own name."""
    (row,) = client.query("SELECT count() FROM system.functions WHERE name = 'chdb'").result_rows
    return Backend.EMBEDDED if row[0] else Backend.SERVER


def layout_of(client: Client, database: str, cluster: str | None = None) -> Layout:
    """Where a client's tables are.

    Raises:
        WarehouseError: a cluster is asked of the embedded engine.
    """
    backend = backend_of(client)
    if cluster is not None and backend is Backend.EMBEDDED:
        raise WarehouseError(
            "LEADLINE_CLICKHOUSE_CLUSTER is for a ClickHouse server; the embedded one is alone: unset it"
        )
    return Layout(database, cluster, backend)
