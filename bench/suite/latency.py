"""One hop through the engine at 1,000 records/s: from the moment a record is written to the moment its output is read,
committed, by another client. Writing and reading are in it, so the engine alone is quicker."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from bench.engine_process import engine_process
from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import REPOSITORY, Session
from leadline.stack import lifeline
from schemas.topics import changelog

RATE: Final = 1_000
SECONDS: Final = 15
WARM_UP_SECONDS: Final = 5
RECORD_BYTES: Final = 600
DETERMINISTIC: Final = ("--table",)
EXACTLY_ONCE: Final = ("--table", "--exactly-once")

_measured: dict[tuple[int, tuple[str, ...]], list[dict[str, float]]] = {}


@benchmark("hop-deterministic-p50", unit="ms", summary="one hop at 1,000/s, with a table: the median", at_most=4.0)
def deterministic(session: Session) -> Samples:
    """Acknowledged."""
    return _samples(session, DETERMINISTIC, "p50")


@benchmark("hop-deterministic-p99", unit="ms", summary="the same: 99 of 100 records")
def deterministic_p99(session: Session) -> Samples:
    """Acknowledged."""
    return _samples(session, DETERMINISTIC, "p99")


@benchmark("hop-exactly-once-p50", unit="ms", summary="one hop at 1,000/s in transactions: the median", at_most=15.0)
def exactly_once(session: Session) -> Samples:
    """Transactions."""
    return _samples(session, EXACTLY_ONCE, "p50")


@benchmark("hop-exactly-once-p99", unit="ms", summary="the same: 99 of 100 records", at_most=60.0)
def exactly_once_p99(session: Session) -> Samples:
    """Transactions."""
    return _samples(session, EXACTLY_ONCE, "p99")


def _samples(session: Session, flags: tuple[str, ...], percentile: str) -> Samples:
    rounds = _measured.get((id(session), flags))
    if rounds is None:  # one run gives every percentile
        rounds = _measured[id(session), flags] = [_round(session, flags, n + 1) for n in range(session.rounds)]
    return {"leadline": [found[percentile] for found in rounds]}


def _round(session: Session, flags: tuple[str, ...], number: int) -> dict[str, float]:
    broker, run = session.broker, f"hop{len(flags)}-{number}"
    source, output = f"{run}-source", f"{run}-output"
    broker.create(source, output, changelog(run).name)
    with engine_process(session, run, *flags) as process:
        shared = {
            "bootstrap": broker.bootstrap,
            "source": source,
            "output": output,
            "partitions": broker.partitions,
        }
        own = {"rate": RATE, "seconds": SECONDS, "warm-up": WARM_UP_SECONDS, "size": RECORD_BYTES}
        arguments = [f"--{name}={value}" for name, value in (shared | own).items()]
        probe = [sys.executable, "-m", "bench.latency_probe", *arguments]
        done = subprocess.run(lifeline.wrap(probe), capture_output=True, text=True, cwd=REPOSITORY, check=False)
        process.check()
    broker.delete([source, output, changelog(run).name])
    if done.returncode != 0:
        raise BenchmarkError(f"the probe failed:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    for percentile, value in found.items():
        session.report(number, f"leadline {percentile}", value, "ms")
    return found
