"""Kafka and ClickHouse for tests: two providers behind one contract.

``local`` is the local stack of this repository, ``containers`` the official images. Tests see addresses only, share the
services of a session, and keep apart by the names of their topics and databases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

CHOICE: Final = "LEADLINE_TEST_STACK"
CLICKHOUSE_IMAGE: Final = "clickhouse/clickhouse-server:26.8"  # Kafka's follows kafka.lock

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_USER, _PASSWORD = "leadline", "leadline"
_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1

_KAFKA_PORT, _CLICKHOUSE_PORT = 9092, 8123
# The broker calls itself by another address than its clients do, who come through a published port.
_KAFKA_ADDRESSES: Final = {
    "listeners": f"CLIENT://0.0.0.0:{_KAFKA_PORT},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.quorum.voters": "1@localhost:9094",
}
# It tells clients the port that Docker chose, which is known only once the container runs.
_ADVERTISED = "/tmp/advertised"
_KAFKA_COMMAND = (
    f"until [ -f {_ADVERTISED} ]; do sleep 0.05; done;"
    f' export KAFKA_ADVERTISED_LISTENERS="$(cat {_ADVERTISED})"; exec /etc/kafka/docker/run'
)


class Provider(StrEnum):
    """Who runs the services."""

    LOCAL = "local"
    CONTAINERS = "containers"


class BackendsError(Exception):
    """The services cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Where the services listen: ``host:port``, and ``http://[user:password@]host:port``."""

    kafka_bootstrap: str
    clickhouse_url: str


def provider_named(name: str) -> Provider:
    """The provider of that name.

    Raises:
        BackendsError: There is none.
    """
    try:
        return Provider(name)
    except ValueError:
        raise BackendsError(f"{CHOICE}={name}: choose from {', '.join(Provider)}.") from None


def kafka_image() -> str:
    """The official image of the very Kafka that ``deploy/local/kafka.lock`` pins."""
    from leadline.stack import kafka_lock
    from leadline.stack.files import local_file

    coordinates = (
        artifact.coordinate for artifact in kafka_lock.parse(local_file("kafka.lock").read_text(encoding="utf-8"))
    )
    version = next(c.rpartition(":")[2] for c in coordinates if c.startswith("org.apache.kafka:kafka_"))
    return f"apache/kafka:{version}"


def kafka_settings() -> dict[str, str]:
    """How every provider's Kafka is configured, but for addresses: ``deploy/local/server.properties``."""
    from leadline.stack.files import local_file

    lines = local_file("server.properties").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs if key not in _KAFKA_ADDRESSES}


@contextmanager
def backends(provider: Provider, home: Path) -> Iterator[Backends]:
    """Run empty services and remove them at the end; `home` is a new folder for what they write.

    Raises:
        BackendsError: They do not start.
    """
    with _local(home) if provider is Provider.LOCAL else _containers() as found:
        yield found


@contextmanager
def _local(home: Path) -> Iterator[Backends]:
    from leadline.stack.background import running_stack
    from leadline.stack.errors import StackError

    jars = _REPOSITORY / ".leadline" / "maven"  # where `leadline up` keeps them: downloaded once a checkout
    jars.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    (home / "maven").symlink_to(jars)
    with ExitStack() as stack:
        try:
            endpoints = stack.enter_context(running_stack(home))
        except StackError as error:
            raise BackendsError(f"{error.message}\n{error.hint}") from error
        if endpoints.kafka_bootstrap is None or endpoints.clickhouse_url is None:
            raise BackendsError(f"The local stack in {home} started without Kafka or the warehouse.")
        yield Backends(endpoints.kafka_bootstrap, endpoints.clickhouse_url)


@contextmanager
def _containers() -> Iterator[Backends]:
    import docker.errors  # type: ignore[import-untyped]
    from testcontainers.core.container import DockerContainer

    with ExitStack() as stack:
        try:
            clickhouse = stack.enter_context(
                DockerContainer(CLICKHOUSE_IMAGE)
                .with_exposed_ports(_CLICKHOUSE_PORT)
                # Without a password the image lets nobody in from outside.
                .with_envs(CLICKHOUSE_USER=_USER, CLICKHOUSE_PASSWORD=_PASSWORD)
                .with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
            )
            kafka = stack.enter_context(
                DockerContainer(kafka_image())
                .with_exposed_ports(_KAFKA_PORT)
                .with_envs(**_kafka_environment())
                .with_command(["sh", "-c", _KAFKA_COMMAND])
            )
            bootstrap = f"{kafka.get_container_host_ip()}:{kafka.get_exposed_port(_KAFKA_PORT)}"
            advertised = f"CLIENT://{bootstrap},BROKER://localhost:9093"
            told = kafka.exec(
                ["sh", "-c", f"echo {advertised} > {_ADVERTISED}.new && mv {_ADVERTISED}.new {_ADVERTISED}"]
            )
            if told.exit_code != 0:
                raise BackendsError(f"Kafka's container: {told.output.decode(errors='replace')}")
            host = f"{clickhouse.get_container_host_ip()}:{clickhouse.get_exposed_port(_CLICKHOUSE_PORT)}"
        except (docker.errors.DockerException, ConnectionError, TimeoutError) as error:
            raise BackendsError(
                f"Docker does not run the containers: {error}\n"
                f"Start Docker, or use the local stack: {CHOICE}={Provider.LOCAL}"
            ) from error
        url = f"http://{_USER}:{_PASSWORD}@{host}"
        _wait(clickhouse, lambda: _ask_clickhouse(url))
        _wait(kafka, lambda: _ask_kafka(bootstrap))
        yield Backends(bootstrap, url)


def _kafka_environment() -> dict[str, str]:
    """The settings as the official image takes them: ``node.id`` is KAFKA_NODE_ID."""
    settings = kafka_settings() | _KAFKA_ADDRESSES
    return {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in settings.items()}


def _wait(container: DockerContainer, ask: Callable[[], None]) -> None:
    from confluent_kafka import KafkaException

    from warehouse.errors import WarehouseError

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return ask()
        except (KafkaException, WarehouseError) as error:
            container.reload()
            if container.status != "running" or time.monotonic() > deadline:
                logs = b"\n".join(container.get_logs()).decode(errors="replace")
                raise BackendsError(
                    f"{container.image} is {container.status} and does not answer: {error}\n{logs[-4000:]}"
                ) from error
        time.sleep(_POLL_SECONDS)


def _ask_kafka(bootstrap: str) -> None:
    from confluent_kafka.admin import AdminClient

    AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)


def _ask_clickhouse(url: str) -> None:
    from warehouse.client import connect

    connect(url).close()
