"""The faults, in tracks that run side by side. Each track has a random generator of its own, made of the seed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kit.chaos.fleet import Fleet, Worker
from kit.chaos.plan import SESSION_SECONDS, Fault, Plan
from leadline.stack.state import read_state
from leadline.stack.supervisor import State
from streams.engine.exits import Exit

BROKER_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Kill:
    """A worker killed, at a monotonic time, and what it had."""

    at: float
    partitions: list[int]


@dataclass
class Faults:
    """All tracks of a run. ``tell`` gets a line for each fault."""

    plan: Plan
    fleet: Fleet
    home: Path
    tell: Callable[[str], None]
    done: Counter[Fault] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)
    _enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until there were enough; every frozen worker is awake again then."""
        kill, freeze, scale, broker = self.plan.every
        async with asyncio.TaskGroup() as tracks:
            tracks.create_task(self._track(Fault.KILL, kill, self._kill))
            for number in range(self.plan.frozen_at_once):
                tracks.create_task(self._track(f"{Fault.FREEZE} {number}", freeze, self._freeze))
            tracks.create_task(self._track("scale", scale, self._scale))
            tracks.create_task(self._track(Fault.BROKER, broker, self._restart_broker))

    async def _track(self, name: str, every: float, fault: Callable[[random.Random], Awaitable[None]]) -> None:
        chance = random.Random(f"{self.plan.seed}/{name}")
        wait = chance.uniform(0.3, 0.8) * every
        while not await self._enough_within(wait):
            await fault(chance)
            wait = chance.uniform(0.5, 1.5) * every

    async def _enough_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._enough.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _count(self, fault: Fault, what: str) -> None:
        self.done[fault] += 1
        line = f"fault {self.done.total():3d}  {datetime.now(UTC):%H:%M:%S.%f}  {fault}: {what}"
        with (self.fleet.folder / "faults.log").open("a") as log:  # beside the workers' own, for reading them together
            log.write(f"{line}\n")
        self.tell(line)
        fenced = self.fleet.exits[Exit.FENCED.name]
        if self.done.total() >= self.plan.faults and set(self.done) == set(Fault) and fenced:
            self._enough.set()

    def _victim(self, chance: random.Random, workers: list[Worker]) -> Worker | None:
        return chance.choice(sorted(workers, key=lambda worker: worker.name)) if workers else None

    def _ready(self) -> list[Worker]:
        return [worker for worker in self.fleet.workers if worker.ready]

    async def _kill(self, chance: random.Random) -> None:
        # Whoever is awake, ready or not: a start, a restore and a rebalance are moments like others.
        victim = self._victim(chance, [worker for worker in self.fleet.workers if worker.awake])
        if victim is None:
            return
        had = victim.partitions() if victim.ready else []
        victim.killed = True
        victim.signal(signal.SIGKILL)
        self.kills.append(Kill(time.monotonic(), had))
        self._count(Fault.KILL, f"{victim.name}, which had {had}")

    async def _freeze(self, chance: random.Random) -> None:
        seconds = SESSION_SECONDS + chance.uniform(1.0, 8.0)
        ready = self._ready()
        victim = self._victim(chance, ready)
        if victim is None or len(ready) < 2:  # one stays awake
            return
        victim.frozen = True
        victim.signal(signal.SIGSTOP)
        self._count(Fault.FREEZE, f"{victim.name}, which has {victim.partitions()}, for {seconds:.1f} s")
        await asyncio.sleep(seconds)
        victim.signal(signal.SIGCONT)
        victim.frozen = False

    async def _scale(self, chance: random.Random) -> None:
        # Up to the most, then down to the fewest: with every step the partitions move.
        workers = len(self.fleet.workers)
        grow = workers <= self.plan.workers or (workers < self.plan.most_workers and chance.random() < 0.5)
        if grow:
            added = await self.fleet.add()
            self._count(Fault.ADD, f"{added.name} as worker number {workers + 1}")
            return
        victim = self._victim(chance, self._ready())
        if victim is None:
            return
        self._count(Fault.REMOVE, f"{victim.name} of {workers}")
        await self.fleet.remove(victim)

    async def _restart_broker(self, _: random.Random) -> None:
        state = read_state(self.home)
        assert state is not None, "the stack's supervisor is gone"
        before = state.services["kafka"]
        if before.pid is None:
            return
        os.kill(before.pid, signal.SIGKILL)
        self._count(Fault.BROKER, f"kill -9 of Kafka, process {before.pid}")
        async with asyncio.timeout(BROKER_SECONDS):
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                state = read_state(self.home)
                now = state.services["kafka"] if state is not None else before
                if now.restarts > before.restarts and now.state is State.READY:
                    return
