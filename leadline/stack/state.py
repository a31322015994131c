"""What runs in a home folder: ``run/stack.json``, written at every change, and the lock against a second stack."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, ValidationError

from leadline.stack.errors import StackError
from leadline.stack.files import write_atomically
from leadline.stack.supervisor import State

VERSION = 1


class ServiceState(BaseModel):
    """One service: its process (None while there is none), how often it was restarted, and its log file."""

    model_config = ConfigDict(frozen=True)

    pid: int | None = None
    state: State = State.WAITING
    restarts: int = 0
    log: Path


class StackState(BaseModel):
    """A running stack.

    Attributes:
        pid: The supervisor; `started` tells it from a later process with the same number.
        ready: Every service was ready once, and the caller's preparations are done.
    """

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    pid: int
    started: str
    ready: bool = False
    kafka_bootstrap: str | None = None
    clickhouse_url: str | None = None
    intake_url: str | None = None
    sandbox_url: str | None = None
    metrics_urls: dict[str, str] = {}
    services: dict[str, ServiceState] = {}


def process_started(pid: int) -> str | None:
    """When a process started, in the system's own terms; None when no such process runs (a zombie does not)."""
    if sys.platform != "linux":
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        status, _, started = subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition(" ")
        return None if not started or status.startswith("Z") else started.strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    state, ticks_since_boot = fields[0], fields[19]
    return None if state in "ZX" else ticks_since_boot


def state_file(home: Path) -> Path:
    return home / "run" / "stack.json"


def write_state(home: Path, state: StackState) -> None:
    """For its owner only: the URL of ClickHouse may hold a password."""
    write_atomically(state_file(home), state.model_dump_json(indent=2) + "\n", mode=0o600)


def read_state(home: Path) -> StackState | None:
    """The stack that runs in `home`; None when none does, whatever a dead one left behind."""
    try:
        state = StackState.model_validate_json(state_file(home).read_bytes())
    except (OSError, ValidationError):
        return None
    return state if process_started(state.pid) == state.started else None


@contextmanager
def only_stack(home: Path) -> Iterator[None]:
    """Hold `home` for this process.

    Raises:
        StackError: Another stack holds it.
    """
    path = home / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            state = read_state(home)
            who = f" (process {state.pid})" if state is not None else ""
            raise StackError(
                f"A stack is already running in {home}{who}.",
                "`leadline status` shows it; `leadline down` stops it. Or set LEADLINE_HOME to another folder.",
            ) from None
        yield


def own_state(metrics_urls: Mapping[str, str] = MappingProxyType({}), **endpoints: str | None) -> StackState:
    """The state of a stack that this process supervises."""
    pid, urls = os.getpid(), dict(metrics_urls)
    return StackState(pid=pid, started=process_started(pid) or "", metrics_urls=urls, **endpoints)  # type: ignore[arg-type]
