"""The composition: which processes a local stack has, where they listen and what each is told."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from leadline.stack.artifacts import OnProgress
from leadline.stack.errors import StackError
from leadline.stack.files import local_file
from leadline.stack.kafka import Kafka
from leadline.stack.ports import HOST, PortLeases
from leadline.stack.supervisor import Service
from leadline.stack.warehouse import Warehouse
from schemas.settings import Settings

WORKERS = ("validation", "dedup", "routing", "delivery")
FOUNDATIONS = ("kafka", "warehouse", "sandbox-buyer")
SERVICES = (*FOUNDATIONS, *WORKERS, "sink", "intake")

METRICS_PORT = 9464
"""The first worker's; the others have the next ones. OpenTelemetry's choice for a Prometheus page."""

LOCAL_SESSION_SECONDS = "3.5"
"""A killed worker's partitions flow again within five."""

_PREFIX = "LEADLINE_"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts listen; None for a part that is neither started nor configured. A URL may hold a password."""

    home: Path
    kafka_bootstrap: str | None = None
    clickhouse_url: str | None = None
    sandbox_url: str | None = None
    intake_url: str | None = None
    metrics_urls: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)


Prepare = Callable[[Endpoints], Awaitable[None]]
"""Makes topics and tables: runs once the foundations are ready, before anything uses them."""


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What to run. `foundations` have to be ready before the caller's preparations, `services` run after them."""

    endpoints: Endpoints
    foundations: tuple[Service, ...]
    services: tuple[Service, ...]


def plan(
    settings: Settings,
    ports: PortLeases,
    *,
    only: set[str] | None = None,
    python: str = sys.executable,
    on_progress: OnProgress | None = None,
) -> StackPlan:
    """Decide ports and commands; starts nothing.

    Args:
        only: Names from `SERVICES` to run; all of them by default. Parts that are configured elsewhere never run here.

    Raises:
        StackError: A name in `only` is unknown, a data file is missing, or no port is free.
    """
    wanted = set(SERVICES) if only is None else only
    if unknown := wanted - set(SERVICES):
        raise StackError(f"No such service: {', '.join(sorted(unknown))}.", f"Choose from: {', '.join(SERVICES)}.")
    home = settings.home.resolve()
    kafka_bootstrap, clickhouse_url, sandbox_url, intake_url = (
        settings.kafka_bootstrap,
        settings.clickhouse_url,
        settings.sandbox_url,
        None,
    )
    services: dict[str, Service] = {}

    if kafka_bootstrap is None and "kafka" in wanted:
        kafka = Kafka(home, ports.lease(settings.kafka_port), ports.lease(settings.kafka_port + 1))
        kafka_bootstrap = kafka.bootstrap
        services["kafka"] = Service(
            "kafka",
            kafka.command(),
            ready=kafka.ready,
            install=lambda: kafka.install(on_progress),
            cwd=kafka.folder,
            start_timeout_seconds=60,
            stop_timeout_seconds=15,
        )
    if clickhouse_url is None and "warehouse" in wanted:
        tokens_file = (settings.clickhouse_tokens or home / "warehouse.tokens").resolve()
        warehouse = Warehouse(home, ports.lease(settings.clickhouse_port), tokens_file)
        clickhouse_url = warehouse.url
        services["warehouse"] = Service(
            "warehouse",
            warehouse.command(python),
            install=warehouse.install,
            env={f"{_PREFIX}CLICKHOUSE_TOKENS": str(tokens_file)},
            start_timeout_seconds=60,
            stop_timeout_seconds=15,
        )
    if sandbox_url is None and "sandbox-buyer" in wanted:
        port = ports.lease(settings.sandbox_port)
        sandbox_url = f"http://{HOST}:{port}"
        config = settings.sandbox_config or local_file("sandbox.yaml")
        journal = home / "sandbox" / "received.jsonl"
        command = [python, "-m", "connectors.sandbox", "--config", str(config.resolve())]
        command += ["--journal", str(journal), "--port", str(port)]
        services["sandbox-buyer"] = Service("sandbox-buyer", command)

    foundations = tuple(services)
    metrics_urls = {}
    for place, name in enumerate((*WORKERS, "sink")):
        own = {}
        if name in wanted:
            port = ports.lease((settings.metrics_port or METRICS_PORT) + place)
            metrics_urls[name] = f"http://{HOST}:{port}/metrics"
            own = {f"{_PREFIX}METRICS_PORT": str(port)}
        command = [python, "-m", "leadline", *(("worker", name) if name in WORKERS else (name,))]
        services[name] = Service(name, command, env=own, after=foundations)
    if "intake" in wanted:
        port = ports.lease(settings.intake_port)
        intake_url = f"http://{HOST}:{port}"
        command = [python, "-m", "leadline", "intake", "--port", str(port)]
        services["intake"] = Service("intake", command, after=foundations)

    endpoints = Endpoints(home, kafka_bootstrap, clickhouse_url, sandbox_url, intake_url, metrics_urls)
    env = _environment(settings, endpoints)
    if settings.kafka_bootstrap is None:  # our own Kafka allows less than its default
        env.setdefault(f"{_PREFIX}SESSION_TIMEOUT_SECONDS", LOCAL_SESSION_SECONDS)
    chosen = [_with_env(service, env) for name, service in services.items() if name in wanted]
    return StackPlan(
        endpoints,
        tuple(s for s in chosen if s.name in foundations),
        tuple(s for s in chosen if s.name not in foundations),
    )


def _with_env(service: Service, env: Mapping[str, str]) -> Service:
    return replace(service, env={**env, **service.env})


def _environment(settings: Settings, endpoints: Endpoints) -> dict[str, str]:
    """The same settings for every child, whether they came from this process's environment or from its caller."""
    env: dict[str, str] = {}
    for name in settings.model_fields_set - {"ready_file"}:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, Path):
            value = value.resolve()
        if value is not None:
            env[_PREFIX + name.upper()] = str(value)
    env[f"{_PREFIX}HOME"] = str(endpoints.home)
    for name in ("kafka_bootstrap", "clickhouse_url", "sandbox_url"):
        if (url := getattr(endpoints, name)) is not None:
            env[_PREFIX + name.upper()] = url
    return env
