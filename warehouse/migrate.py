"""Migrations: numbered SQL files, applied once, in order, never changed afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from clickhouse_connect.driver.client import Client

from warehouse.errors import WarehouseError

STATEMENT: Final = "-- @stmt"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number and name, and its statements with ``{database}`` still open."""

    name: str
    statements: tuple[str, ...]
    checksum: str


def migrations() -> list[Migration]:
    """Every migration of the package, in order."""
    folder = resources.files("warehouse") / "migrations"
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            text = file.read_text()
            statements = tuple(part.strip() for part in text.split(STATEMENT)[1:])
            found.append(Migration(file.name[:-4], statements, hashlib.sha256(text.encode()).hexdigest()))
    return found


def migrate(client: Client, database: str) -> list[str]:
    """Create the database and apply what is missing; returns the names of the applied.

    Raises:
        WarehouseError: a migration that was applied has another content now.
    """
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {database}.schema_migrations"
        " (name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))"
        " ENGINE = ReplacingMergeTree(applied_at) ORDER BY name"
    )
    rows = client.query(f"SELECT name, checksum FROM {database}.schema_migrations FINAL").result_rows  # noqa: S608
    known = {str(name): str(checksum) for name, checksum in rows}
    applied = []
    for migration in migrations():
        checksum = known.get(migration.name)
        if checksum is None:
            for statement in migration.statements:
                client.command(statement.replace("{database}", database))
            client.insert(
                f"{database}.schema_migrations",
                [[migration.name, migration.checksum]],
                column_names=["name", "checksum"],
            )
            applied.append(migration.name)
        elif checksum != migration.checksum:
            raise WarehouseError(
                f"migration {migration.name} was applied with another content;"
                " restore the file and put the change in a new migration"
            )
    return applied
