"""Fixtures of integration tests that several files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.full_stack import wait_until
from kit.sink_world import World

from connectors.kafka import clients, topic_admin
from schemas.topics import CATALOGUE
from warehouse.migrate import migrate


@pytest.fixture(scope="module")
def catalogue(kafka_bootstrap: str) -> None:
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, CATALOGUE, 4), 4, 1)
    wait_until(lambda: not topic_admin.diff(admin, CATALOGUE, 4), "the topics", 20)


@pytest.fixture
def world(
    catalogue: None,
    kafka_bootstrap: str,
    clickhouse_url: str,
    database: str,
    unique: Callable[[str], str],
    tmp_path: Path,
) -> World:
    found = World(kafka_bootstrap, clickhouse_url, database, unique("sink"), tmp_path / "sink.log")
    migrate(found.client, database)
    return found
