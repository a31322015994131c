"""The engine against default Faust and Quix Streams: the same topic, the same work.

Each contender has its client's own defaults for batches and commits. Quix Streams flushes its state and commits every
five seconds, so a short run may not see all of its changelog writes; ours are acknowledged before each output is.
Default Faust is slow, so it does fewer records of the same topic. With larger producer batches, uvloop and quiet logs
Faust gets to about twice its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from bench.contender import running, throughput
from bench.registry import Samples, benchmark
from bench.script_python import python_of
from bench.session import REPOSITORY, Session
from schemas.topics import changelog

RECORDS: Final = 300_000
FAUST_RECORDS: Final = 40_000
RECORD_BYTES: Final = 600
RECORDS_PER_KEY: Final = 3
SOURCE: Final = "bench-records"
FAUST: Final = "faust"
QUIX: Final = "quix-streams"


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that takes the options of every contender, and how many records it does."""

    name: str
    command: Callable[[], list[str]]
    records: int


def contenders(session: Session) -> list[Contender]:
    """Ours and its peers, in the order of a round."""
    most = session.records or RECORDS
    return [
        Contender("leadline", lambda: _module("leadline_engine"), most),
        Contender(QUIX, _quix, most),
        Contender(FAUST, lambda: _module("default_faust"), session.scaled(FAUST_RECORDS, RECORDS)),
    ]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"bench.{name}"]


@cache
def _quix() -> list[str]:
    script = REPOSITORY / "bench" / "quix_streams.py"
    return [python_of(script), str(script)]


@benchmark(
    "engine-exactly-once",
    unit="records/s",
    summary="copied exactly once, with a count for each key in a table; default Faust has no such mode that works",
    at_least={QUIX: 1.5, FAUST: 15.0},
)
def exactly_once(session: Session) -> Samples:
    """A read and a write of state for every record, all in transactions. Default Faust does it at least once."""
    return _measure(session, "engine-exactly-once", "--table", "--exactly-once")


@benchmark(
    "engine-passthrough",
    unit="records/s",
    summary="records copied from topic to topic",
    at_least={QUIX: 1.3, FAUST: 15.0},
)
def passthrough(session: Session) -> Samples:
    """No state."""
    return _measure(session, "engine-passthrough")


@benchmark(
    "engine-table",
    unit="records/s",
    summary="the same, with a count for each key in a table with a changelog",
    at_least={FAUST: 10.0},
)
def table(session: Session) -> Samples:
    """A read and a write of state for every record."""
    return _measure(session, "engine-table", "--table")


def _measure(session: Session, benchmark_name: str, *flags: str) -> Samples:
    taking_part = contenders(session)
    samples: Samples = {contender.name: [] for contender in taking_part}
    commands = {contender.name: contender.command() for contender in taking_part}
    records, broker = max(contender.records for contender in taking_part), session.broker
    if SOURCE not in broker.topics():
        session.console.print(f"filling a topic with {records:,} records of {RECORD_BYTES} bytes", style="dim")
        broker.fill(SOURCE, records, RECORD_BYTES, max(1, records // RECORDS_PER_KEY))
    for number in range(1, session.rounds + 1):
        for contender in taking_part:
            run = f"{benchmark_name}-{contender.name}-{number}"
            rate = _run(session, contender, commands[contender.name], run, flags)
            samples[contender.name].append(rate)
            session.report(number, contender.name, rate, "records/s")
    return samples


def _run(session: Session, contender: Contender, command: list[str], run: str, flags: Sequence[str]) -> float:
    broker, output, before = session.broker, f"{run}-output", session.broker.topics()
    # Faust and Quix Streams make the topics of their tables themselves.
    broker.create(output, *([changelog(run).name] if flags else []))
    options = {
        "bootstrap": broker.bootstrap,
        "source": SOURCE,
        "output": output,
        "group": run,
        "data": session.home / "data" / run,
        "partitions": broker.partitions,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    # Default Faust's own exactly-once mode duplicates and crashes, so it runs without.
    arguments += [flag for flag in flags if contender.name != FAUST or flag != "--exactly-once"]
    log, places = session.home / "logs" / f"{run}.log", broker.places([output])
    with (
        session.progress(run, contender.records) as progress,
        running(contender.name, [*command, *arguments], log, {"PYTHONPATH": str(REPOSITORY)}) as process,
    ):
        rate = throughput(lambda: broker.count_in(places), contender.records, [process], progress)
    broker.delete(sorted(broker.topics() - before))
    return rate
