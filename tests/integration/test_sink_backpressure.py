"""A warehouse that does not answer, and far more to read than fits: what the sink holds stays bounded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from kit.door import free_port
from kit.full_stack import wait_until
from kit.sink_world import World, embedded, members, running, unrouted, watched

from schemas.events import LeadUnrouted
from warehouse.client import connect
from warehouse.migrate import migrate
from warehouse.sink import Sink
from warehouse.sinking.intake import Partition

BACKLOG = 6_000
BATCH_ROWS = 300
ONE_READ = BATCH_ROWS
RECORD_BYTES = 2_000
"""No record of this test counts for more."""


class Measured(Sink):
    """A sink that remembers the most that it ever held, and the partitions that more waited in than is to."""

    def __init__(self, world: World, **changes: Any) -> None:
        super().__init__(world.config(batch_rows=BATCH_ROWS, **changes), connect(world.url))
        self.overfull: set[Partition] = set()
        self.most_in_flight = self.most_bytes = 0

    def _step(self) -> None:
        super()._step()
        intake = self._intake
        self.overfull |= intake.full(rows=BATCH_ROWS + ONE_READ, size=1 << 30)
        self.most_in_flight = max([self.most_in_flight, *(len(batch.records) for batch in intake.in_flight)])
        self.most_bytes = max(self.most_bytes, intake.held)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"leadline_sink_{name}", labels) or 0.0

    def partitions(self, *topics: str) -> int:
        return sum(not topics or topic in topics for topic, _ in self._intake.positions)


@pytest.fixture
def alone(
    catalogue: None, kafka_bootstrap: str, unique: Callable[[str], str], tmp_path: Path
) -> Iterator[tuple[World, Popen[bytes]]]:
    """A world with an engine of its own, that can be frozen."""
    port = free_port()
    with embedded(tmp_path, port) as engine:
        world = World(kafka_bootstrap, f"http://127.0.0.1:{port}", "leadline", unique("sink"), tmp_path / "sink.log")
        migrate(world.client, "leadline")
        watched(world)
        yield world, engine


@contextmanager
def frozen(process: Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("held_bytes", [256 << 20, 400_000], ids=["by rows of a partition", "by bytes of all"])
def test_a_sink_whose_warehouse_does_not_answer_stops_reading(
    alone: tuple[World, Popen[bytes]], held_bytes: int
) -> None:
    world, engine = alone
    sink, by_rows, topic = Measured(world, held_bytes=held_bytes), held_bytes > 1 << 20, LeadUnrouted.TOPIC.name
    with running(sink) as thread:
        world.send(unrouted(100))
        world.settle()
        with frozen(engine):
            world.send(unrouted(BACKLOG))
            paused = sink.partitions(topic) if by_rows else sink.partitions()
            assert paused
            wait_until(lambda: sink.value("paused_partitions") == paused, "all are paused", 30)
            assert sink.value("lag_seconds") >= 0
            held = sink.value("held_bytes")
            wait_until(lambda: sink.value("lag_records", topic=topic) > BATCH_ROWS, "lag is told", 10)
            assert sink.value("held_bytes") == held, "nothing more is read"
        world.settle()
        wait_until(lambda: sink.value("paused_partitions") == 0, "it reads all again", 10)
        wait_until(lambda: sink.value("lag_records", topic=topic) == 0, "no lag", 10)
        assert sink.value("waiting_records") == sink.value("held_bytes") == 0
        assert thread.is_alive()
    assert not sink.overfull
    assert sink.most_in_flight < 2 * BATCH_ROWS + ONE_READ
    assert sink.most_bytes < held_bytes + ONE_READ * RECORD_BYTES
    if by_rows:
        # Inserts take long, so batches are large by themselves.
        assert sink.most_in_flight >= BATCH_ROWS
        assert sink.value("batches_total") < sink.value("records_total") / 50
    world.assert_once()


def test_partitions_that_are_lost_while_they_are_paused_are_read_again(alone: tuple[World, Popen[bytes]]) -> None:
    world, engine = alone
    armed, stalled, go = threading.Event(), threading.Event(), threading.Event()

    class Stalling(Measured):
        def _balance(self) -> None:
            super()._balance()
            if self._paused and armed.is_set() and not stalled.is_set():
                stalled.set()
                assert go.wait(60)

    with running(Stalling(world, max_poll_seconds=3.0)) as thread:
        world.send(unrouted(100))
        world.settle()
        with frozen(engine):
            armed.set()
            world.send(unrouted(BACKLOG))
            assert stalled.wait(30)
            wait_until(lambda: members(world) == 0, "Kafka took its partitions", 30)
        go.set()
        world.settle()
        assert thread.is_alive()
    world.assert_once()
