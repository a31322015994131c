"""Sinks whose own thread stands still for longer than Kafka lets it, and batches that are torn apart meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from kit.full_stack import wait_until
from kit.sink_world import World, members, running, unrouted, watched

from connectors.kafka import clients
from connectors.kafka.log_reader import log_bounds
from schemas.codec import encode
from schemas.events import LeadUnrouted
from warehouse.client import connect
from warehouse.sink import Sink
from warehouse.sinking.intake import Batch

POLL_SECONDS = 3.0
DOOMED = 50


class Stalling(Sink):
    """A sink that stands still once, before it plans, after, or in an insert, until it is let go."""

    def __init__(self, world: World, moment: str, **changes: Any) -> None:
        self.moment, self.armed, self.stalled, self.go = moment, threading.Event(), threading.Event(), threading.Event()
        config = world.config(max_poll_seconds=POLL_SECONDS, **changes)
        super().__init__(config, connect(world.url), on_step=self._hear)

    def _hear(self, step: str) -> None:
        if step.startswith(self.moment):
            self.stall()

    def _plan(self, now: float) -> None:
        if self.moment == "before the plan":
            self.stall()
        super()._plan(now)

    def stall(self) -> None:
        if self.armed.is_set() and not self.stalled.is_set():
            self.stalled.set()
            assert self.go.wait(60), "nobody let it go"


@pytest.mark.parametrize("moment", ["before the plan", "planned"])
def test_a_sink_that_stalls_too_long_loses_its_partitions_and_comes_back(world: World, moment: str) -> None:
    watched(world)
    sink = Stalling(world, moment)
    with running(sink) as thread:
        world.send(unrouted(300))
        world.settle()
        sink.armed.set()
        world.send(unrouted(1_000))
        assert sink.stalled.wait(20)
        wait_until(lambda: members(world) == 0, "Kafka took its partitions", 30)
        world.send(unrouted(200))
        sink.go.set()
        world.settle()
        world.send(unrouted(100))
        world.settle()
        assert thread.is_alive(), "the same sink went on"
        assert members(world) == 1
    world.assert_once()


@pytest.mark.parametrize("still_there", [True, False], ids=["the other stays", "the other is gone again"])
@pytest.mark.parametrize("moment", ["before the plan", "planned"])
def test_what_another_sink_did_meanwhile_is_not_done_again(world: World, moment: str, still_there: bool) -> None:
    watched(world)
    sink = Stalling(world, moment)
    with running(sink) as thread, ExitStack() as stack:
        world.send(unrouted(300))
        world.settle()
        sink.armed.set()
        world.send(unrouted(1_000))
        assert sink.stalled.wait(20)
        wait_until(lambda: members(world) == 0, "Kafka took its partitions", 30)
        other = stack.enter_context(ExitStack())
        other.enter_context(running(Sink(world.config(), connect(world.url))))
        world.send(unrouted(1_000))
        world.settle()
        if not still_there:
            other.close()
            wait_until(lambda: members(world) == 0, "the other is gone", 30)
        sink.go.set()
        wait_until(lambda: members(world) == 1 + still_there, "it is back", 30)
        world.send(unrouted(500))
        world.settle()
        assert thread.is_alive(), "the same sink went on"
    world.assert_once()


def test_an_insert_may_take_longer_than_kafka_waits_for_a_poll(world: World) -> None:
    watched(world)
    sink = Stalling(world, "inserted")
    with running(sink):
        sink.armed.set()
        world.send(unrouted(1_000))
        assert sink.stalled.wait(20)
        since = time.monotonic()
        wait_until(lambda: time.monotonic() > since + 2 * POLL_SECONDS, "twice as long", 30)
        assert members(world) == 1
        sink.go.set()
        world.settle()
        assert sink.metrics.registry.get_sample_value("leadline_sink_commits_refused_total") == 0
    world.assert_once()


class Planner(Stalling):
    """Plans all that was sent, of every partition; and the thread that inserts goes on first."""

    def __init__(self, world: World, moment: str, records: int) -> None:
        self.records = records
        super().__init__(world, moment, batch_rows=2 * records)

    def _plan(self, now: float) -> None:
        if not self.armed.is_set() or self.stalled.is_set() or self._intake.rows >= self.records:
            super()._plan(now)

    def _insert(self, batch: Batch) -> None:
        super()._insert(batch)
        wait(self._running, 30)
        if self.moment == "written":
            self.stall()


class Sharing(Sink):
    """Begins only once it has not all partitions."""

    def __init__(self, world: World, partitions: int) -> None:
        self.partitions, self.made, self.awaited = partitions, 0, 0
        super().__init__(world.config(accept_gaps=True), connect(world.url))

    def _begin(self) -> None:
        if len(self._assigned) < self.partitions:
            super()._begin()

    def _insert(self, batch: Batch) -> None:
        self.made += bool(batch.pending.elsewhere)
        self.awaited += batch.pending.awaits is not None
        super()._insert(batch)

    def counted(self, metric: str) -> float:
        return self.metrics.registry.get_sample_value(f"leadline_sink_{metric}_total") or 0


@contextmanager
def torn_apart(world: World, moment: str, doomed: int | None = None) -> Iterator[list[Sharing]]:
    """A batch whose planner stands still while its parts go to two others. Its first records in a ``doomed`` partition
    are gone by then. In the end the planner goes on."""
    topic, records = LeadUnrouted.TOPIC.name, 1_000
    watched(world)
    planner = Planner(world, moment, records if doomed is None else records + DOOMED)
    with running(planner) as thread, ExitStack() as stack:
        stack.callback(planner.go.set)
        world.send(unrouted(300))
        world.settle()
        everything = len(planner._assigned)
        if moment == "written":  # not to the view, as by an engine that dies between a table and its view
            world.client.command(f"DETACH TABLE {world.database}.seen")
        planner.armed.set()
        if doomed is not None:
            end = log_bounds(world.bootstrap, topic, doomed)[1] + DOOMED
            for one in unrouted(DOOMED):
                world.producer.produce(topic, None, encode(one), (), partition=doomed)
        world.send(unrouted(records))
        assert planner.stalled.wait(20)
        if moment == "written":
            world.client.command(f"ATTACH TABLE {world.database}.seen")
        if doomed is not None:
            admin = clients.admin(world.bootstrap)
            for future in admin.delete_records([TopicPartition(topic, doomed, end)]).values():
                future.result(20)
        wait_until(lambda: members(world) == 0, "Kafka took its partitions", 30)
        others = [Sharing(world, everything) for _ in range(2)]
        for other in others:
            stack.enter_context(running(other))
        world.settle()
        yield others
        planner.go.set()
        wait_until(lambda: members(world) == 3, "it is back", 30)
        world.send(unrouted(500))
        world.settle()
        assert thread.is_alive()
    world.assert_once()


@pytest.mark.parametrize("moment", ["planned", "written"])
def test_a_batch_that_is_torn_apart_is_made_again_whole(world: World, moment: str) -> None:
    """By who has its first part, under its own token; a view that it had not reached has it then."""
    with torn_apart(world, moment) as others:
        assert any(other.made for other in others)
        assert any(other.awaited for other in others)
        assert not any(other.counted("views_in_doubt") for other in others)
        world.assert_once()


@pytest.mark.parametrize("doomed", [0, 3], ids=["with the first part", "with the others"])
def test_a_torn_batch_of_which_records_are_gone_is_made_of_what_is_left(world: World, doomed: int) -> None:
    """Under other tokens than its own: nothing but the planner's silence keeps its rows from being there twice."""
    with torn_apart(world, "planned", doomed) as others:
        assert any(other.awaited for other in others)
        assert all(other.counted("reconciled") for other in others)
        assert any(other.counted("views_in_doubt") for other in others)
        lost = world.query(f"SELECT DISTINCT partition, last - first + 1 FROM {world.database}.sink_gaps WHERE lost")
        assert lost == [(doomed, DOOMED)]
