"""The long-running processes: a stage's worker, the sink, the intake. ``leadline up`` runs them all."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Annotated, Final, Literal

import structlog
from cyclopts import Parameter

from leadline import environment, logs
from leadline.errors import CommandError
from leadline.releases import FollowedRelease, variables_of

LOOPBACK = ("127.0.0.1", "::1", "localhost")
log = structlog.get_logger(__name__)
NOBODY: Final[Mapping[str, str]] = {}
StageName = Literal["validation", "dedup", "routing", "delivery"]


def worker(stage: StageName, /) -> None:
    """Run a worker of one stage until a signal.

    Start as many as you like: they share the partitions, and one takes over from another. A worker decides by the
    release in force and follows it: what `leadline config apply` puts in force, it goes by from its next slice on.

    Parameters
    ----------
    stage:
        validation, dedup, routing or delivery.
    """
    from connectors.kafka.capacity_log import CapacityFollower
    from connectors.metrics_server import serve as serve_metrics
    from connectors.suppression.opening import ListFiles
    from schemas.codec import warm_up
    from schemas.topics import group_of
    from streams.delivery.wiring import Poster
    from streams.engine.worker import Engine, WorkerConfig
    from streams.stage import Context
    from streams.topology import STAGES
    from streams.validation.stage import Validation

    settings = environment.settings()
    logs.configure(settings, process=f"worker-{stage}")
    bootstrap, secret = environment.kafka_of(settings), environment.secret_of(settings)
    version = metadata.version("leadline")
    warm_up()
    chosen = STAGES[stage]
    if stage == "validation":
        chosen = Validation(partitions=settings.partitions, lists=ListFiles(settings.home, secret))
    release = FollowedRelease(bootstrap, variables_of(settings), chosen.prepare)
    release.wait()

    def context(now: datetime) -> Context:
        return Context(now, release.current, secret, version, release.follower.configuration, full(now))

    full: Callable[[datetime], Mapping[str, str]] = lambda now: NOBODY  # noqa: E731
    if stage == "routing":
        full = CapacityFollower(bootstrap, lambda error: engine.fail(error)).full
    engine = Engine(
        chosen,
        WorkerConfig(
            bootstrap=bootstrap,
            group=group_of(stage),
            data=settings.home / "faust" / stage,
            partitions=settings.partitions,
            session_timeout_seconds=settings.session_timeout_seconds,
            transactions_in_flight=settings.transactions_in_flight,
            log_level=settings.log_level,
            dead_letter_run=settings.dead_letter_run,
            dead_letter_share=settings.dead_letter_share,
            state=settings.home / "state" / stage if settings.state == "rocksdb" else None,
        ),
        context=lambda: context(datetime.now(UTC)),
        make_performer=Poster if stage == "delivery" else None,
        on_ready=lambda: environment.say_ready(settings),
    )
    release.on_failure = engine.fail
    if settings.metrics_port is not None:
        port = serve_metrics(engine.metrics.registry, settings.metrics_host, settings.metrics_port)
        log.info("metrics", url=f"http://{settings.metrics_host}:{port}/metrics")
    engine.run()


def sink() -> None:
    """Run a sink of every topic into ClickHouse until a signal. Several share the partitions."""
    from connectors.metrics_server import serve as serve_metrics
    from warehouse.client import connect
    from warehouse.sink import Sink, SinkConfig, SinkStoppedError

    settings = environment.settings()
    logs.configure(settings, process="sink")
    client = connect(environment.clickhouse_of(settings))
    config = SinkConfig(
        bootstrap=environment.kafka_of(settings),
        database=settings.clickhouse_database,
        session_timeout_seconds=settings.session_timeout_seconds,
        accept_gaps=settings.sink_accept_gaps,
    )
    running = Sink(config, client, on_ready=lambda: environment.say_ready(settings))
    if settings.metrics_port is not None:
        port = serve_metrics(running.metrics.registry, settings.metrics_host, settings.metrics_port)
        log.info("metrics", url=f"http://{settings.metrics_host}:{port}/metrics")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: running.stop())
    try:
        running.run()
    except SinkStoppedError as error:  # without what led to it: ClickHouse quotes the row that it refuses
        raise CommandError(
            f"The sink stops: {error}", "What it had not settled it writes once it runs again."
        ) from None


def intake(*, host: str = "127.0.0.1", port: Annotated[int | None, Parameter(name=["--port", "-p"])] = None) -> None:
    """Run the HTTP intake until a signal: POST /leads, acknowledged once Kafka has stored the lead.

    Where the release in force has sources with keys, a post shows one: `leadline source key` makes them.

    Parameters
    ----------
    host:
        Address to listen on: a loopback one, since the intake does not ask who sends.
    port:
        Port to listen on; LEADLINE_INTAKE_PORT by default.
    """
    if host not in LOOPBACK:
        raise CommandError(
            f"The intake does not ask who sends, so it does not listen on {host}.",
            f"Listen on {LOOPBACK[0]} behind a proxy that does ask.",
        )
    import uvicorn

    from connectors.inbound.intake import create_app
    from connectors.kafka.publisher import LeadPublisher
    from schemas.topics import LEADS

    settings = environment.settings()
    logs.configure(settings, process="intake")
    bootstrap = environment.kafka_of(settings)
    publisher = LeadPublisher(bootstrap, LEADS.name)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets)  # type: ignore[arg-type]
            environment.say_ready(settings)

    release = FollowedRelease(bootstrap, variables_of(settings), lambda configuration: None)
    release.wait()
    app = create_app(publisher.publish, sources=lambda: release.current.sources)
    server = Server(
        uvicorn.Config(app, host=host, port=port or settings.intake_port, log_level="warning", access_log=False)
    )
    failures: list[BaseException] = []

    def stop(error: BaseException) -> None:  # it would not hear of keys that are taken back
        failures.append(error)
        server.should_exit = True

    release.on_failure = stop
    server.run()
    publisher.close()
    if failures:
        raise failures[0]
