"""One run: the processes, the faults one after the other, and the verdict."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import TopicPartition

from connectors.kafka import clients, topic_admin
from connectors.kafka.lag import lag_of
from connectors.kafka.log_bounds import bounds_of
from kit.door import free_port
from kit.events import MOMENT, event
from kit.full_stack import wait_until
from kit.sink_crashes import armed, cuts
from kit.sink_crashes.faults import SIGNALS, Fault, Kind, Point
from kit.sink_crashes.verdict import MODELS, Outcome, judge, view_of, watch
from schemas.codec import encode
from schemas.topics import CATALOGUE
from warehouse.client import connect
from warehouse.errors import WarehouseError
from warehouse.migrate import migrate
from warehouse.sinking.tables import SUNK_TOPICS

SINKS: Final = 3
PARTITIONS: Final = 3
DATABASE: Final = "crashes"
TABLE: Final = "lead_events"
MONTHS: Final = (9, 10, 11)
"""Of the leads' arrival: an insert is cut into so many parts."""
RECORDS: Final = 300
ATTEMPTS: Final = 10
"""How often an insert is waited for to be at some point."""


@dataclass
class Crashes:
    """The processes of one run, in a folder, on a Kafka of their own. ``sinks`` has the number of the engine that each
    was started beside: one that starts while there is none ends."""

    bootstrap: str
    folder: Path
    seed: int
    tell: Callable[[str], None] = print
    sinks: dict[subprocess.Popen[bytes], int] = field(default_factory=dict)
    faults: Counter[Fault] = field(default_factory=Counter)
    produced: int = 0
    engines: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.group = f"crashes-{uuid4().hex[:8]}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.producer = clients.producer(self.bootstrap)
        self.admin = clients.admin(self.bootstrap)

    def run(self, plan: Sequence[Fault]) -> Outcome:
        """Do all of the plan, each fault in the middle of work."""
        since = time.monotonic()
        topic_admin.apply(self.admin, topic_admin.diff(self.admin, CATALOGUE, PARTITIONS), PARTITIONS, 1)
        wait_until(lambda: not topic_admin.diff(self.admin, CATALOGUE, PARTITIONS), "the topics", 20)
        with ExitStack() as stack:
            stack.callback(self._end)
            self.engine = self._start_engine()
            self.client = connect(self.url)
            migrate(self.client, DATABASE)
            watch(self.client, DATABASE)
            for number, fault in enumerate(plan, 1):
                self.chance.seed(f"{self.seed}/{number}")  # whatever came before
                self._fill()
                self._produce(RECORDS)
                self._do(fault)
                self.tell(f"{number} of {len(plan)}, {time.monotonic() - since:.0f} s: {fault}")
            wait_until(self._settled, "all is settled", 120)
            outcome = Outcome(self.seed, self.faults, self.produced)
            judge(outcome, self.client, DATABASE, self._ends())
            outcome.seconds = time.monotonic() - since
            return outcome

    def _do(self, fault: Fault) -> None:
        if fault.kind is Kind.ENGINE:
            if fault.point is Point.RANDOM:
                self._await_work()
                self._kill_engine()
                self.engine = self._start_engine()
                self.faults[fault] += 1
            else:
                self._cut(fault.point)
            return
        victim = self._anywhere(fault.kind) if fault.point is Point.RANDOM else self._at_its_point(fault)
        if fault.kind is Kind.FREEZE:
            self._await_takeover()
            victim.send_signal(signal.SIGCONT)
        else:
            victim.wait(30)
            del self.sinks[victim]
        self.faults[fault] += 1

    def _anywhere(self, kind: Kind) -> subprocess.Popen[bytes]:
        self._await_work()
        victim = self.chance.choice([sink for sink in self.sinks if sink.poll() is None])
        victim.send_signal(SIGNALS[kind])
        return victim

    def _at_its_point(self, fault: Fault) -> subprocess.Popen[bytes]:
        armed.arm(self.folder, fault)
        taken = self._provoke(partial(armed.taken_by, self.folder), str(fault))
        (victim,) = (sink for sink in self.sinks if sink.pid == taken)
        status = Path(f"/proc/{taken}/stat")
        if fault.kind is Kind.FREEZE:
            wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "it stands still", 10)
        return victim

    def _await_takeover(self) -> None:
        """Wait until others have brought in all there is: the frozen one's partitions were taken from it."""
        self._produce(RECORDS)
        wait_until(lambda: self._stored() >= self.produced, "others go on with a frozen sink's partitions", 60)

    def _cut(self, point: Point) -> None:
        """Kill the engine in the middle of an insert, and look at what it has before any sink goes on."""
        table = (self.folder / "db" / "data" / DATABASE / TABLE).resolve()
        for _ in range(ATTEMPTS):
            self._provoke(lambda: cuts.await_moment(table, point, 3), point)
            self._kill_engine()
            for sink in self.sinks:
                sink.send_signal(signal.SIGSTOP)
            self.engine = self._start_engine()
            view = f"{DATABASE}.{view_of(TABLE)}"
            found = cuts.points_of(self.client, f"{DATABASE}.{TABLE}", view, self.admin, self.group)
            for sink in self.sinks:
                sink.send_signal(signal.SIGCONT)
            # One that was killed a moment too late was killed somewhere.
            self.faults[Fault(Kind.ENGINE, point if point in found else Point.RANDOM)] += 1
            if point in found:
                return
            self._fill()
        raise AssertionError(f"{ATTEMPTS} times the engine was not killed {point}")

    def _await_work(self) -> None:
        """Wait for somewhere in the work on what was just produced, or in the rebalance after the fault before."""
        enough = self._stored() + self.chance.randrange(1, 200)
        with suppress(AssertionError):
            wait_until(lambda: self._stored() >= enough or any(sink.poll() is not None for sink in self.sinks), "", 8)

    def _provoke(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for what happens in the middle of work, and see to it that there is some."""
        for _ in range(ATTEMPTS):
            with suppress(AssertionError):
                return wait_until(condition, what, 6)
            self._fill()
            self._produce(RECORDS)
        raise AssertionError(f"it never came to this: {what}")

    def _kill_engine(self) -> None:
        self.engine.kill()
        self.engine.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with (self.folder / "sinks.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log, env=environment)

    def _start_engine(self) -> subprocess.Popen[bytes]:
        process = self._start("warehouse.embedded", "--path", str(self.folder / "db"), "--port", str(self.port))
        wait_until(self._answers, "the engine", 60)
        self.engines += 1
        return process

    def _answers(self) -> bool:
        try:
            connect(self.url).close()
        except WarehouseError:
            return False
        return True

    def _fill(self) -> None:
        """Start sinks for those that are gone: as they were told to, or for want of an engine while they started."""
        for sink, engines in list(self.sinks.items()):
            if sink.poll() is not None and not armed.has_taken(self.folder, sink.pid):
                assert engines < self.engines, f"a sink has ended by itself: {sink.returncode}"
                del self.sinks[sink]
        while len(self.sinks) < SINKS:
            sink = self._start(
                "kit.sink_crashes.failing_sink", self.bootstrap, self.url, DATABASE, self.group, str(self.folder)
            )
            self.sinks[sink] = self.engines

    def _produce(self, records: int) -> None:
        for _ in range(records):
            at = MOMENT.replace(month=self.chance.choice(MONTHS))
            one = event(self.chance.choice(MODELS), received_at=at, occurred_at=at)
            self.producer.produce(one.TOPIC.name, encode(one), str(one.lead_id).encode())
        self.producer.flush()
        self.produced += records

    def _stored(self) -> int:
        try:
            return int(self.client.query(f"SELECT count() FROM {DATABASE}.{TABLE}").result_rows[0][0])
        except Error:
            return 0

    def _settled(self) -> bool:
        # Rows are seen before an insert is acknowledged, and its views have them later: what is committed is done.
        self._fill()
        return lag_of(self.admin, self.group, SUNK_TOPICS) == 0

    def _ends(self) -> dict[tuple[str, int], int]:
        topics = {model.TOPIC.name for model in MODELS}
        places = [TopicPartition(topic, partition) for topic in topics for partition in range(PARTITIONS)]
        return {place: bounds.high for place, bounds in bounds_of(self.admin, places).items()}

    def _end(self) -> None:
        for process in (*self.sinks, self.engine):
            process.kill()
            process.wait()
