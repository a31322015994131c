"""Sinks killed, frozen and killing themselves, and the engine killed under them: ``python -m kit.sink_crashes``.

In the end the rows, their distinct places, a materialized view's rows and what was produced are the same number.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from connectors.kafka import clients, topic_admin
from connectors.kafka.lag import lag_of
from kit.events import event
from kit.full_stack import share_jars, wait_until
from leadline.stack.background import running_stack
from schemas.codec import encode
from schemas.events import LeadDelivered, LeadRejected, LeadUnique, LeadUnrouted
from schemas.topics import CATALOGUE
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate
from warehouse.sinking.tables import SUNK_TOPICS

SINKS: Final = 3
PARTITIONS: Final = 3
DATABASE: Final = "crashes"
MODELS: Final = (LeadUnrouted, LeadUnique, LeadRejected, LeadDelivered)
SESSION_SECONDS: Final = 2.0


class Fault(StrEnum):
    """What is done. A sink kills itself at random too, after a plan and after an insert."""

    KILL = "kill a sink"
    FREEZE = "freeze a sink beyond its session"
    STOP = "ask a sink to stop"
    ENGINE = "kill the engine"


@dataclass
class Outcome:
    """Counts at the end."""

    produced: int
    rows: int
    distinct: int
    view: int
    faults: Counter[str]

    @property
    def exact(self) -> bool:
        """Is it each record once, everywhere?"""
        return self.produced == self.rows == self.distinct == self.view


@dataclass
class Crashes:
    """The processes of one run, in a folder, on a Kafka of their own."""

    bootstrap: str
    folder: Path
    seed: int
    share: float = 0.02
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    produced: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.group = f"crashes-{uuid4().hex[:8]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.producer = clients.producer(self.bootstrap)

    def run(self, faults: int, records: int = 300) -> Outcome:
        """So many faults, ``records`` produced around each."""
        admin = clients.admin(self.bootstrap)
        topic_admin.apply(admin, topic_admin.diff(admin, CATALOGUE, PARTITIONS), PARTITIONS, 1)
        wait_until(lambda: not topic_admin.diff(admin, CATALOGUE, PARTITIONS), "the topics", 20)
        with ExitStack() as stack:
            stack.callback(self._end)
            self.engine = self._start_engine()
            client = connect(self.url)
            migrate(client, DATABASE)
            client.command(
                f"CREATE MATERIALIZED VIEW {DATABASE}.seen ENGINE = MergeTree ORDER BY tuple()"
                " SETTINGS non_replicated_deduplication_window = 10000"
                f" AS SELECT _topic, _partition, _offset FROM {DATABASE}.lead_events"
            )
            for _ in range(faults):
                self._fill()
                self._produce(records)
                self._fault(self.chance.choice([*Fault, Fault.KILL, Fault.FREEZE]))
            self._fill()
            self._wait()
            return self._count(client)

    def _log(self) -> int:
        return os.open(self.folder / "sinks.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = self._log()
        try:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            return subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log, env=environment)
        finally:
            os.close(log)

    def _start_engine(self) -> subprocess.Popen[bytes]:
        process = self._start("warehouse.embedded", "--path", str(self.folder / "db"), "--port", str(self.port))
        wait_until(self._answers, "the engine", 60)
        return process

    def _answers(self) -> bool:
        try:
            connect(self.url).close()
        except WarehouseError:
            return False
        return True

    def _fill(self) -> None:
        """Start sinks for those that are gone."""
        gone = [process for process in self.processes if process.poll() is not None]
        self.faults["killed themselves"] += sum(process.returncode == -signal.SIGKILL for process in gone)
        self.processes = [process for process in self.processes if process not in gone]
        while len(self.processes) < SINKS:
            self.processes.append(
                self._start("kit.failing_sink", self.bootstrap, self.url, DATABASE, self.group, str(self.share))
            )

    def _produce(self, records: int) -> None:
        for _ in range(records):
            one = event(self.chance.choice(MODELS), uuid4())
            self.producer.produce(one.TOPIC.name, encode(one), str(one.lead_id).encode())
        self.producer.flush()
        self.produced += records

    def _fault(self, fault: Fault) -> None:
        # Somewhere in the work on what was just produced, or in the rebalance after the fault before.
        enough = self._stored() + self.chance.randrange(1, 200)
        try:
            wait_until(lambda: self._stored() >= enough or any(p.poll() is not None for p in self.processes), "rows", 8)
        except AssertionError:
            self.faults["nothing moved before"] += 1
        self.faults[fault.value] += 1
        victim = self.chance.choice(self.processes)
        if fault is Fault.ENGINE:
            self.engine.kill()
            self.engine.wait()
            self.engine = self._start_engine()
        elif fault is Fault.FREEZE:
            victim.send_signal(signal.SIGSTOP)
            before = self._stored()
            self._produce(200)
            others = [process for process in self.processes if process is not victim]
            try:  # the others have its partitions, and go on with them
                wait_until(lambda: self._stored() >= min(before + 200, self.produced), "the others", 6)
            except AssertionError:
                self.faults["nothing moved while frozen"] += 1
            assert others
            victim.send_signal(signal.SIGCONT)
        elif victim.poll() is None:
            victim.send_signal(signal.SIGTERM if fault is Fault.STOP else signal.SIGKILL)
            victim.wait(30)
            self.processes.remove(victim)

    def _stored(self) -> int:
        try:
            client = connect(self.url)
        except WarehouseError:
            return 0
        found = client.query(f"SELECT count() FROM {DATABASE}.lead_events").result_rows[0][0]
        client.close()
        return int(found)

    def _wait(self) -> None:
        # Rows are seen before an insert is acknowledged; a view may have them later. What is committed is done.
        admin = clients.admin(self.bootstrap)

        def done() -> bool:
            self._fill()
            return self._stored() >= self.produced and lag_of(admin, self.group, SUNK_TOPICS) == 0

        wait_until(done, f"{self.produced} rows", 90)

    def _count(self, client: Client) -> Outcome:
        places = "uniqExact(_topic, _partition, _offset)"
        rows, distinct = client.query(f"SELECT count(), {places} FROM {DATABASE}.lead_events").result_rows[0]
        ((view,),) = client.query(f"SELECT count() FROM {DATABASE}.seen").result_rows
        return Outcome(self.produced, int(rows), int(distinct), int(view), self.faults)

    def _end(self) -> None:
        for process in (*self.processes, self.engine):
            process.kill()
            process.wait()


def main() -> int:
    """Run as the options say; 1 when anything is there twice or not at all."""
    parser = argparse.ArgumentParser(prog="python -m kit.sink_crashes", description=__doc__)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="leadline-sink-"))
    share_jars(home)
    print(f"seed {options.seed}; logs in {home}")
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        outcome = Crashes(endpoints.kafka_bootstrap, home / "sink", options.seed).run(options.faults)
    print(outcome)
    return 0 if outcome.exact else 1


if __name__ == "__main__":
    sys.exit(main())
