"""Fixtures of integration tests that several files share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from kit.full_stack import wait_until
from kit.sink_world import World
from kit.told_rows import Told, told_in

from connectors.kafka import clients, topic_admin
from schemas.topics import CATALOGUE
from warehouse.client import connect
from warehouse.migrate import migrate


@pytest.fixture(scope="module")
def client(clickhouse_url: str) -> Iterator[Client]:
    """A client of the warehouse that tests share."""
    with connect(clickhouse_url) as client:
        yield client


@pytest.fixture
def rows(client: Client, database: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of a statement; ``{d}`` is the test's database."""

    def rows(sql: str, **settings: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in client.query(sql.replace("{d}", database), settings=settings).result_rows]

    return rows


@pytest.fixture(scope="module")
def told(clickhouse_url: str, unique: Callable[[str], str]) -> Iterator[Told]:
    """Tables that tests write records into as the sink does."""
    with told_in(clickhouse_url, unique("rows")) as told:
        yield told


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
    found.begin_at_end()
    return found
