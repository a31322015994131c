"""The stack as a whole: `up` runs it in this process until told to stop, `down` tells it to."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from leadline.stack.artifacts import OnProgress
from leadline.stack.errors import StackError
from leadline.stack.ports import PortLeases
from leadline.stack.services import Endpoints, Prepare, StackPlan, plan
from leadline.stack.state import (
    ServiceState,
    StackState,
    only_stack,
    own_state,
    process_started,
    read_state,
    state_file,
    write_state,
)
from leadline.stack.supervisor import Event, Service, State, Supervisor
from schemas.settings import Settings

OnEvent = Callable[[Event], None]
OnReady = Callable[[Endpoints], None]

_POLL_SECONDS = 0.05


class _Journal:
    """Keeps ``run/stack.json`` equal to what the events tell."""

    def __init__(self, home: Path, state: StackState, services: Iterable[Service]) -> None:
        self._home = home
        names = [service.name for service in services]
        logs = {name: ServiceState(log=home / "logs" / f"{name}.log") for name in names}
        self.state = state.model_copy(update={"services": logs})
        write_state(home, self.state)

    def record(self, event: Event) -> None:
        before = self.state.services[event.service]
        running = event.state in (State.STARTING, State.READY)
        after = before.model_copy(
            update={
                "state": event.state,
                "pid": event.pid if running else None,
                "restarts": before.restarts + (event.state is State.RESTARTING),
            }
        )
        self._write(services={**self.state.services, event.service: after})

    def ready(self) -> None:
        self._write(ready=True)

    def _write(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
        write_state(self._home, self.state)


async def up(
    settings: Settings,
    *,
    prepare: Prepare | None,
    on_event: OnEvent,
    stop: asyncio.Event,
    only: set[str] | None = None,
    on_ready: OnReady | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Run the stack until `stop` is set, then stop it in order. Must be awaited in the main thread.

    Args:
        prepare: Awaited once Kafka, the warehouse and the sandbox buyer are ready, before the services that use them.
        on_event: Each change of a service.
        only: Names from `leadline.stack.services.SERVICES`; all by default.
        on_ready: Called once, when everything is ready.
        on_progress: Kafka's download: ``(done bytes, total bytes, file name)``, called from other threads.

    Raises:
        StackError: Another stack runs in this home, or a part does not start; what had started is stopped again.
    """
    home = settings.home.resolve()
    with only_stack(home), PortLeases() as ports:
        chosen = plan(settings, ports, only=only, on_progress=on_progress)
        services = (*chosen.foundations, *chosen.services)
        where = chosen.endpoints
        state = own_state(
            where.metrics_urls,
            kafka_bootstrap=where.kafka_bootstrap,
            clickhouse_url=where.clickhouse_url,
            intake_url=where.intake_url,
            sandbox_url=where.sandbox_url,
        )
        journal = _Journal(home, state, services)

        def tell(event: Event) -> None:
            journal.record(event)
            on_event(event)

        supervisor = Supervisor(services, home, tell)
        try:
            if await _started(supervisor, chosen, prepare, stop):
                journal.ready()
                if on_ready is not None:
                    on_ready(chosen.endpoints)
                await supervisor.run_until(stop)
        finally:
            await supervisor.stop()
            state_file(home).unlink(missing_ok=True)


async def _started(supervisor: Supervisor, chosen: StackPlan, prepare: Prepare | None, stop: asyncio.Event) -> bool:
    """Start everything; False when `stop` came first."""

    async def start() -> None:
        await supervisor.start(service.name for service in chosen.foundations)
        if prepare is not None:
            await prepare(chosen.endpoints)
        await supervisor.start(service.name for service in chosen.services)

    starting = asyncio.create_task(start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        return False
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def down(home: Path, timeout_seconds: float = 60.0) -> bool:
    """Stop the stack that runs in `home` and wait until it is gone.

    Returns:
        Whether there was one.

    Raises:
        StackError: It is still there after `timeout_seconds`.
    """
    state = read_state(home)
    if state is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    while process_started(state.pid) == state.started:
        if time.monotonic() > deadline:
            raise StackError(
                f"The stack (process {state.pid}) is still stopping after {timeout_seconds:g} s.",
                f"Wait, or end it and all its parts at once with `kill -9 {state.pid}`: no data is lost.",
            )
        time.sleep(_POLL_SECONDS)
    return True
