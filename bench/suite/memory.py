"""Whether a worker's memory stays flat: one that counts exactly once, at a steady rate for ten minutes.

It has as many keys as it will ever have within seconds, so what grows after the first minutes is lost. What is reported
is the resident memory at the end above that after the warm-up, each the median of a minute.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

from bench.contender import Process
from bench.engine_process import engine_process
from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import Session
from connectors.kafka import clients
from schemas.topics import changelog

RATE: Final = 2_000
MINUTES: Final = 10
WARM_UP_MINUTES: Final = 2
KEYS: Final = 10_000
RECORD_BYTES: Final = 600
TURN_SECONDS: Final = 0.01
MOST_GROWTH: Final = 10.0


@benchmark(
    "memory",
    unit="MB",
    summary=f"what a worker's memory grows by in {MINUTES} minutes at {RATE:,} records/s",
    at_most=MOST_GROWTH,
    usual=False,
)
def memory(session: Session) -> Samples:
    """Megabytes, once whatever the rounds."""
    broker, run = session.broker, "memory"
    source, output = f"{run}-source", f"{run}-output"
    broker.create(source, output, changelog(run).name)
    with engine_process(session, run, "--table", "--exactly-once") as process:
        minutes = _minutes(session, process, source, output)
    broker.delete([source, output, changelog(run).name])
    for number, megabytes in enumerate(minutes, 1):
        session.console.print(f"  minute {number:<3} {megabytes:>8.1f} MB resident", highlight=False)
    return {"leadline": [minutes[-1] - minutes[WARM_UP_MINUTES]]}


def _minutes(session: Session, process: Process, source: str, output: str) -> list[float]:
    """Write at the rate; the median of each minute's resident megabytes, once all that was written has come out."""
    producer = clients.producer(session.broker.bootstrap, **{"linger.ms": 0})
    total, value = RATE * 60 * MINUTES, b"x" * RECORD_BYTES
    places, samples, started, sent = session.broker.places([output]), list[list[float]](), time.monotonic(), 0
    with session.progress("memory", total) as progress:
        while sent < total:
            elapsed = time.monotonic() - started
            due = min(int(elapsed * RATE), total)
            for number in range(sent, due):
                producer.produce(source, value, b"key-%d" % (number * 7919 % KEYS))
            sent = due
            producer.poll(0)
            if elapsed // 60 >= len(samples):
                samples.append([])
            if elapsed - len(samples) * 60 + 60 > len(samples[-1]):  # once a second
                process.check()
                samples[-1].append(_resident(process.pid))
                progress.update(progress.task_ids[0], completed=sent)
            time.sleep(TURN_SECONDS)
    producer.flush()
    deadline = time.monotonic() + 60
    while session.broker.count_in(places) < total:  # transaction markers count too, so this is the least
        if time.monotonic() > deadline:
            raise BenchmarkError("not all that was written has come out")
        time.sleep(TURN_SECONDS)
    return [statistics.median(minute) for minute in samples]


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError(f"process {pid} has ended")
