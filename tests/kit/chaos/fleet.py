"""The workers under fire, and their supervisor: whoever dies is started again, as a service manager would do it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kit.chaos.plan import STOP_SECONDS
from leadline.stack import lifeline
from streams.engine.exits import Exit

ACCEPTED: Final = {Exit.FENCED, Exit.KAFKA}
"""With these a worker may end itself under fire; any other is a bug."""
SLOW_SECONDS: Final = 6.0
"""A worker that takes longer to end writes down where it is."""
_RESTART_SECONDS: Final = 0.5
_DUMP_SECONDS: Final = 3.0


@dataclass
class Worker:
    """One worker through all its lives; each life has a log of its own."""

    name: str
    folder: Path
    process: asyncio.subprocess.Process | None = None
    lives: int = 0
    started: float = 0.0
    killed: bool = False
    frozen: bool = False
    leaving: bool = False

    @property
    def log(self) -> Path:
        """Of the present life."""
        return self.folder / f"{self.name}.{self.lives}.log"

    @property
    def ready(self) -> bool:
        """Whether the present life has had its partitions, and is awake."""
        with contextlib.suppress(FileNotFoundError):
            pid = (self.folder / self.name / "ready").read_text()
            return self.process is not None and pid == str(self.process.pid) and self.awake
        return False

    @property
    def awake(self) -> bool:
        """Whether it runs and is to go on."""
        running = self.process is not None and self.process.returncode is None
        return running and not (self.killed or self.frozen or self.leaving)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is anybody to get it."""
        with contextlib.suppress(ProcessLookupError):
            assert self.process is not None
            self.process.send_signal(number)

    def partitions(self) -> list[int]:
        """What it was assigned last."""
        assigned = [line["partitions"] for line in events(self.log) if line.get("event") == "partitions assigned"]
        return list(assigned[-1]) if assigned else []


@dataclass
class Fleet:
    """All workers. ``problems`` are ends that should not be."""

    command: Sequence[str]
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    exits: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _keepers: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _stopping: bool = False

    async def add(self) -> Worker:
        """One more worker."""
        worker = Worker(f"worker-{len(self._keepers) + 1}", self.folder)
        self.workers.append(worker)
        await self._start(worker)
        self._keepers[worker.name] = asyncio.create_task(self._keep(worker))
        return worker

    async def remove(self, worker: Worker) -> None:
        """SIGTERM; it has to end well, and in time."""
        worker.leaving = True
        worker.signal(signal.SIGTERM)
        assert worker.process is not None
        asked = time.monotonic()
        if not await _ends(worker.process, SLOW_SECONDS):
            worker.signal(signal.SIGQUIT)
        if not await _ends(worker.process, STOP_SECONDS - SLOW_SECONDS):
            self.problems.append(f"{worker.name} hangs {STOP_SECONDS:g} s after SIGTERM: see {worker.log}")
            worker.signal(signal.SIGKILL)
        code = await worker.process.wait()
        if code == Exit.FENCED:  # frozen until a moment ago, it finds its successor while it stops
            self.exits[Exit.FENCED.name] += 1
        elif code not in (0, -signal.SIGKILL):
            took = time.monotonic() - asked
            self.problems.append(f"{worker.name} ends {took:.1f} s after SIGTERM with {code}: see {worker.log}")
        self.workers.remove(worker)

    async def dump(self, workers: Sequence[Worker]) -> None:
        """Let workers write where they are into their logs."""
        for worker in workers:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGQUIT)
        await asyncio.sleep(_DUMP_SECONDS)

    async def stop(self) -> None:
        """End all of them, well and in time."""
        await asyncio.gather(*(self.remove(worker) for worker in list(self.workers)))

    async def kill_all(self) -> None:
        """End all of them, at once."""
        for keeper in self._keepers.values():
            keeper.cancel()
        for worker in self.workers:
            worker.signal(signal.SIGKILL)
            if worker.process is not None:
                await worker.process.wait()

    def fenced(self) -> int:
        """Workers that ended because another had taken over."""
        logs = self.folder.glob("worker-*.log")
        ends = [line for log in logs for line in events(log) if line.get("event") == "worker stops"]
        return sum(line["exit_code"] == Exit.FENCED and line["error"] == "FencedError" for line in ends)

    async def _start(self, worker: Worker) -> None:
        worker.lives += 1
        worker.killed = worker.frozen = False
        worker.started = time.monotonic()
        data = self.folder / worker.name
        with worker.log.open("ab") as log:
            worker.process = await asyncio.create_subprocess_exec(
                *lifeline.wrap([*self.command, "--data", str(data)]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
            )

    async def _keep(self, worker: Worker) -> None:
        while True:
            assert worker.process is not None
            code = await worker.process.wait()
            if worker.leaving:
                return
            if not (worker.killed and code == -signal.SIGKILL):
                known = code in set(Exit)
                self.exits[Exit(code).name if known else str(code)] += 1
                if code not in ACCEPTED:
                    self.problems.append(f"{worker.name} ends by itself with {code}: see {worker.log}")
                await asyncio.sleep(_RESTART_SECONDS)
            await self._start(worker)


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    return True


def events(log: Path) -> list[dict[str, Any]]:
    """What a worker has logged as JSON."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):  # a kill may split a line
                found.append(json.loads(line))
    return found
