"""A stack in a process of its own, for synchronous callers: tests and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path

from leadline.stack import lifeline
from leadline.stack.errors import StackError
from leadline.stack.service_log import open_log, tail
from leadline.stack.services import Endpoints
from leadline.stack.state import StackState, read_state

_POLL_SECONDS = 0.05


@contextmanager
def running_stack(
    home: Path,
    only: Set[str] | None = frozenset({"kafka", "warehouse"}),
    *,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 180.0,
) -> Iterator[Endpoints]:
    """Run the named services in `home` and stop them at the end. They die with this process, whatever happens to it.

    With ``only=None`` it is what ``leadline up`` runs: everything, with topics and tables; else those are the caller's
    to make. To be used from the main thread. `Endpoints.pids` are those of the start; ``read_state(home)`` has the
    present ones.

    Raises:
        StackError: The stack did not start within `timeout_seconds`; the message holds its output.
    """
    home = home.resolve()
    log = home / "logs" / "stack.log"
    command = [sys.executable, "-m", "leadline", "up"]
    if only is not None:
        command = [sys.executable, "-m", "leadline.stack", "--only", ",".join(sorted(only))]
    with open_log(log) as output:
        supervisor = subprocess.Popen(
            lifeline.wrap(command),
            env={**os.environ, **(environment or {}), "LEADLINE_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        state = _wait_until_ready(home, supervisor, log, timeout_seconds)
        pids = {name: service.pid for name, service in state.services.items() if service.pid is not None}
        yield Endpoints(
            home,
            state.kafka_bootstrap,
            state.clickhouse_url,
            state.sandbox_url,
            state.intake_url,
            state.metrics_urls,
            pids,
        )
    finally:
        supervisor.terminate()
        try:
            supervisor.wait(60)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()


def _wait_until_ready(home: Path, supervisor: subprocess.Popen[bytes], log: Path, timeout_seconds: float) -> StackState:
    deadline = time.monotonic() + timeout_seconds
    while True:
        state = read_state(home)
        if state is not None and state.pid == supervisor.pid and state.ready:
            return state
        if supervisor.poll() is not None or time.monotonic() > deadline:
            lines = "\n".join(tail(log))
            raise StackError(f"The stack in {home} did not start:\n{lines}", f"See the logs in {log.parent}.")
        time.sleep(_POLL_SECONDS)
