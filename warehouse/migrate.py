"""Migrations: numbered SQL files, applied once, in order, never changed afterwards; then the views, as they are.

A file has statements, each after a line ``-- @stmt``; what follows on that line says how it is taken:

- ``danger=blocking`` of one that rewrites data, ``danger=destructive`` of one that takes some away. A statement is
  graded by its words too, and the two must agree, so that a careless ``DROP`` is never applied in passing.
- ``backend=embedded`` or ``backend=server`` of one that only one of them takes.

Placeholders: ``{database}``; ``{on_cluster}``; ``{engine:ReplacingMergeTree(run)}``, which is replicated on a cluster;
``{window}``, the settings that remember insert tokens, which every table needs: without them an insert that is sent
again counts again in each target of a materialized view.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources
from typing import Final

from clickhouse_connect.driver.client import Client

from warehouse import views
from warehouse.errors import WarehouseError
from warehouse.layout import Backend, Layout, layout_of

_STATEMENT: Final = re.compile(r"^-- @stmt *(.*)$", re.MULTILINE)
_QUOTED: Final = re.compile(r"'(?:[^'\\]|''|\\.)*'|--[^\n]*")


class Danger(IntEnum):
    """What a statement does to what is there already."""

    NONE = 0
    BLOCKING = 1
    """It rewrites data, which takes long where there is much."""
    DESTRUCTIVE = 2
    """It takes data away."""


_GRADES: Final = (
    (Danger.DESTRUCTIVE, re.compile(r"\b(DROP|TRUNCATE|DELETE|RENAME|EXCHANGE|REPLACE|DETACH|CLEAR)\b", re.IGNORECASE)),
    (Danger.BLOCKING, re.compile(r"\b(MODIFY|UPDATE|MATERIALIZE|OPTIMIZE|POPULATE)\b", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the file has it. ``backend`` is None where both take it."""

    sql: str
    danger: Danger = Danger.NONE
    backend: Backend | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number and name, and its statements with their placeholders still open."""

    name: str
    statements: tuple[Statement, ...]
    checksum: str

    def statements_in(self, layout: Layout) -> list[str]:
        """What it is there, ready to be sent."""
        return [layout.render(one.sql) for one in self.statements if one.backend in (None, layout.backend)]

    @property
    def danger(self) -> Danger:
        """The greatest of its statements."""
        return max((statement.danger for statement in self.statements), default=Danger.NONE)


def grade(sql: str) -> Danger:
    """The danger of a statement by its words, those in quotes and comments left out. To replace a view is none."""
    words = re.sub(r"\bCREATE\s+OR\s+REPLACE\s+VIEW\b", "CREATE VIEW", _QUOTED.sub("''", sql), flags=re.IGNORECASE)
    # Functions of these names, and columns in backticks, do nothing.
    words = re.sub(r"`[^`]*`|\b\w+\(", " ", words)
    return next((danger for danger, pattern in _GRADES if pattern.search(words)), Danger.NONE)


def parse(name: str, text: str) -> Migration:
    """A migration from its file.

    Raises:
        WarehouseError: it has no statement, or one whose danger is not declared as it is.
    """
    parts = _STATEMENT.split(text)[1:]
    statements = tuple(
        _statement(name, options, sql.strip()) for options, sql in zip(parts[::2], parts[1::2], strict=True)
    )
    if not statements:
        raise WarehouseError(f"migration {name} has no statement: each begins after a line `-- @stmt`")
    return Migration(name, statements, hashlib.sha256(text.encode()).hexdigest())


def _statement(name: str, options: str, sql: str) -> Statement:
    found: dict[str, str] = {}
    for option in options.split():
        key, _, value = option.partition("=")
        found[key] = value
    try:
        danger = Danger[found.pop("danger", "none").upper()]
        backend = Backend(found.pop("backend")) if "backend" in found else None
    except (KeyError, ValueError) as error:
        raise WarehouseError(f"migration {name}: {options!r} has an unknown value: {error}") from None
    if found:
        raise WarehouseError(f"migration {name}: unknown option {next(iter(found))!r}; there are danger and backend")
    if danger is not grade(sql):
        declared, real = danger.name.lower(), grade(sql).name.lower()
        raise WarehouseError(f"migration {name}: a statement is declared danger={declared} and is {real}: {sql[:80]}")
    return Statement(sql, danger, backend)


def migrations() -> list[Migration]:
    """Every migration of the package, in order."""
    folder = resources.files("warehouse") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [parse(file.name.removesuffix(".sql"), file.read_text()) for file in files]


def applied(client: Client, database: str) -> Mapping[str, str]:
    """The checksums of what was applied, by name; nothing where there is no database yet."""
    there = client.query(
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        parameters={"database": database},
    ).result_rows
    if not there[0][0]:
        return {}
    rows = client.query(f"SELECT name, checksum FROM {database}.schema_migrations FINAL").result_rows  # noqa: S608
    return {str(name): str(checksum) for name, checksum in rows}


def pending(client: Client, database: str) -> list[Migration]:
    """What is not applied yet, in order.

    Raises:
        WarehouseError: a migration that was applied has another content now, or is from a newer version.
    """
    known, ours = applied(client, database), migrations()
    names = {migration.name for migration in ours}
    if newer := sorted(name for name in known if not name.startswith(views.PREFIX) and name not in names):
        raise WarehouseError(f"{database} has the migration {newer[-1]}, which this version does not know: upgrade it")
    for migration in ours:
        if known.get(migration.name, migration.checksum) != migration.checksum:
            raise WarehouseError(
                f"migration {migration.name} was applied with another content;"
                " restore the file and put the change in a new migration"
            )
    return [migration for migration in ours if migration.name not in known]


def migrate(
    client: Client,
    database: str,
    *,
    cluster: str | None = None,
    at_most: Danger = Danger.NONE,
    told: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Create the database and apply what is missing, then the views that are not as this version has them; returns the
    names of the applied. ``told`` hears of each before it is applied.

    Raises:
        WarehouseError: see :func:`pending`; or one is more dangerous than ``at_most``: then nothing is applied.
    """
    missing = pending(client, database)
    _refuse(missing, at_most)
    layout = layout_of(client, database, cluster)
    client.command(layout.render("CREATE DATABASE IF NOT EXISTS {database}{on_cluster}"))
    client.command(
        layout.render(
            "CREATE TABLE IF NOT EXISTS {database}.schema_migrations{on_cluster}"
            " (name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))"
            " ENGINE = {engine:ReplacingMergeTree(applied_at)} ORDER BY name SETTINGS {window}"
        )
    )
    names = []
    for migration in missing:
        told(migration.name)
        _apply(client, database, migration.name, migration.checksum, migration.statements_in(layout))
        names.append(migration.name)
    known = applied(client, database)
    for view in views.views():
        if known.get(view.entry) != view.checksum:
            told(view.entry)
            _apply(client, database, view.entry, view.checksum, [layout.render(view.sql)])
            names.append(view.entry)
    return names


def _apply(client: Client, database: str, name: str, checksum: str, statements: Sequence[str]) -> None:
    for statement in statements:
        client.command(statement)
    client.insert(
        f"{database}.schema_migrations",
        [[name, checksum]],
        column_names=["name", "checksum"],
        settings={"async_insert": 0},
    )


def _refuse(missing: Sequence[Migration], at_most: Danger) -> None:
    for migration in missing:
        if migration.danger > at_most:
            word = migration.danger.name.lower()
            raise WarehouseError(
                f"migration {migration.name} is {word}: look at it with `leadline warehouse migrate --dry-run`, then"
                f" `leadline warehouse migrate --allow {word}`"
            )
