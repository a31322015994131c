"""Fixtures of every test: Kafka and ClickHouse on demand, and names that nobody else uses."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import settings
from kit.backends import CHOICE, Backends, BackendsError, Provider, provider_named
from kit.backends import backends as running_backends

settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")

CONTRACT_URL = "LEADLINE_CONTRACT_URL"
_KEPT = {CHOICE, CONTRACT_URL, "LEADLINE_JAVA"}


def _provider() -> Provider:
    return provider_named(os.environ.get(CHOICE, Provider.LOCAL))


def pytest_configure() -> None:
    """Refuse a mistyped choice before anything runs, and forget the developer's own Leadline."""
    try:
        _provider()
    except BackendsError as error:
        raise pytest.UsageError(str(error)) from error
    for name in [name for name in os.environ if name.startswith("LEADLINE_") and name not in _KEPT]:
        del os.environ[name]
    # A shell lets what it runs in the background ignore Ctrl-C, and so would all that the tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A command that a test calls sends the logs to that test's standard error, which is closed after it."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """Kafka and ClickHouse, empty at the session's start; `LEADLINE_TEST_STACK` says who runs them."""
    try:
        with running_backends(_provider(), tmp_path_factory.mktemp("stack")) as found:
            yield found
    except BackendsError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def kafka_bootstrap(backends: Backends) -> str:
    """``host:port`` of the session's Kafka."""
    return backends.kafka_bootstrap


@pytest.fixture(scope="session")
def clickhouse_url(request: pytest.FixtureRequest) -> str:
    """``http://…`` of the session's ClickHouse, or of the one that `LEADLINE_CONTRACT_URL` names."""
    if url := os.environ.get(CONTRACT_URL):
        return url
    found: Backends = request.getfixturevalue("backends")
    return found.clickhouse_url


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """Makes names for topics, groups and databases: ``unique("leads")`` is never the same twice."""
    return lambda prefix: f"{prefix}_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def database(clickhouse_url: str, unique: Callable[[str], str]) -> Iterator[str]:
    """The name of a ClickHouse database that does not exist yet; dropped after the test."""
    from warehouse.client import connect

    name = unique("test")
    yield name
    client = connect(clickhouse_url)
    client.command(f"DROP DATABASE IF EXISTS {name} SYNC")
    client.close()


@pytest.fixture
def new_topic(kafka_bootstrap: str, unique: Callable[[str], str]) -> Iterator[Callable[..., str]]:
    """Makes topics: ``new_topic(partitions=1, **config)`` returns the name. They are deleted after the test."""
    from confluent_kafka.admin import NewTopic

    from connectors.kafka import clients

    admin = clients.admin(kafka_bootstrap)
    made: list[str] = []

    def create(prefix: str = "topic", *, partitions: int = 1, **config: str) -> str:
        name = unique(prefix)
        spec = NewTopic(name, partitions, 1, config={key.replace("_", "."): value for key, value in config.items()})
        admin.create_topics([spec])[name].result(30)
        made.append(name)
        return name

    yield create
    if made:
        for future in admin.delete_topics(made).values():
            future.result(30)
