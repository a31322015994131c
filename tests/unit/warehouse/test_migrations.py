"""Migrations as files: numbered without gaps, every name open, and never changed once released."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

from warehouse.migrate import migrations

RELEASED = {
    "0001_lead_events": "ba04e4b6af2c453cb545cfebfc63c02895d901fb87d3ff712125c06c564b711e",
    "0002_replays": "547dc7f69ab9e1017d1ba443840f7ca92ed6f6d333bf8879ba7c9ba5e55c1e37",
}
"""A released migration never changes: write a new one instead, and add its checksum here."""


def test_they_are_numbered_in_order() -> None:
    names = [migration.name for migration in migrations()]
    assert names == sorted(names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+", name) for name in names)


def test_no_released_migration_has_changed() -> None:
    assert {migration.name: migration.checksum for migration in migrations()} == RELEASED


def test_a_checksum_is_that_of_the_file() -> None:
    for migration in migrations():
        content = (resources.files("warehouse") / "migrations" / f"{migration.name}.sql").read_bytes()
        assert migration.checksum == hashlib.sha256(content).hexdigest()


def test_every_statement_leaves_the_database_open_and_can_be_repeated() -> None:
    for migration in migrations():
        assert migration.statements
        for statement in migration.statements:
            assert "{database}." in statement
            assert not re.search(r"\{(?!database\})", statement)
            assert ";" not in re.sub(r"'(?:[^']|'')*'", "", statement)
            # A migration that was cut off is applied again from its start.
            assert re.match(r"CREATE .*IF NOT EXISTS|ALTER .*IF (NOT )?EXISTS|INSERT", statement, re.DOTALL)
