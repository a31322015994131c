import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import replace

import pytest

from leadline.stack.errors import StackError
from leadline.stack.service_log import open_log, tail
from leadline.stack.state import process_started
from leadline.stack.supervisor import Backoff, Service, State, Supervisor

READY = "import os, pathlib, time; pathlib.Path(os.environ['LEADLINE_READY_FILE']).touch();"
QUICK = Backoff(first_seconds=0.01, longest_seconds=0.02, give_up_after=3)


def service(name, program=READY + "time.sleep(600)", **options):
    return Service(name, [sys.executable, "-S", "-c", program], **options)


async def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


class Recorder:
    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def states(self, name):
        return [e.state for e in self.events if e.service == name]

    def order(self, state):
        return [e.service for e in self.events if e.state is state]

    def last(self, name, state):
        return [e for e in self.events if e.service == name and e.state is state][-1]


@contextlib.asynccontextmanager
async def supervised(home, *services, backoff=QUICK):
    events = Recorder()
    supervisor = Supervisor(services, home, events, backoff)
    try:
        yield supervisor, events
    finally:
        await supervisor.stop()


async def test_starts_in_order_and_stops_in_reverse(tmp_path):
    first, second, third = service("first"), service("second", after=("first",)), service("third", after=("second",))
    async with supervised(tmp_path, third, first, second) as (supervisor, events):
        await supervisor.start()
        assert events.order(State.READY) == ["first", "second", "third"]
        assert events.events[1].state is State.READY, "second must not start before first is ready"
        pids = [e.pid for e in events.events if e.state is State.READY]
    assert events.order(State.STOPPED) == ["third", "second", "first"]
    assert events.last("first", State.STOPPED).exit_code == -signal.SIGTERM
    assert all(process_started(pid) is None for pid in pids)


async def test_independent_services_start_side_by_side(tmp_path):
    """Each is ready only once the other has started: one after the other they would never be."""
    meets = "; open({mine!r}, 'w'); exec({wait!r});" + READY + "time.sleep(600)"
    wait = "import os, time\nwhile not os.path.exists({other!r}): time.sleep(0.01)"
    a, b = str(tmp_path / "a.started"), str(tmp_path / "b.started")
    one = service("a", "pass" + meets.format(mine=a, wait=wait.format(other=b)))
    two = service("b", "pass" + meets.format(mine=b, wait=wait.format(other=a)))
    async with supervised(tmp_path, one, two) as (supervisor, events):
        await supervisor.start()
        assert sorted(events.order(State.READY)) == ["a", "b"]


async def test_services_can_be_started_in_steps(tmp_path):
    async with supervised(tmp_path, service("store"), service("worker", after=("store",))) as (supervisor, events):
        await supervisor.start(["store"])
        assert events.states("worker") == []
        await supervisor.start()
        assert events.states("store") == [State.STARTING, State.READY]
        assert events.states("worker") == [State.STARTING, State.READY]


async def test_a_killed_service_is_restarted(tmp_path):
    async with supervised(tmp_path, service("one"), service("two", after=("one",))) as (supervisor, events):
        await supervisor.start()
        pid = events.last("one", State.READY).pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: events.states("one").count(State.READY) == 2)
        assert events.last("one", State.READY).pid != pid
        assert events.last("one", State.DIED).exit_code == -signal.SIGKILL
        assert events.states("two") == [State.STARTING, State.READY], "a restart does not touch its dependents"


async def test_gives_up_after_too_many_deaths_and_keeps_the_rest(tmp_path):
    async with supervised(tmp_path, service("dying", READY + "time.sleep(0.3)"), service("well")) as (
        supervisor,
        events,
    ):
        await supervisor.start()
        await until(lambda: State.FAILED in events.states("dying"))
        assert events.states("dying").count(State.DIED) == QUICK.give_up_after + 1
        assert process_started(events.last("well", State.READY).pid) is not None


async def test_a_wrong_configuration_is_not_tried_again(tmp_path):
    bad = service("bad", "import sys; print('buyers.yaml: line 3'); sys.exit(78)")
    async with supervised(tmp_path, bad, service("later", after=("bad",))) as (supervisor, events):
        with pytest.raises(
            StackError, match=r"(?s)bad does not start \(exit code 78\).*buyers\.yaml: line 3"
        ) as caught:
            await supervisor.start()
        assert "leadline up" in caught.value.hint
        assert events.states("bad") == [State.STARTING, State.DIED, State.FAILED]
        assert events.states("later") == []


async def test_exit_code_78_after_readiness_is_a_death_as_any_other(tmp_path):
    go = tmp_path / "go"
    program = (
        f"go = pathlib.Path({str(go)!r})\nwhile not go.exists(): time.sleep(0.01)\ngo.unlink()\nraise SystemExit(78)"
    )
    async with supervised(tmp_path, service("one", READY + program)) as (supervisor, events):
        await supervisor.start()
        go.touch()
        await until(lambda: events.states("one").count(State.READY) == 2)
        assert events.last("one", State.DIED).exit_code == 78


async def test_a_service_that_is_never_ready_fails_in_time(tmp_path):
    silent = service("silent", "import time; print('thinking'); time.sleep(600)", start_timeout_seconds=2)
    async with supervised(tmp_path, silent) as (supervisor, events):
        with pytest.raises(StackError, match=r"(?s)silent was not ready within 2 s.*thinking"):
            await supervisor.start()
        assert process_started(events.last("silent", State.STARTING).pid) is None


async def test_a_failing_install_is_told(tmp_path):
    async def install():
        raise StackError("no network", "try again")

    async with supervised(tmp_path, service("one", install=install), service("two", after=("one",))) as (s, events):
        with pytest.raises(StackError, match="no network"):
            await s.start()
        assert events.states("one") == [State.FAILED]


async def test_sigkill_follows_when_sigterm_does_not_help(tmp_path):
    deaf = service("deaf", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY + "time.sleep(600)")
    async with supervised(tmp_path, replace(deaf, stop_timeout_seconds=0.2)) as (supervisor, events):
        await supervisor.start()
    assert events.last("deaf", State.STOPPED).exit_code == -signal.SIGKILL


async def test_what_a_service_started_itself_goes_with_it(tmp_path):
    program = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid);" + READY + "time.sleep(600)"
    )
    async with supervised(tmp_path, service("one", program)) as (supervisor, events):
        await supervisor.start()
        grandchild = int(tail(tmp_path / "logs" / "one.log")[0])
        assert process_started(grandchild) is not None
        os.kill(events.last("one", State.READY).pid, signal.SIGKILL)
        await until(lambda: process_started(grandchild) is None)


async def test_stop_while_starting_leaves_nothing(tmp_path):
    async with supervised(tmp_path, service("slow", "import time; time.sleep(600)")) as (supervisor, events):
        starting = asyncio.create_task(supervisor.start())
        await until(lambda: events.states("slow") == [State.STARTING])
        starting.cancel()
    assert process_started(events.events[0].pid) is None
    assert events.states("slow") == [State.STARTING, State.STOPPED]


async def test_readiness_can_be_a_question(tmp_path):
    asked = []

    async def ready():
        asked.append(True)
        return len(asked) == 3

    async with supervised(tmp_path, service("one", "import time; time.sleep(600)", ready=ready)) as (supervisor, _):
        await supervisor.start()
    assert len(asked) == 3


def test_backoff_doubles_up_to_its_longest():
    delays = [Backoff().delay(deaths) for deaths in range(1, 9)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_a_large_log_is_rotated_at_the_next_start(tmp_path):
    path = tmp_path / "logs" / "one.log"
    for text in (b"old\n", b"new\n", b"newest\n"):
        with open_log(path, rotate_bytes=7) as log:
            log.write(text)
    assert path.read_text() == "newest\n"
    assert path.with_name("one.log.1").read_text() == "old\nnew\n"
    assert tail(path) == ["newest"]
