"""A run: workers and traffic up, faults, then quiet, and the verdict."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.lag import lag_of
from kit.chaos.faults import Faults
from kit.chaos.fleet import Fleet
from kit.chaos.plan import DRAIN_SECONDS, SESSION_SECONDS, STUCK_SECONDS, Fault, Plan, Report
from kit.chaos.traffic import Traffic
from kit.chaos.verdict import judge, judge_effects, outputs_of
from kit.chaos.watch import Watch
from kit.counting_worker import Kind
from schemas.topics import changelog

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2

Tell = Callable[[str], None]


class StuckError(Exception):
    """Something hangs."""


async def run(plan: Plan, bootstrap: str, home: Path, folder: Path, tell: Tell = print) -> Report:
    """Run a plan on the Kafka that the stack in ``home`` supervises; logs and effects go to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    one = _Run(plan, bootstrap, home, folder, tell)
    try:
        await one.go()
    except StuckError as error:
        one.report.problems.append(f"hangs: {error}")
        await one.fleet.dump(list(one.fleet.workers))
    finally:
        await one.end()
    return one.report


class _Run:
    def __init__(self, plan: Plan, bootstrap: str, home: Path, folder: Path, tell: Tell) -> None:
        self.plan, self.bootstrap, self.folder, self.tell = plan, bootstrap, folder, tell
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})  # the broker goes, and comes back
        self.group = f"chaos-{plan.kind}-{plan.seed}-{int(time.time())}"
        self.source, self.output = f"{self.group}-in", f"{self.group}-out"
        self.effects = folder / "effects"
        self.effects.touch()
        self.report = Report(plan.seed, plan.kind, folder)
        self._make_topics()
        self.fleet = Fleet(self._command(), folder)
        self.faults = Faults(plan, self.fleet, home, tell)
        self.watch = Watch(bootstrap, self.output, plan.partitions)
        self.traffic: Traffic | None = None

    def _make_topics(self) -> None:
        admin, log = self.admin, changelog(self.group)
        new = [NewTopic(name, self.plan.partitions, 1) for name in (self.source, self.output)]
        new.append(NewTopic(log.name, self.plan.partitions, 1, config=log.config))
        for future in admin.create_topics(new).values():
            future.result(30)

    def _command(self) -> list[str]:
        options = {
            "stage": self.plan.kind,
            "bootstrap": self.bootstrap,
            "source": self.source,
            "output": self.output,
            "group": self.group,
            "partitions": self.plan.partitions,
            "session-seconds": SESSION_SECONDS,
            "effects": self.effects,
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "-m", "kit.counting_worker", *arguments]

    async def go(self) -> None:
        plan, report, started = self.plan, self.report, time.monotonic()
        for _ in range(plan.workers):
            await self.fleet.add()
        await self._until(self._all_ready, "every worker has its partitions", READY_SECONDS)
        self.traffic = Traffic(self.bootstrap, self.source, plan.seed, plan.keys, plan.records_per_second)
        flowing = asyncio.create_task(self._see_it_flow())
        faults = asyncio.create_task(self.faults.run())
        try:
            await asyncio.wait({faults, flowing}, timeout=plan.seconds_at_most, return_when="FIRST_COMPLETED")
            if flowing.done():
                await flowing
            if not faults.done():
                raise StuckError(f"{self.faults.done.total()} faults in {plan.seconds_at_most:g} s only")
            await faults
        finally:
            await _end(faults, flowing)
        quiet = time.monotonic()
        await asyncio.to_thread(self.traffic.finish)
        report.records = self.traffic.records
        await self._until(lambda: self.watch.records >= report.records, "every record has its output", DRAIN_SECONDS)
        await self._until_no_lag()
        report.drain_seconds = time.monotonic() - quiet
        await self._until(self._all_ready, "every worker is back", READY_SECONDS)
        await self.fleet.stop()
        await self._start_again()
        report.seconds = time.monotonic() - started
        self._judge()

    async def _start_again(self) -> None:
        """A worker that starts afterwards finds everything, and has nothing to do."""
        worker = await self.fleet.add()
        await self._until(lambda: worker.ready, "a last worker has its partitions", READY_SECONDS)
        await self._until_no_lag()
        await self.fleet.stop()

    def _judge(self) -> None:
        assert self.traffic is not None
        report, outputs = self.report, outputs_of(self.bootstrap, self.output, self.plan.partitions)
        verdict = judge(self.traffic.sent, outputs)
        if self.plan.kind is Kind.EFFECTS:
            judge_effects(verdict, outputs, self.effects)
        report.performed_again, report.intents_found = verdict.performed_again, verdict.intents_found
        report.problems += verdict.problems

    async def end(self) -> None:
        """Let go of everything, and write down what there is to say."""
        report = self.report
        await self.fleet.kill_all()
        if self.traffic is not None:
            self.traffic.stop()
        self.watch.close()
        report.faults, report.exits, report.fenced = self.faults.done, self.fleet.exits, self.fleet.fenced()
        report.problems += self.fleet.problems
        if report.faults[Fault.FREEZE] and not report.fenced:
            report.problems.append("no zombie was fenced")
        still = (max((self.watch.gap_at(p, kill.at) for p in kill.partitions), default=0) for kill in self.faults.kills)
        report.stood_still = [seconds for seconds in still if seconds]
        report.longest_gap = self.watch.longest_gap()

    def _all_ready(self) -> bool:
        return all(worker.ready for worker in self.fleet.workers)

    async def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise StuckError(
                    f"not within {seconds:g} s: {what}; outputs {self.watch.records:,} of {self.report.records:,}, "
                    f"seconds since the last by partition: {self._still()}"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _until_no_lag(self) -> None:
        def lag() -> int | None:
            try:
                return lag_of(self.admin, self.group, (self.source,))
            except KafkaException:  # asked again
                return None

        deadline, now = time.monotonic() + DRAIN_SECONDS, await asyncio.to_thread(lag)
        while now != 0:
            if time.monotonic() > deadline:
                raise StuckError(f"the lag is {now}, with every record's output there, after {DRAIN_SECONDS:g} s")
            await asyncio.sleep(_POLL_SECONDS)
            now = await asyncio.to_thread(lag)

    async def _see_it_flow(self) -> None:
        while max(self.watch.standing_still().values()) < STUCK_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
        raise StuckError(f"nothing comes of a partition for {STUCK_SECONDS:g} s: {self._still()}")

    def _still(self) -> dict[int, float]:
        return {partition: round(seconds, 1) for partition, seconds in self.watch.standing_still().items()}


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
