"""A sink whose own thread stands still for longer than Kafka lets it: its partitions are lost, and nothing else is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from kit.full_stack import wait_until
from kit.sink_world import World, members, running, unrouted, watched

from warehouse.client import connect
from warehouse.sink import Sink
from warehouse.sinking.lane import Lane

POLL_SECONDS = 3.0


class Stalling(Sink):
    """A sink whose thread stands still once, before it plans or after, until it is let go."""

    def __init__(self, world: World, moment: str, **changes: Any) -> None:
        self.moment, self.armed, self.stalled, self.go = moment, threading.Event(), threading.Event(), threading.Event()
        config = world.config(max_poll_seconds=POLL_SECONDS, **changes)
        super().__init__(config, connect(world.url), on_step=self._hear)

    def _hear(self, step: str) -> None:
        if step.startswith(self.moment):
            self.stall()

    def _plan(self, lanes: Sequence[Lane]) -> None:
        if self.moment == "before the plan":
            self.stall()
        super()._plan(lanes)

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
