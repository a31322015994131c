"""Releases on a real broker: what `leadline config apply` puts in force, running workers go by from the next slice on.

Each test has a broker of its own: its ``config`` topic begins empty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.builders import raw_fields
from kit.full_stack import share_jars, wait_until

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from connectors.kafka.producer import AckedProducer
from leadline import environment
from leadline.stack import lifeline
from leadline.stack.background import running_stack
from schemas import topics
from schemas.codec import decode
from schemas.events import Event, LeadDuplicate, LeadRejected, LeadUnique, LeadValidated
from schemas.identity import lead_id_at
from schemas.reasons import Reason
from schemas.record import KafkaRecord
from schemas.settings import Settings

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 2
BASE = """
verticals: [{name: solar}%s]
buyers: [{id: sunpath, name: Sunpath Energy}]
campaigns:
  - {id: west, buyer: sunpath, vertical: solar, price: "%s", delivery: {url: "${%s}/leads"}}
"""
FIRST = BASE % ("", "45.00", "BUYER_URL")
WITH_BOATS = BASE % (", {name: boats}", "45.00", "BUYER_URL")
OTHER_VARIABLE = BASE % ("", "46.00", "ANOTHER_URL")


class Cluster:
    """A broker with every topic, and the command as it runs there."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self.home, self.bootstrap = home, bootstrap
        self.environment = {
            **os.environ,
            "LEADLINE_HOME": str(home),
            "LEADLINE_KAFKA_BOOTSTRAP": bootstrap,
            "LEADLINE_PARTITIONS": str(PARTITIONS),
            "LEADLINE_SESSION_TIMEOUT_SECONDS": "3.5",
            "BUYER_URL": "http://127.0.0.1:9",
            "COLUMNS": "200",
        }

    def config(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`leadline config …`."""
        return subprocess.run(
            [sys.executable, "-m", "leadline", "config", *arguments],
            cwd=self.home,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.config(*arguments, "--json", ANOTHER_URL="http://127.0.0.1:9")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def apply(self, text: str) -> str:
        """Put a configuration in force; its release."""
        (self.home / "config.yaml").write_text(text)
        release: str = self.json("apply", "config.yaml", "--yes")["release"]
        wait_until(lambda: self.json("history")[0]["release"] == release, "the release", 10)
        return release

    @contextmanager
    def worker(self, stage: str, name: str = "one") -> Iterator[Worker]:
        ready, log = self.home / f"{stage}-{name}.ready", self.home / f"{stage}-{name}.log"
        ready.unlink(missing_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                lifeline.wrap([sys.executable, "-m", "leadline", "worker", stage]),
                env={**self.environment, "LEADLINE_READY_FILE": str(ready)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Worker(process, ready, log)
        finally:
            process.kill()
            process.wait()

    def records(self, topic: str) -> list[KafkaRecord]:
        reader = clients.reader(self.bootstrap)
        numbers = partitions_of(reader, topic)
        reader.close()
        return [as_record(m) for n in numbers for batch in read_range(self.bootstrap, topic, n) for m in batch]

    def events(self, *models: type[Event]) -> list[Any]:
        return [decode(model.TOPIC.name, r.value) for model in models for r in self.records(model.TOPIC.name)]


class Worker:
    """A worker's process and what it logs."""

    def __init__(self, process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
        self.process, self._ready, self._log = process, ready, log

    def wait_ready(self) -> None:
        wait_until(lambda: self._ready.exists() or self.process.poll() is not None, "the worker is ready", 60)
        assert self.process.poll() is None, self._log.read_text()[-3000:]

    @property
    def ready(self) -> bool:
        return self._ready.exists()

    def told(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    home = tmp_path / "h"
    share_jars(home)
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        environment.prepare(Settings(home=home, partitions=PARTITIONS), endpoints.kafka_bootstrap, None)
        yield Cluster(home, endpoints.kafka_bootstrap)


class Traffic:
    """Leads for solar and for boats in turns, until it is stopped."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = AckedProducer(bootstrap)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._producer.flush()
        self._producer.close()

    def _send(self) -> None:
        number = 0
        while not self._stopped.is_set():
            for vertical in ("solar", "boats"):
                number += 1
                own = {"phone": f"404-555-{number % 10000:04}", "email": f"p{number}@example.com"}
                value = json.dumps(raw_fields(vertical=vertical, **own)).encode()
                self._producer.produce(topics.LEADS.name, None, value)
            self._stopped.wait(0.004)


def test_running_workers_go_over_to_a_new_release_and_a_crash_changes_no_decision(cluster: Cluster) -> None:
    with ExitStack() as stack:
        validation = stack.enter_context(cluster.worker("validation"))
        dedup = stack.enter_context(cluster.worker("dedup"))
        wait_until(
            lambda: validation.told("no release that can be used is in force: waiting for one"),
            "the worker says so",
            60,
        )
        assert (
            "leadline config apply"
            in validation.told("no release that can be used is in force: waiting for one")[0]["hint"]
        )
        assert not validation.ready
        before = cluster.apply(FIRST)
        validation.wait_ready()
        dedup.wait_ready()
        traffic = Traffic(cluster.bootstrap)
        try:
            wait_until(lambda: len(cluster.events(LeadValidated)) > 200, "decisions by the first release", 60)
            after = cluster.apply(WITH_BOATS)
            wait_until(lambda: any(e.release == after for e in cluster.events(LeadValidated)), "the second", 60)
            validation.process.kill()
            validation = stack.enter_context(cluster.worker("validation", "two"))
            back = cluster.apply(FIRST)
            validation.wait_ready()
            count = len(cluster.events(LeadValidated, LeadRejected))
            wait_until(lambda: len(cluster.events(LeadValidated, LeadRejected)) > count + 200, "it goes on", 60)
        finally:
            traffic.stop()
        assert back == before
        sent = {lead_id_at(r.topic, r.partition, r.offset): r for r in cluster.records(topics.LEADS.name)}

        def ended() -> bool:
            ends = cluster.events(LeadRejected, LeadUnique, LeadDuplicate)
            return {event.lead_id for event in ends} == sent.keys()

        wait_until(ended, "every lead has an end", 60)
    decided = cluster.events(LeadValidated, LeadRejected)
    outcomes: dict[Any, set[str]] = defaultdict(set)
    for event in decided:
        outcomes[event.lead_id].add(event.model_dump_json(exclude={"occurred_at"}))
    assert {len(contents) for contents in outcomes.values()} == {1}, "decided twice, and otherwise"
    by_place: dict[int, dict[int, str]] = defaultdict(dict)
    for event in decided:
        record = sent[event.lead_id]
        by_place[record.partition][record.offset] = event.release
        boats = json.loads(record.value or b"")["vertical"] == "boats"
        refused = isinstance(event, LeadRejected) and event.reasons[0].reason == Reason.VERTICAL_UNKNOWN
        assert refused == (boats and event.release == before)
    for releases in by_place.values():
        in_order = [release for _, release in sorted(releases.items())]
        changes = [one for one, other in zip(["", *in_order], in_order, strict=False) if one != other]
        assert changes == ["", before, after], "a release decides one run of records after the other"
    passed = {(e.lead_id, e.release) for e in cluster.events(LeadValidated)}
    assert {(e.lead_id, e.release) for e in cluster.events(LeadUnique, LeadDuplicate)} == passed


def test_a_worker_refuses_what_it_cannot_use_and_goes_on(cluster: Cluster) -> None:
    first = cluster.apply(FIRST)
    with cluster.worker("validation") as validation:
        validation.wait_ready()
        lacking = cluster.apply(OTHER_VARIABLE)
        wait_until(lambda: validation.told("release refused"), "the refusal", 30)
        (told,) = validation.told("release refused")
        assert (told["release"], told["stays"], told["level"]) == (lacking, first, "error")
        assert "ANOTHER_URL" in told["reason"]
        producer = AckedProducer(cluster.bootstrap)
        producer.produce(topics.LEADS.name, None, json.dumps(raw_fields()).encode())
        producer.flush()
        producer.close()
        wait_until(lambda: cluster.events(LeadValidated), "the lead", 30)
    assert [event.release for event in cluster.events(LeadValidated)] == [first]


def test_row_71_config_change_log_and_rollback(cluster: Cluster) -> None:
    assert "No release was ever in force" in cluster.config("history").stdout
    done = cluster.config("show", "--in-force")
    assert (done.returncode, "`leadline config apply`" in done.stderr) == (1, True)
    (cluster.home / "a.yaml").write_text(FIRST)
    (cluster.home / "b.yaml").write_text(WITH_BOATS)
    looked = cluster.json("apply", "a.yaml", "--dry-run")
    assert (looked["before"], looked["applied"], len(looked["changes"])) == (None, False, 3)
    assert cluster.json("history") == []
    asked = cluster.config("apply", "a.yaml")
    assert (asked.returncode, "--yes" in asked.stderr) == (1, True)
    one = cluster.json("apply", "a.yaml", "--yes", "--message", "the first", "--author", "ann")["release"]
    assert cluster.json("apply", "a.yaml", "--yes")["applied"] is False
    two = cluster.config("apply", "b.yaml", "-y", "-m", "boats", "--author", "bob", "--expect", one)
    assert (two.returncode, "added vertical boats" in two.stdout) == (0, True)
    assert f"`leadline config apply --release {one}` rolls it back" in two.stdout
    other = cluster.config("apply", "a.yaml", "--yes", "--expect", one)
    assert (other.returncode, "is in force, not" in other.stderr) == (1, True)
    assert cluster.config("diff", "b.yaml").returncode == 0
    assert cluster.config("diff", one, "b.yaml").returncode == 1
    assert cluster.config("diff", one, "a.yaml").returncode == 0
    cluster.json("apply", "--release", one[:6], "--yes", "--author", "ann", "--message", "back")
    entries = cluster.json("history")
    assert [(e["number"], e["author"], e["message"], e["in_force"]) for e in entries] == [
        (3, "ann", "back", True),
        (2, "bob", "boats", False),
        (1, "ann", "the first", False),
    ]
    assert entries[0]["release"] == entries[2]["release"] == one == entries[1]["previous"]
    assert "boats" in cluster.config("history").stdout
    shown = cluster.json("show", "--in-force", "campaigns", "west")
    assert shown["campaigns"][0]["delivery"]["url"] == "${BUYER_URL}/leads"
    verticals = cluster.json("show", "--release", entries[1]["release"], "verticals")["verticals"]
    assert {vertical["name"] for vertical in verticals} == {"solar", "boats"}
    gone = cluster.config("show", "--release", "ffff")
    assert (gone.returncode, "`leadline config history`" in gone.stderr) == (1, True)
    topic = b"".join(record.value or b"" for record in cluster.records(topics.CONFIG.name))
    assert b"127.0.0.1" not in topic
