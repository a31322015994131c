"""Where Kafka and ClickHouse are: in the settings, else where the local stack that runs here says."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient

from connectors.kafka import clients, topic_admin
from connectors.secret_file import pseudonym_key
from leadline.errors import CommandError
from leadline.stack.files import write_atomically
from leadline.stack.state import read_state
from schemas.settings import Settings
from streams.topology import all_topics


def settings() -> Settings:
    """The settings, with what the running local stack knows filled in."""
    given = Settings()
    state = read_state(given.home)
    if state is None:
        return given
    found = {name: getattr(state, name) for name in ("kafka_bootstrap", "clickhouse_url", "sandbox_url")}
    return given.model_copy(
        update={name: url for name, url in found.items() if url is not None and getattr(given, name) is None}
    )


def kafka_of(settings: Settings) -> str:
    """The bootstrap servers.

    Raises:
        CommandError: none is set and no local stack runs.
    """
    if settings.kafka_bootstrap is None:
        raise CommandError(
            "No Kafka: no local stack runs here and LEADLINE_KAFKA_BOOTSTRAP is not set.",
            "Run `leadline up` in another terminal, or set LEADLINE_KAFKA_BOOTSTRAP=host:port.",
        )
    return settings.kafka_bootstrap


def clickhouse_of(settings: Settings) -> str:
    """The URL of ClickHouse.

    Raises:
        CommandError: none is set and no local stack runs.
    """
    if settings.clickhouse_url is None:
        raise CommandError(
            "No ClickHouse: no local stack runs here and LEADLINE_CLICKHOUSE_URL is not set.",
            "Run `leadline up` in another terminal, or set LEADLINE_CLICKHOUSE_URL=http://host:8123.",
        )
    return settings.clickhouse_url


def admin_of(settings: Settings) -> AdminClient:
    """An admin client of the cluster."""
    return clients.admin(kafka_of(settings))


def secret_of(settings: Settings) -> bytes:
    """The pseudonym key."""
    return pseudonym_key(settings.pseudonym_key, settings.home)


def prepare(settings: Settings, kafka_bootstrap: str | None, clickhouse_url: str | None) -> None:
    """Make what the stages and the sink need: topics, tables, and the pseudonym key."""
    # Imported here: most commands need no ClickHouse driver, and it is slow to load.
    from warehouse.client import connect
    from warehouse.migrate import migrate

    secret_of(settings)
    if kafka_bootstrap is not None:
        admin = clients.admin(kafka_bootstrap)
        changes = topic_admin.diff(admin, all_topics(), settings.partitions)
        topic_admin.apply(admin, changes, settings.partitions, settings.replication_factor)
    if clickhouse_url is not None:
        migrate(connect(clickhouse_url), settings.clickhouse_database, cluster=settings.clickhouse_cluster)


def say_ready(settings: Settings) -> None:
    """Write the ready file, for the supervisor that waits for it."""
    if settings.ready_file is not None:
        write_atomically(Path(settings.ready_file), "{}\n")
