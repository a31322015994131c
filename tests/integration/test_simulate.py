"""``leadline simulate`` over the topics of a real broker: recorded leads and answers, and what really happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kit.builders import SECRET
from kit.full_stack import wait_until

from connectors.config_file import load_configuration
from connectors.kafka import clients, topic_admin
from connectors.outbound.contract import Answer
from connectors.sandbox.traffic import Mix, generate
from leadline.main import app
from schemas import topics
from schemas.events import Outcome
from schemas.reasons import Reason
from streams.delivery.stage import Post
from streams.memory.log import MemoryLog
from streams.memory.runner import MemoryRunner
from streams.stage import Context
from streams.topology import PIPELINE

LOCAL = Path(__file__).parents[2] / "deploy" / "local" / "config.yaml"
URL = "http://127.0.0.1:9"
PARTITIONS = 2
WRITTEN = [spec for spec in topics.CATALOGUE if spec is not topics.CONFIG]
MIX = Mix(sellable=150, duplicates=20, invalid=10, out_of_area=10, capped=10, declined=5, malformed=5)
START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)


@pytest.fixture
def recorded(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryLog]:
    """The topics of a pipeline that has worked for an hour: what the in-memory one wrote, record by record."""
    log = MemoryLog(partitions=PARTITIONS, clock=lambda: START)
    _work(log)
    admin = clients.admin(kafka_bootstrap)
    names = {spec.name for spec in WRITTEN}

    def remove() -> None:
        if there := names & {*admin.list_topics(timeout=10).topics}:
            for future in admin.delete_topics([*there]).values():
                future.result(30)
        wait_until(lambda: not names & {*admin.list_topics(timeout=10).topics}, "the topics are gone", 30)

    remove()  # others use the same broker, and their records are of other times
    topic_admin.apply(admin, topic_admin.diff(admin, WRITTEN, PARTITIONS), PARTITIONS, 1)
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for name in log.topics():
        for record in log.records(name):
            producer.produce(
                name, record.value, record.key, record.partition, timestamp=record.timestamp, headers=[*record.headers]
            )
    assert producer.flush(30) == 0
    monkeypatch.setenv("LEADLINE_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEADLINE_PSEUDONYM_KEY", SECRET.decode())
    monkeypatch.setenv("LEADLINE_SANDBOX_URL", URL)
    yield log
    remove()


def _work(log: MemoryLog) -> None:
    configuration, now = load_configuration(LOCAL, {"LEADLINE_SANDBOX_URL": URL}), START

    def answer(post: Post) -> Answer:
        if post.key.int % 3:
            return Answer(Outcome.ACCEPTED)
        return Answer(Outcome.REJECTED, Reason.BUYER_REJECTED)

    log.clock = lambda: now
    runner = MemoryRunner(PIPELINE, log, lambda: Context(now, configuration, SECRET, "test"), answer)
    for value in generate(9, MIX).records:
        now += timedelta(seconds=15)
        log.append(topics.LEADS.name, None, value)
        runner.run()


def _simulate(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    app(["simulate", *map(str, arguments), "--from", START.isoformat(), "--json"], result_action="return_value")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_release_that_was_in_force_comes_to_what_happened(
    recorded: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    end = START + timedelta(hours=2)
    found = _simulate(capsys, "--config", LOCAL, "--to", end.isoformat())
    assert found["against"] == "recorded"
    assert found["leads"] == len(recorded.records(topics.LEADS.name)) == MIX.total
    assert found["conserved"]
    ends = found["outcomes"]
    assert {end: (count["before"], count["after"]) for end, count in ends.items() if end in ("sold", "dead")} == {
        end: (ends[end]["before"],) * 2 for end in ("sold", "dead")
    }
    assert (ends["sold"]["after"], ends["dead"]["after"]) > (130, 4)
    assert found["answers"]["after"]["recorded"] > 150
    assert abs(float(found["total"]["change"]["revenue"])) < 0.05 * float(found["total"]["before"]["revenue"])
    assert found == _simulate(capsys, "--config", LOCAL, "--to", end.isoformat())


def test_part_of_the_time_after_a_warm_up_beside_the_same_leads_as_they_were(
    recorded: MemoryLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "next.yaml"
    changed.write_text(LOCAL.read_text().replace('price: "22.00"', 'price: "99.00"'))
    middle, end = START + timedelta(minutes=30), START + timedelta(hours=2)
    arguments = [
        "--config",
        str(changed),
        "--against",
        str(LOCAL),
        "--from",
        middle.isoformat(),
        "--to",
        end.isoformat(),
    ]
    app(["simulate", *arguments, "--warm-up", "1", "--json"], result_action="return_value")
    found = json.loads(capsys.readouterr().out)
    later = [r for r in recorded.records(topics.LEADS.name) if r.timestamp >= middle.timestamp() * 1000]
    assert found["leads"] == len(later) < MIX.total
    assert found["conserved"]
    assert all(count["before"] == count["after"] for count in found["outcomes"].values())
    assert float(found["by"]["campaign"]["homeward-solar"]["change"]["revenue"]) > 0
