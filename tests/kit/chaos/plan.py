"""What a run of chaos is made of, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from kit.counting_worker import Kind

SESSION_SECONDS: Final = 6.0
STUCK_SECONDS: Final = 90.0
"""A partition that stands still for so long, with records to be read, will not move again: a hang."""
DRAIN_SECONDS: Final = 90.0
STOP_SECONDS: Final = 10.0
"""What a worker has to end after SIGTERM."""


class Fault(StrEnum):
    """What is done to a run."""

    KILL = "kill -9"
    FREEZE = "freeze"
    ADD = "add"
    REMOVE = "remove"
    BROKER = "broker"


@dataclass(frozen=True)
class Plan:
    """A run of chaos. ``every`` has the mean seconds between faults of one track: kills, freezes, scaling, brokers;
    tracks run side by side. The run goes on until there were ``faults``, with every kind among them, and a zombie was
    fenced."""

    kind: Kind
    seed: int
    faults: int
    every: tuple[float, float, float, float] = (9.0, 5.0, 14.0, 60.0)
    frozen_at_once: int = 2
    workers: int = 3
    most_workers: int = 5
    partitions: int = 6
    keys: int = 500
    records_per_second: int = 1000
    seconds_at_most: float = 3600.0


@dataclass
class Report:
    """What a run came to. Seconds of standing still are from a kill to the next output of the killed worker's
    partitions: the longest of them for each kill."""

    seed: int
    kind: Kind
    logs: Path
    faults: Counter[Fault] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    fenced: int = 0
    records: int = 0
    seconds: float = 0.0
    drain_seconds: float = 0.0
    stood_still: list[float] = field(default_factory=list)
    longest_gap: float = 0.0
    performed_again: int = 0
    intents_found: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for people."""
        still = sorted(self.stood_still)
        kills = f"median {still[len(still) // 2]:.1f} s, longest {still[-1]:.1f} s" if still else "none measured"
        lines = [
            f"{self.kind}, seed {self.seed}: {self.records:,} records in {self.seconds:.0f} s, "
            f"drained {self.drain_seconds:.1f} s after the last fault",
            f"  {self.faults.total()} faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items())),
            f"  {self.fenced} zombies fenced; workers that ended themselves: {dict(self.exits) or 'none'}",
            f"  standing still after kill -9: {kills}; after anything: longest {self.longest_gap:.1f} s",
        ]
        if self.kind is Kind.EFFECTS:
            lines.append(
                f"  effects performed again: {self.performed_again:,}; intents found after a crash: "
                f"{self.intents_found:,}"
            )
        if self.problems:
            lines += [f"  FAILED (logs in {self.logs}):", *(f"    {problem}" for problem in self.problems)]
        else:
            lines.append("  0 lost, 0 duplicated")
        return lines
