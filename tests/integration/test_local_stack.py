"""The local stack on real processes: Apache Kafka under the supervisor."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from leadline.stack import lifeline
from leadline.stack.background import running_stack
from leadline.stack.errors import StackError
from leadline.stack.local import down, up
from leadline.stack.ports import HOST
from leadline.stack.state import process_started, read_state
from leadline.stack.supervisor import State
from schemas.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.chaos]

DEVELOPERS_JARS = Path(__file__).resolve().parents[2] / ".leadline" / "maven"
KAFKA = {"kafka"}


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="session")
def jars(tmp_path_factory):
    """The jars of the first stack that any test starts: downloading them is tested once, not once per test."""
    return tmp_path_factory.mktemp("maven") / "maven"


@pytest.fixture
def home(tmp_path, jars, monkeypatch):
    for name in [name for name in os.environ if name.startswith("LEADLINE_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "a home, ünusual: %41 \\ name"  # paths reach Java, .properties files and the class path
    home.mkdir()
    for source in (jars, DEVELOPERS_JARS):
        if source.is_dir():
            shutil.copytree(source, home / "maven")  # verified again at every start
            break
    yield home
    if not jars.exists() and (home / "maven").is_dir():
        shutil.copytree(home / "maven", jars)


def create_topic(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 2)]).values():
        future.result(30)


def produce(bootstrap, topic, values):
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def consume(bootstrap, topic, count):
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    values = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        if (message := consumer.poll(0.2)) is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return sorted(values)


def kafka(home):
    return read_state(home).services["kafka"]


def test_kafka_keeps_its_data_and_its_port_over_kill_9(home):
    with running_stack(home, KAFKA) as endpoints:
        create_topic(endpoints.kafka_bootstrap, "leads")
        produce(endpoints.kafka_bootstrap, "leads", [b"1", b"2"])
        assert consume(endpoints.kafka_bootstrap, "leads", 2) == [b"1", b"2"]

        os.kill(endpoints.pids["kafka"], signal.SIGKILL)
        until(lambda: kafka(home).state is State.READY and kafka(home).restarts == 1)
        assert kafka(home).pid != endpoints.pids["kafka"]
        assert read_state(home).kafka_bootstrap == endpoints.kafka_bootstrap
        produce(endpoints.kafka_bootstrap, "leads", [b"3"])

    with running_stack(home, KAFKA) as endpoints:
        produce(endpoints.kafka_bootstrap, "leads", [b"4"])
        assert consume(endpoints.kafka_bootstrap, "leads", 2) == [b"3", b"4"], "the group's offsets were kept too"
    assert read_state(home) is None


def test_another_port_when_the_first_choice_is_taken(home, monkeypatch):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("LEADLINE_KAFKA_PORT", str(port))
        with running_stack(home, KAFKA) as endpoints:
            assert endpoints.kafka_bootstrap != f"{HOST}:{port}"
            create_topic(endpoints.kafka_bootstrap, "leads")
        # The quorum's port may be another one the next time as well: the data is still there.
        taken.close()
        with running_stack(home, KAFKA) as endpoints:
            assert endpoints.kafka_bootstrap == f"{HOST}:{port}"
            produce(endpoints.kafka_bootstrap, "leads", [b"1"])


def test_kill_9_of_the_supervisor_leaves_no_process(home):
    with running_stack(home, KAFKA) as endpoints:
        state = read_state(home)
        os.kill(state.pid, signal.SIGKILL)
        until(lambda: all(process_started(pid) is None for pid in endpoints.pids.values()), seconds=10)
        assert read_state(home) is None
    with running_stack(home, KAFKA) as endpoints:  # and nothing keeps the home from being used again
        create_topic(endpoints.kafka_bootstrap, "leads")


def test_kill_9_of_the_caller_leaves_no_process(home):
    program = (
        "import sys, time; from pathlib import Path; from leadline.stack.background import running_stack\n"
        "with running_stack(Path(sys.argv[1]), {'kafka'}): print('ready', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout.readline() == "ready\n"
        state = read_state(home)
        caller.kill()
        pids = [state.pid, *(service.pid for service in state.services.values())]
        until(lambda: all(process_started(pid) is None for pid in pids), seconds=10)


def test_ctrl_c_stops_in_order(home):
    log = home / "stack.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            lifeline.wrap([sys.executable, "-m", "leadline.stack", "--only", "kafka"]),
            env={**os.environ, "LEADLINE_HOME": str(home)},
            stdout=output,
            stderr=output,
        ) as supervisor,
    ):
        until(lambda: supervisor.poll() is not None or ((s := read_state(home)) and s.ready), seconds=180)
        pid = kafka(home).pid
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(30) == 0
        assert process_started(pid) is None
    assert "kafka: stopped" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert (home / "kafka" / "data" / ".kafka_cleanshutdown").exists(), "Kafka was told to stop, not killed"


def test_one_stack_per_home_and_down_ends_it(home):
    with running_stack(home, KAFKA):
        with pytest.raises(StackError, match="already running"), running_stack(home, KAFKA):
            pass
        pid = kafka(home).pid
        assert down(home) is True
        assert process_started(pid) is None
        assert down(home) is False


def children():
    """Living children of this process, by name."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in map(int, found) if process_started(pid) is not None]


async def test_preparations_run_between_kafka_and_its_users(home):
    stop, happened = asyncio.Event(), []

    async def prepare(endpoints):
        happened.append("prepare")
        await asyncio.to_thread(create_topic, endpoints.kafka_bootstrap, "leads")

    def ready(endpoints):
        happened.append("stack ready")
        assert read_state(home).ready
        stop.set()

    await up(
        Settings(home=home),
        prepare=prepare,
        on_event=lambda event: happened.append(f"{event.service} {event.state}"),
        stop=stop,
        only=KAFKA,
        on_ready=ready,
    )
    assert happened == ["kafka starting", "kafka ready", "prepare", "stack ready", "kafka stopped"]
    assert read_state(home) is None


async def test_failed_preparations_stop_everything(home):
    async def prepare(_endpoints):
        raise StackError("a migration was changed", "see it")

    before = children()
    with pytest.raises(StackError, match="a migration was changed"):
        await up(Settings(home=home), prepare=prepare, on_event=lambda _event: None, stop=asyncio.Event(), only=KAFKA)
    assert children() == before


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5, 1.0])
async def test_stop_at_any_moment_of_the_start(home, seconds):
    before, stop = children(), asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    started = time.monotonic()
    await up(Settings(home=home), prepare=None, on_event=lambda _event: None, stop=stop, only=KAFKA)
    assert time.monotonic() - started < 30
    assert children() == before


def test_what_kafka_says_is_told_when_it_cannot_start(home, monkeypatch):
    monkeypatch.setenv("LEADLINE_JAVA", "/no/such/java")
    with pytest.raises(StackError, match="/no/such/java"), running_stack(home, KAFKA):
        pass
    assert read_state(home) is None
