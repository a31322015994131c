"""A simulation of ordinary leads under ordinary rules: from the raw records of a file to the report.

Everything counts that somebody who waits for the report waits for: the start of the second process, which validates,
the reading of the file, every stage, and the sums. What the buyers answer is drawn from a rate.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import Session
from bench.simulated_leads import START, answers, leads, release
from streams.simulation.comparison import Comparison
from streams.simulation.front import Course, FrontHalf
from streams.simulation.raw_leads import FileLeads
from streams.simulation.simulator import simulate as run_simulation

LEADS: Final = 50_000
DAYS: Final = timedelta(days=2)
SECRET: Final = b"the pseudonym key of a benchmark"


@benchmark("simulate", unit="µs", summary="what a lead takes in a simulation; 200 µs are 5,000 leads/s", at_most=200.0)
def simulate(session: Session) -> Samples:
    """Microseconds a lead, by the clock on the wall."""
    count = session.records or LEADS
    file = session.home / "simulated.jsonl"
    file.write_bytes(b"\n".join(leads(count)))
    found = []
    for number in range(1, session.rounds + 1):
        seconds = _seconds(file, count)
        session.report(number, "leadline", count / seconds, "leads/s")
        found.append(seconds / count * 1e6)
    return {"leadline": found}


def _seconds(file: Path, count: int) -> float:
    configuration, known = release(), answers()
    started = time.perf_counter()
    half = FrontHalf(FileLeads(file, "jsonl", START, START + DAYS), Course(configuration, configuration, START), SECRET)
    simulated = run_simulation(half, known, end=START + DAYS, count=count)
    report = Comparison(
        release=configuration.release,
        against=None,
        start=START,
        end=START + DAYS,
        seed=0,
        after=simulated.tally,
        answers=simulated.answers,
    )
    json.dumps(report.document())
    seconds = time.perf_counter() - started
    if not report.conserved or len(simulated.tally.leads) != count:
        raise BenchmarkError("a lead has no outcome, or two")
    return seconds
