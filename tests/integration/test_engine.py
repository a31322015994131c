"""The engine on a real broker: restarts, bad records, spares, limits, and what it tells of itself."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from kit.engine_worker import RunningWorker, worker
from kit.full_stack import wait_until

from connectors.kafka import clients, topic_admin
from connectors.kafka.lag import lag_of
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from connectors.kafka.open_transaction import first_open
from connectors.kafka.producer import AckedProducer
from connectors.kafka.transaction import TransactionalProducer
from schemas.headers import DLQ_TOPIC, DeadLetter
from schemas.record import KafkaRecord
from schemas.topics import DEAD_LETTERS, changelog
from streams.engine.exits import Exit

PARTITIONS = 2
GUARANTEES = pytest.mark.parametrize("flags", [(), ("--exactly-once",)], ids=["deterministic", "exactly-once"])


class Place:
    """The topics and the group of one stage."""

    def __init__(self, bootstrap: str, group: str, folder: Path) -> None:
        self.bootstrap, self.group, self.folder = bootstrap, group, folder
        self.source, self.output = f"{group}-in", f"{group}-out"
        self.admin = clients.admin(bootstrap)
        self.create(self.source, self.output, changelog(group).name)
        if DEAD_LETTERS.name not in self.admin.list_topics(timeout=30).topics:
            topic_admin.apply(self.admin, topic_admin.diff(self.admin, [DEAD_LETTERS], 1), 1, 1)

    def create(self, *topics: str) -> None:
        from confluent_kafka.admin import NewTopic

        config = {"max.message.bytes": DEAD_LETTERS.config["max.message.bytes"]}
        for future in self.admin.create_topics([NewTopic(t, PARTITIONS, 1, config=config) for t in topics]).values():
            future.result(30)
        reader = clients.reader(self.bootstrap)
        wait_until(lambda: all(len(partitions_of(reader, topic)) == PARTITIONS for topic in topics), "topics", 20)
        reader.close()

    def delete(self, *topics: str) -> None:
        for future in self.admin.delete_topics(list(topics)).values():
            future.result(30)

    def send(self, *values: str) -> None:
        producer = AckedProducer(self.bootstrap)
        for number, value in enumerate(values):
            producer.produce(self.source, b"key-%d" % (number % 20), value.encode())
        producer.flush()

    def read(self, topic: str) -> list[KafkaRecord]:
        reader = clients.reader(self.bootstrap)
        numbers = partitions_of(reader, topic)
        reader.close()
        return [as_record(m) for n in numbers for batch in read_range(self.bootstrap, topic, n) for m in batch]

    def outputs(self) -> list[str]:
        return sorted((record.value or b"").decode() for record in self.read(self.output))

    def letters(self) -> list[DeadLetter]:
        """Those of this place: other tests write there too, garbage among it."""
        own = (DLQ_TOPIC, self.source.encode())
        return [DeadLetter.from_headers(r.headers) for r in self.read(DEAD_LETTERS.name) if own in r.headers]

    def run(self, name: str, *flags: str) -> Any:
        return worker(self.folder / name, self.bootstrap, self.source, self.output, self.group, *flags)

    def lag(self) -> int | None:
        return lag_of(self.admin, self.group, (self.source,))

    def until_done(self, count: int) -> None:
        wait_until(lambda: len(self.read(self.output)) >= count, f"{count} outputs", 60)
        wait_until(lambda: self.lag() == 0, "no lag", 20)


@pytest.fixture
def place(kafka_bootstrap: str, unique: Callable[[str], str], tmp_path: Path) -> Iterator[Place]:
    found = Place(kafka_bootstrap, unique("engine"), tmp_path)
    yield found
    found.delete(found.source, found.output, changelog(found.group).name)


def metric(running: RunningWorker, name: str) -> dict[str, float]:
    """Samples of a metric by their labels, as the metrics page has them."""
    with urllib.request.urlopen((running.data / "metrics").read_text(), timeout=10) as page:
        lines = page.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")}


@GUARANTEES
def test_a_restart_that_restores_tables_skips_nothing_and_goes_on_committing(place: Place, flags: tuple[str]) -> None:
    first, second = [f"a{n:05}" for n in range(3000)], [f"b{n:05}" for n in range(1500)]
    with place.run("one", *flags) as running:
        running.wait_ready()
        place.send(*first)
        place.until_done(len(first))
        assert running.stop() == 0
    place.send(*second)
    with place.run("one", *flags):
        place.until_done(len(first) + len(second))
        assert place.outputs() == first + second


@GUARANTEES
def test_bad_records_are_dead_and_the_others_are_not_touched(place: Place, flags: tuple[str]) -> None:
    good = [f"good{n:03}" for n in range(40)]
    place.send(*good[:20], "fail", "unreadable", "large", *good[20:])
    with place.run("one", *flags):
        place.until_done(len(good))
        assert place.outputs() == good
        letters = place.letters()
    assert sorted((letter.reason, letter.detail) for letter in letters) == [
        ("stage.failed", "LookupError"),
        ("stage.failed", "OutputTooLargeError"),
        ("value.not_json", ""),
    ]
    assert all(letter.stage == place.group and letter.version == "test" for letter in letters)


@GUARANTEES
def test_a_stage_that_fails_on_everything_stops_before_it_writes(place: Place, flags: tuple[str]) -> None:
    place.send(*[f"fail{n}" for n in range(900)])
    with place.run("one", *flags) as running:
        assert running.process.wait(60) == Exit.POISONED
        (told,) = running.events("worker stops")
    assert "LEADLINE_DEAD_LETTER_RUN" in told["detail"]
    assert place.letters() == [] == place.outputs()
    assert place.lag() == 900


def test_what_a_fenced_writer_left_undecided_stops_its_successor(place: Place) -> None:
    """A coordinator that lost a transaction would commit it beside the successor's: seen twice, were it let go on."""
    writer = TransactionalProducer(place.bootstrap, place.group)  # not under the lane's id: its fence cannot end it
    writer.fence()
    writer.begin()
    writer.produce(changelog(place.group).name, b"k", b"v", partition=0)
    wait_until(lambda: first_open(place.bootstrap, changelog(place.group).name, 0) is not None, "it is written", 10)
    with place.run("one", "--exactly-once") as running:
        assert running.process.wait(60) == Exit.KAFKA
        (told,) = running.events("worker stops")
    assert "kafka-transactions.sh abort" in told["detail"]
    writer.close()


def test_a_spare_without_partitions_takes_over(place: Place) -> None:
    with place.run("one", "--exactly-once") as one, place.run("two", "--exactly-once") as two:
        one.wait_ready()
        two.wait_ready()
        with place.run("spare", "--exactly-once") as spare:
            spare.wait_ready()
            place.send(*[f"a{n:02}" for n in range(40)])
            place.until_done(40)
            one.kill()
            two.kill()
            place.send(*[f"b{n:02}" for n in range(40)])
            place.until_done(80)


def test_a_topic_made_anew_is_read_from_its_beginning(place: Place) -> None:
    with place.run("one", "--exactly-once") as running:
        place.send(*[f"a{n:02}" for n in range(40)])
        place.until_done(40)
        assert running.stop() == 0
    place.delete(place.source)
    reader = clients.reader(place.bootstrap)
    wait_until(lambda: not partitions_of(reader, place.source), "the topic is gone", 30)
    reader.close()
    place.create(place.source)
    place.send(*[f"b{n:02}" for n in range(10)])
    with place.run("one", "--exactly-once"):
        wait_until(lambda: len(place.outputs()) == 50, "all outputs", 60)


def test_an_effect_that_does_not_end_is_an_unknown_outcome(place: Place) -> None:
    place.send("a", "stuck", "b")
    with place.run("one", "--exactly-once", "--effects") as running:
        place.until_done(3)
        assert place.outputs() == ["done a", "done b", "unknown stuck"]
        assert sum(metric(running, "leadline_effects_unknown_total").values()) == 1
        assert running.stop() == 0


def test_outputs_are_where_a_java_producer_would_put_them(place: Place) -> None:
    place.send(*[f"a{n:02}" for n in range(40)])
    with place.run("one", "--exactly-once"):
        place.until_done(40)
    for record in place.read(place.output):
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS


def test_a_worker_tells_what_it_does(place: Place) -> None:
    place.send(*[f"a{n:02}" for n in range(40)], "fail")
    with place.run("one", "--exactly-once") as running:
        place.until_done(40)
        wait_until(lambda: sum(metric(running, "leadline_table_entries").values()) == 20, "the size of the table", 10)
        assert sum(metric(running, "leadline_stage_records_total").values()) == 41
        assert sum(metric(running, "leadline_dead_letters_total").values()) == 1
        assert sum(metric(running, "leadline_step_seconds_count").values()) >= 1
        lag = metric(running, "leadline_lag_records")
        assert len(lag) == PARTITIONS
        wait_until(lambda: not any(metric(running, "leadline_lag_records").values()), "no lag", 10)
