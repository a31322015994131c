"""Many crash histories at once, and one of them again.

::

    PYTHONPATH=tests python -m kit.histories --count 10000
    PYTHONPATH=tests python -m kit.histories --seed 4711 --trace
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from kit.history import History
from kit.history_checks import check
from streams.memory.faults import ALLOWED, Fault, Point

CHUNK: Final = 50
ENDS: Final = ("rejected", "duplicate", "unrouted", "delivered", "undelivered", "dead", "kept")


@dataclass
class Tally:
    """What happened in a number of histories."""

    histories: int = 0
    actions: int = 0
    faults: Counter[tuple[Point, Fault]] = field(default_factory=Counter)
    fenced: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    """By seed, what did not hold."""

    def add(self, other: Tally) -> None:
        """Take over another's counts."""
        self.histories += other.histories
        self.actions += other.actions
        self.faults.update(other.faults)
        self.fenced.update(other.fenced)
        self.answers.update(other.answers)
        self.ends.update(other.ends)
        self.failures.update(other.failures)

    @property
    def missing(self) -> list[str]:
        """Faults and ends that never happened: histories without them prove nothing about them."""
        faults = [f"{p.name} {f.name}" for p, allowed in ALLOWED.items() for f in allowed if not self.faults[p, f]]
        fenced = [
            f"{stage} fenced" for stage in ("validation", "dedup", "routing", "delivery") if not self.fenced[stage]
        ]
        ends = [end for end in (*ENDS, "held", "sold by a replay", "sold twice") if not self.ends[end]]
        return faults + fenced + ends

    def __str__(self) -> str:
        lines = [f"{self.histories} histories, {self.actions} actions, {self.faults.total()} faults"]
        lines += [f"  {n:7} {fault.value:7} {point.value}" for (point, fault), n in sorted(self.faults.items())]
        for title, counts in (("fenced", self.fenced), ("buyers said", self.answers), ("leads", self.ends)):
            lines.append(f"{title}: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
        return "\n".join(lines)


def again(seed: int) -> str:
    """The command that has a history again."""
    return f"PYTHONPATH=tests python -m kit.histories --seed {seed} --trace"


def tell(first: int, count: int) -> Tally:
    """Histories of ``count`` seeds from ``first`` on, in this process."""
    tally = Tally()
    for seed in range(first, first + count):
        tally.histories += 1
        history = History(seed)
        try:
            history.run()
            tally.ends += check(history)
        except Exception:  # whatever it is, the others go on
            tally.failures[seed] = traceback.format_exc(limit=-3)
        tally.actions += len(history.simulation.trace)
        tally.faults += history.faults.counts
        tally.fenced += history.simulation.fenced
        tally.answers += Counter(str(answer or "nothing") for answer in history.buyers.answers.elements())
    return tally


def tell_all(
    count: int, first: int = 0, workers: int | None = None, progress: Callable[[Tally], None] = lambda tally: None
) -> Tally:
    """Histories side by side in ``workers`` processes, one for each processor if that is not said."""
    starts = range(first, first + count, CHUNK)
    sizes = [min(CHUNK, first + count - start) for start in starts]
    tally = Tally()
    # Not forked: the caller may have threads.
    with ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(tell, starts, sizes):
            tally.add(part)
            progress(tally)
    return tally


def _lines(history: History) -> Iterator[str]:
    for actor, point, fault in history.simulation.trace:
        yield f"{actor:20} {point or ''}" + (f"  ** {fault.value} **" if fault else "")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="kit.histories", description="crash histories of the four stages in memory")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seed", type=int, help="only this history")
    parser.add_argument("--trace", action="store_true", help="with --seed: every action")
    options = parser.parse_args()
    if options.seed is not None:
        history = History(options.seed)
        try:
            history.run()
            check(history)
        finally:
            if options.trace:
                print("\n".join(_lines(history)))
            print(f"seed {options.seed}: {len(history.simulation.trace)} actions, {history.fingerprint()}")
        return 0
    started = time.monotonic()

    def progress(tally: Tally) -> None:
        if tally.histories % 1000 == 0:
            print(
                f"{tally.histories:7} in {time.monotonic() - started:.0f} s, {len(tally.failures)} failed", flush=True
            )

    tally = tell_all(options.count, options.first, options.workers, progress)
    print(f"{tally}\nin {time.monotonic() - started:.1f} s")
    if tally.missing:
        print(f"never happened: {', '.join(tally.missing)}")
    for seed, failure in list(tally.failures.items())[:3]:
        print(f"\n{failure}have it again: {again(seed)}")
    if tally.failures:
        print(f"\n{len(tally.failures)} failed: {sorted(tally.failures)[:50]}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
