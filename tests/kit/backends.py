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
CLICKHOUSE_IMAGE: Final = "clickhouse/clickhouse-server:26.8"

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_USER, _PASSWORD = "leadline", "leadline"
_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1

_KAFKA_PORT, _CLICKHOUSE_PORT = 9092, 8123
# Once one variable is given, the image leaves its own defaults out: this is the whole of deploy/local/server.properties
# that matters on one node.
_KAFKA_SETTINGS: Final = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_LISTENERS": f"CLIENT://0.0.0.0:{_KAFKA_PORT},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_DEFAULT_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "8",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "8",
    "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "500",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
}
# The broker tells clients the port that Docker chose for it, which is known only once the container runs.
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

    coordinates = (artifact.coordinate for artifact in kafka_lock.parse(local_file("kafka.lock").read_text()))
    version = next(c.rpartition(":")[2] for c in coordinates if c.startswith("org.apache.kafka:kafka_"))
    return f"apache/kafka:{version}"


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
                .with_envs(**_KAFKA_SETTINGS)
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
        _wait(clickhouse, lambda: _clickhouse_answers(url))
        _wait(kafka, lambda: _kafka_answers(bootstrap))
        yield Backends(bootstrap, url)


def _wait(container: DockerContainer, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        container.reload()
        if container.status != "running" or time.monotonic() > deadline:
            logs = b"\n".join(container.get_logs()).decode(errors="replace")
            raise BackendsError(f"{container.image} is {container.status} and does not answer:\n{logs[-4000:]}")
        time.sleep(_POLL_SECONDS)


def _kafka_answers(bootstrap: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _clickhouse_answers(url: str) -> bool:
    from warehouse.client import connect
    from warehouse.errors import WarehouseError

    try:
        connect(url).close()
    except WarehouseError:
        return False
    return True
