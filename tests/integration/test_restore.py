"""State in RocksDB on a real Kafka: a restart restores the tail, and the counts stay exact whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic as Topic
from kit.counting_worker import COUNTS, Counted, Counting
from kit.full_stack import REPOSITORY, wait_until

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, log_bounds, partitions_of, read_range
from connectors.kafka.producer import AckedProducer, PlacingProducer
from connectors.kafka.topic_admin import topic_ids
from connectors.kafka.transaction import TransactionalProducer
from schemas.topics import changelog
from streams.changelog import position_key
from streams.engine.changelog import restore
from streams.engine.exits import Exit
from streams.engine.writer import AckedWriter, TransactionalWriter, Writer
from streams.lane import Lane, Step
from streams.position import Position
from streams.stage import Context, Guarantee, Stage
from streams.tables import Change, Tables

pytestmark = pytest.mark.stack

PARTITIONS = 2
KEYS = 300
NewTopic = Callable[..., str]


@dataclass
class Counters:
    """A counting stage's topics, and the workers that a test starts."""

    bootstrap: str
    source: str
    output: str
    group: str
    folder: Path
    sent: int = 0

    @property
    def stage(self) -> Stage[Any]:
        return Counting(self.group, self.source, self.output)

    @property
    def changelog(self) -> str:
        return changelog(self.group).name

    @property
    def topic_ids(self) -> dict[str, str]:
        return topic_ids(clients.admin(self.bootstrap), [self.source, self.changelog])

    def send(self, records: int) -> None:
        producer = AckedProducer(self.bootstrap)
        for number in range(self.sent, self.sent + records):
            producer.produce(self.source, b"key-%d" % (number % KEYS), b"%d" % number)
        producer.flush()
        producer.close()
        self.sent += records

    @contextmanager
    def worker(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker; it is killed at the end unless it has ended."""
        command = [sys.executable, "-m", "kit.persistent_worker", f"--bootstrap={self.bootstrap}"]
        command += [f"--source={self.source}", f"--output={self.output}", f"--group={self.group}"]
        command += [f"--data={self.folder / name}", f"--state={self.folder / 'state'}", f"--partitions={PARTITIONS}"]
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        lines = (line for line in self.log(name).read_text().splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line.get("event") == event]

    def written(self) -> int:
        return sum(1 for partition in range(PARTITIONS) for _ in self.read(self.output, partition))

    def ends(self, topic: str) -> list[int]:
        return [log_bounds(self.bootstrap, topic, partition)[1] for partition in range(PARTITIONS)]

    def read(self, topic: str, partition: int) -> Iterator[Any]:
        for batch in read_range(self.bootstrap, topic, partition):
            yield from map(as_record, batch)

    def until_written(self, records: int, what: str) -> None:
        wait_until(lambda: self.written() >= records, f"{what}: {records} outputs", 60)

    def assert_exact(self) -> None:
        """Every record was counted once, in order."""
        counts = defaultdict(list)
        for partition in range(PARTITIONS):
            for record in self.read(self.output, partition):
                counts[record.key].append(Counted.load(record.value).n)
        assert sum(map(len, counts.values())) == self.sent
        for found in counts.values():
            assert found == list(range(1, len(found) + 1))

    def assert_stored(self) -> None:
        """Once nobody runs, what RocksDB has is what the changelog has."""
        ids = self.topic_ids
        for partition in range(PARTITIONS):
            memory = restore(self.bootstrap, self.stage, partition, ids)
            stored = restore(self.bootstrap, self.stage, partition, ids, state=self.folder / "state")
            assert stored.records == 0
            assert stored.positions == memory.positions
            content = dict(memory.tables.store.items(COUNTS))
            assert dict(stored.tables.store.items(COUNTS)) == content
            assert stored.tables.store.size(COUNTS) == len(content) > 0
            stored.tables.store.close()


@pytest.fixture
def counters(kafka_bootstrap: str, new_topic: NewTopic, unique: Callable[[str], str], tmp_path: Path) -> Counters:
    group, admin = unique("counting"), clients.admin(kafka_bootstrap)
    name = changelog(group).name
    admin.create_topics([Topic(name, PARTITIONS, 1)])[name].result(30)
    topics = new_topic("in", partitions=PARTITIONS), new_topic("out", partitions=PARTITIONS)
    reader = clients.reader(kafka_bootstrap)
    for topic in (*topics, changelog(group).name):
        wait_until(
            lambda topic=topic: len(partitions_of(reader, topic)) == PARTITIONS, "the broker knows the topics", 20
        )
    reader.close()
    return Counters(kafka_bootstrap, *topics, group, tmp_path)


def test_a_killed_worker_restores_the_tail_and_counts_on(counters: Counters) -> None:
    counters.send(6_000)
    with counters.worker("first") as process:
        counters.until_written(6_000, "the first worker")
        counters.send(60_000)
        # Each of its logs is long enough for a tail to be little of it.
        wait_until(lambda: min(counters.ends(counters.changelog)) > 2_200, "the first worker is in the middle")
        process.kill()
        process.wait()
    assert counters.written() < counters.sent
    ends = counters.ends(counters.changelog)
    with counters.worker("second") as process:
        counters.until_written(counters.sent, "the second worker")
        process.terminate()
        assert process.wait(30) == 0
    restored = {line["partition"]: line for line in counters.events("second", "restored")}
    for partition, end in enumerate(ends):
        line = restored[partition]
        # At most the step that was under way is missing from the store: a thousand records and their position.
        assert line["from_offset"] > 1_000
        assert line["records"] <= 1_001
        assert end - line["from_offset"] <= 1_100
    assert counters.events("second", "state thrown away, restoring all of it") == []
    counters.assert_exact()
    counters.assert_stored()


def test_after_a_clean_stop_nothing_is_restored(counters: Counters) -> None:
    for name in ("first", "second"):
        counters.send(3_000)
        with counters.worker(name) as process:
            counters.until_written(counters.sent, name)
            process.terminate()
            assert process.wait(30) == 0
    lines = counters.events("second", "restored")
    assert [line["records"] for line in lines] == [0] * PARTITIONS
    assert all(line["from_offset"] > 0 for line in lines)
    counters.assert_exact()
    counters.assert_stored()


def test_a_frozen_owner_on_the_same_machine_does_not_stop_its_successor(counters: Counters) -> None:
    counters.send(2_000)
    with ExitStack() as stack:
        frozen = stack.enter_context(counters.worker("frozen"))
        counters.until_written(2_000, "the first worker")
        frozen.send_signal(signal.SIGSTOP)
        counters.send(2_000)
        successor = stack.enter_context(counters.worker("successor"))
        counters.until_written(4_000, "the successor")
        assert len(counters.events("successor", "state is locked, restoring beside it")) == PARTITIONS
        frozen.send_signal(signal.SIGCONT)
        counters.send(2_000)
        counters.until_written(6_000, "the successor, with the woken one beside it")
        if frozen.poll() is not None:  # it is fenced, or has joined the group anew
            assert frozen.returncode in (Exit.FENCED, Exit.KAFKA)
        for process in (frozen, successor):
            process.terminate()
            process.wait(30)
    counters.assert_exact()
    counters.assert_stored()
    # The newest is used, the others are gone.
    assert len(list((counters.folder / "state").iterdir())) == PARTITIONS


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def step_of(count: int) -> Step:
    lane = Lane(Counting("", "", ""), Tables())
    tables = lane.tables[COUNTS]
    for number in range(count):
        tables[str(number)] = number
    context = Context(datetime.now(UTC), None, b"", "")  # type: ignore[arg-type]
    step = lane.step(context)
    assert step is not None
    return step


async def test_a_deterministic_lane_knows_where_its_changelog_is(
    counters: Counters, threads: ThreadPoolExecutor
) -> None:
    def writer(following: int) -> Writer:
        producer = PlacingProducer(counters.bootstrap)
        return AckedWriter(producer, counters.stage, 0, threads, lambda: None, following)

    ours, anothers = writer(0), writer(0)
    assert await ours.write(step_of(5)) == 5
    assert await ours.write(step_of(1)) == 6
    assert log_bounds(counters.bootstrap, counters.changelog, 0) == (0, 6)
    await anothers.write(step_of(2))  # a former owner that nobody has fenced
    # What is behind the other's records is not known to be complete any more: the store stays where it is.
    assert await ours.write(step_of(3)) is None
    assert await ours.write(step_of(3)) is None
    for one in (ours, anothers):
        one.close()


async def test_a_transaction_tells_where_its_last_changelog_record_is(
    counters: Counters, threads: ThreadPoolExecutor
) -> None:
    producer = TransactionalProducer(counters.bootstrap, f"{counters.group}-0")
    producer.fence()
    ids = counters.topic_ids
    writer = TransactionalWriter(producer, counters.stage, 0, threads, ids, placing=True)
    step = step_of(5)
    step.positions[counters.source] = Position(7)
    assert await writer.write(step) == 6
    assert await writer.write(step_of(2)) == 6 + 1 + 2  # the first transaction's marker is between them
    last = list(counters.read(counters.changelog, 0))[5]
    assert (last.offset, last.key) == (5, position_key(counters.source, ids))
    writer.close()


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_long_restore_tells_how_far_it_is(
    counters: Counters, guarantee: Guarantee, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("streams.engine.changelog.PROGRESS_SECONDS", 0.0)
    stage = counters.stage
    stage.guarantee = guarantee
    producer = AckedProducer(counters.bootstrap)
    for number in range(30_000):
        change = Change(COUNTS, str(number % 20_000), None if number % 10 == 9 else number)
        producer.produce(counters.changelog, COUNTS.dump_key(change.key), change.encoded(), (), 0)
    producer.flush()
    producer.close()
    told: list[tuple[int, int]] = []
    ids, state = counters.topic_ids, counters.folder / "state"
    memory = restore(counters.bootstrap, stage, 0, ids, lambda done, total: told.append((done, total)))
    assert (memory.records, memory.following) == (30_000, None)
    assert told == sorted(told)
    assert told[-1] == (30_000, 30_000)
    assert len(told) > 1
    started = time.monotonic()
    stored = restore(counters.bootstrap, stage, 0, ids, state=state)
    assert (stored.records, stored.following) == (30_000, 30_000)
    assert "restoring" in capsys.readouterr().out
    assert dict(stored.tables.store.items(COUNTS)) == dict(memory.tables.store.items(COUNTS))
    stored.tables.store.close()
    assert time.monotonic() - started < 60
    again = restore(counters.bootstrap, stage, 0, ids, state=state)
    assert (again.records, again.following) == (0, 30_000)
    assert again.tables.store.size(COUNTS) == memory.tables.store.size(COUNTS) == 18_000
    again.tables.store.close()
