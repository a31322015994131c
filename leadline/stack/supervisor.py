"""Processes kept running: started in order, restarted when they die, stopped in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import graphlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from leadline.stack import lifeline
from leadline.stack.errors import StackError
from leadline.stack.service_log import open_log, tail

EX_CONFIG = 78
READY_FILE = "LEADLINE_READY_FILE"

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Service:
    """A process to keep running.

    Attributes:
        ready: Says whether the service does its work. Without it the service is ready once it has written the file
            that its environment names as ``LEADLINE_READY_FILE``.
        install: Awaited once, before the first start.
        after: Names of services that have to be ready before the first start, and that stop only after this one.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    start_timeout_seconds: float = 30.0
    stop_timeout_seconds: float = 10.0
    after: tuple[str, ...] = ()
    install: Callable[[], Awaitable[None]] | None = None
    cwd: Path | None = None


class State(StrEnum):
    """What a service is doing; also the kinds of `Event`."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Event:
    """A service came to a state.

    Attributes:
        seconds: ready: since its start; died, stopped, failed: how long it ran; restarting: until the next start.
        exit_code: died, stopped, failed: of the process; negative: the signal that ended it.
    """

    service: str
    state: State
    pid: int | None = None
    exit_code: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a dying service is restarted. A run of `healthy_seconds` after readiness starts the count again."""

    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    healthy_seconds: float = 30.0
    give_up_after: int = 10

    def delay(self, deaths: int) -> float:
        """Seconds to wait after the n-th rapid death in a row, counted from 1."""
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(deaths - 1, 32))


@dataclass(slots=True)
class _Run:
    """One life of a service's process."""

    process: asyncio.subprocess.Process
    exited: asyncio.Task[int]
    started: float
    ready_at: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill_group(self) -> None:
        # Its own children too: the process leads its session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class _Child:
    def __init__(self, service: Service, run_folder: Path, logs: Path) -> None:
        self.service = service
        self.log = logs / f"{service.name}.log"
        self.ready_file = run_folder / f"{service.name}.ready"
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first_ready.add_done_callback(
            lambda f: f.cancelled() or f.exception()
        )  # a failure is looked at by `start`
        self.stopped = asyncio.Event()
        self.keeper: asyncio.Task[None] | None = None
        self.run: _Run | None = None


class Supervisor:
    """Keeps `services` running. To be used from the main thread: the children's lives are tied to its thread.

    Args:
        services: In any order; `Service.after` decides.
        home: ``logs/<name>.log`` and ``run/<name>.ready`` are written there.
        on_event: Called in the event loop at each change; must not block.
    """

    def __init__(
        self,
        services: Iterable[Service],
        home: Path,
        on_event: Callable[[Event], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._logs = home / "logs"
        self._run_folder = home / "run"
        for folder in (self._logs, self._run_folder):
            folder.mkdir(parents=True, exist_ok=True)
        by_name = {s.name: s for s in services}
        order = graphlib.TopologicalSorter({s.name: s.after for s in by_name.values()}).static_order()
        self._children = {name: _Child(by_name[name], self._run_folder, self._logs) for name in order}
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._stopping = asyncio.Event()

    async def start(self, names: Iterable[str] | None = None) -> None:
        """Start these services (all by default) and return once each is ready for the first time.

        Independent ones start side by side. Can be called again for further services.

        Raises:
            StackError: One of them cannot start; the others keep running until `stop`.
        """
        children = [self._children[name] for name in names] if names is not None else list(self._children.values())
        for child in children:
            if child.keeper is None:
                child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.service.name}")
        await asyncio.gather(*(child.first_ready for child in children))

    async def run_until(self, stop: asyncio.Event) -> None:
        """Keep the started services running until `stop` is set; they are not stopped by this."""
        await stop.wait()

    async def stop(self) -> None:
        """Stop what runs, the last started first: SIGTERM, `stop_timeout_seconds`, SIGKILL."""
        self._stopping.set()
        await asyncio.gather(*(self._stop(child) for child in self._children.values()))

    async def _stop(self, child: _Child) -> None:
        name = child.service.name
        await asyncio.gather(*(c.stopped.wait() for c in self._children.values() if name in c.service.after))
        if child.keeper is not None:
            run = child.run
            if run is None:  # waiting for its turn, installing, or between two lives
                child.keeper.cancel()
            else:
                run.signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(run.exited), child.service.stop_timeout_seconds)
                run.kill_group()
            await asyncio.gather(child.keeper, return_exceptions=True)
        child.stopped.set()

    async def _keep(self, child: _Child) -> None:
        try:
            await asyncio.gather(*(asyncio.shield(self._children[name].first_ready) for name in child.service.after))
        except Exception as error:  # a service it needs cannot start, and has said so
            child.first_ready.set_exception(error)
            return
        try:
            if child.service.install is not None:
                await child.service.install()
            await self._restart_for_ever(child)
        except Exception as error:
            self._tell(child, State.FAILED)
            if not child.first_ready.done():
                child.first_ready.set_exception(_as_stack_error(child, error))
        finally:
            if not child.first_ready.done():
                child.first_ready.cancel()

    async def _restart_for_ever(self, child: _Child) -> None:
        first_start = time.monotonic()
        deaths = 0
        while True:
            code, healthy = await self._live(child)
            if self._stopping.is_set():
                return
            deaths = 1 if healthy else deaths + 1
            if not child.first_ready.done():
                late = time.monotonic() - first_start >= child.service.start_timeout_seconds
                if late or code == EX_CONFIG or deaths > self._backoff.give_up_after:
                    raise _never_ready(child, code, late)
            elif deaths > self._backoff.give_up_after:
                self._tell(child, State.FAILED, exit_code=code)
                return
            delay = self._backoff.delay(deaths)
            self._tell(child, State.RESTARTING, seconds=delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
                return

    async def _live(self, child: _Child) -> tuple[int, bool]:
        """One life of the process: its exit code, and whether it was healthy for long enough."""
        run = await self._spawn(child)
        try:
            if await self._becomes_ready(child, run):
                run.ready_at = time.monotonic()
                self._tell(child, State.READY, run, seconds=run.seconds)
                if not child.first_ready.done():
                    child.first_ready.set_result(None)
            elif not run.exited.done():
                run.kill_group()
            code = await asyncio.shield(run.exited)
        except BaseException:
            run.kill_group()
            raise
        finally:
            child.run = None
        run.kill_group()
        state = State.STOPPED if self._stopping.is_set() else State.DIED
        self._tell(child, state, run, exit_code=code, seconds=run.seconds)
        healthy = run.ready_at is not None and time.monotonic() - run.ready_at >= self._backoff.healthy_seconds
        return code, healthy

    async def _spawn(self, child: _Child) -> _Run:
        child.ready_file.unlink(missing_ok=True)
        with open_log(child.log) as log:
            process = await asyncio.create_subprocess_exec(
                *lifeline.wrap(child.service.command),
                cwd=child.service.cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.service.env, READY_FILE: str(child.ready_file)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor alone
            )
        child.run = run = _Run(process, asyncio.create_task(process.wait()), time.monotonic())
        self._tell(child, State.STARTING, run)
        return run

    async def _becomes_ready(self, child: _Child, run: _Run) -> bool:
        while not run.exited.done() and run.seconds < child.service.start_timeout_seconds:
            if await child.service.ready() if child.service.ready else child.ready_file.exists():
                return True
            await asyncio.wait({run.exited}, timeout=_POLL_SECONDS)
        return False

    def _tell(
        self,
        child: _Child,
        state: State,
        run: _Run | None = None,
        exit_code: int | None = None,
        seconds: float | None = None,
    ) -> None:
        pid = run.process.pid if run is not None else None
        self._on_event(Event(child.service.name, state, pid, exit_code, seconds))


def _as_stack_error(child: _Child, error: Exception) -> Exception:
    if not isinstance(error, OSError):
        return error
    return StackError(
        f"{child.service.name} cannot be started: {error}.", "Mend the cause and run `leadline up` again."
    )


def _never_ready(child: _Child, code: int, late: bool) -> StackError:
    name, seconds = child.service.name, child.service.start_timeout_seconds
    reason = f"was not ready within {seconds:g} s" if late else f"does not start (exit code {code})"
    lines = "\n".join(f"  {line}" for line in tail(child.log))
    return StackError(
        f"{name} {reason}. Its last log lines:\n{lines}",
        f"See {child.log}, mend the cause and run `leadline up` again.",
    )
