"""The four real stages end to end: leads on their topic to outcomes on theirs, every sellable lead posted to a buyer.

Each stage has one worker and the sandbox's buyers, one more process, answer at once and accept everything, so what is
measured is Leadline. The clock runs from before the first lead is written to the last outcome. The in-memory runner,
the same stages in one process without Kafka and HTTP, is no rival: it shows what the rules themselves cost.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import yaml

from bench.broker import write
from bench.contender import Process, running, throughput
from bench.errors import BenchmarkError
from bench.registry import Samples, benchmark
from bench.session import Session
from connectors.sandbox.traffic import DEFAULT_MIX, generate
from leadline import environment, releases
from leadline.stack import lifeline
from leadline.stack.background import running_stack
from leadline.stack.files import local_file
from leadline.stack.services import WORKERS
from schemas import topics
from schemas.settings import Settings

LEADS: Final = 10_000
MEMORY: Final = "in-memory"
START_SECONDS: Final = 60.0
OUTCOMES: Final = tuple(
    spec.name
    for spec in (
        topics.REJECTED,
        topics.DUPLICATE,
        topics.UNROUTED,
        topics.DELIVERED,
        topics.UNDELIVERED,
        topics.DEAD_LETTERS,
    )
)


@benchmark("pipeline", unit="leads/s", summary="four stages, every sellable lead posted to a buyer on loopback")
def pipeline(session: Session) -> Samples:
    """Leads a second, from the first written to the last outcome."""
    leads = session.records or LEADS
    samples: Samples = {"leadline": [], MEMORY: []}
    with _workers(session) as workers:
        for number in range(1, session.rounds + 1):
            samples["leadline"].append(_on_kafka(session, workers, leads, number))
            session.report(number, "leadline", samples["leadline"][-1], "leads/s")
            samples[MEMORY].append(_in_memory(leads, number))
            session.report(number, MEMORY, samples[MEMORY][-1], "leads/s")
    return samples


@contextmanager
def _workers(session: Session) -> Iterator[list[Process]]:
    """A worker of each stage on the session's Kafka, ready."""
    home = session.home / "pipeline"
    home.mkdir()
    sandbox, config = home / "sandbox.yaml", home / "config.yaml"
    buyers = yaml.safe_load(local_file("sandbox.yaml").read_text())["buyers"]
    sandbox.write_text(yaml.safe_dump({"buyers": {name: {} for name in buyers}}))
    config.write_text(_without_caps(local_file("config.yaml").read_text()))
    settings = {"LEADLINE_SANDBOX_CONFIG": str(sandbox)}
    bootstrap = session.broker.bootstrap
    environment.prepare(Settings(home=home, partitions=session.broker.partitions), bootstrap, None)
    session.console.print("starting buyers and workers", style="dim")
    with running_stack(home, {"sandbox-buyer"}, environment=settings) as endpoints, ExitStack() as stack:
        releases.apply_first(Settings(home=home, config=config, sandbox_url=endpoints.sandbox_url), bootstrap)
        shared = {
            "LEADLINE_HOME": str(home),
            "LEADLINE_KAFKA_BOOTSTRAP": bootstrap,
            "LEADLINE_SANDBOX_URL": str(endpoints.sandbox_url),
            "LEADLINE_PARTITIONS": str(session.broker.partitions),
        }
        workers, waiting = [], []
        for stage in WORKERS:
            ready = home / "run" / f"{stage}.ready"
            own = {**shared, "LEADLINE_READY_FILE": str(ready)}
            command = [sys.executable, "-m", "leadline", "worker", stage]
            workers.append(stack.enter_context(running(stage, command, home / "logs" / f"{stage}.log", own)))
            waiting.append(ready)
        deadline = time.monotonic() + START_SECONDS
        while not all(ready.exists() for ready in waiting):
            for worker in workers:
                worker.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the workers were not ready after {START_SECONDS:g} s")
            time.sleep(0.05)
        yield workers


def _without_caps(configuration: str) -> str:
    """Uncapped campaigns: a cap that earlier rounds have used up would change the work of later ones."""
    document = yaml.safe_load(configuration)
    for campaign in document["campaigns"]:
        campaign.pop("caps", None)
    return yaml.safe_dump(document)


def _on_kafka(session: Session, workers: Sequence[Process], leads: int, seed: int) -> float:
    broker = session.broker
    records = generate(seed, DEFAULT_MIX.scaled(leads)).records
    places = broker.places(OUTCOMES)
    before = broker.count_in(places)
    with session.progress(f"pipeline-{seed}", leads) as progress:
        started = time.monotonic()
        write(broker.bootstrap, topics.LEADS.name, ((None, record) for record in records))
        return throughput(lambda: broker.count_in(places) - before, leads, workers, progress, since=started)


def _in_memory(leads: int, seed: int) -> float:
    command = [sys.executable, "-m", "bench.memory_pipeline", f"--leads={leads}", f"--seed={seed}"]
    process = subprocess.Popen(
        lifeline.wrap(command),
        env={**os.environ, "LEADLINE_SANDBOX_URL": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            output, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BenchmarkError(f"the in-memory pipeline failed:\n{errors.strip()[-2000:]}")
    return float(output)
