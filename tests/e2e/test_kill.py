"""kill -9 of every process in turn, in the middle of a run: the same final counts, nothing lost, nothing sold twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicPartition
from kit.full_stack import FullStack, accepted_leads, full_stack, wait_until

from connectors.kafka import clients
from connectors.kafka.log_reader import partitions_of, watermarks
from connectors.sandbox.traffic import generate
from leadline.stack.services import FOUNDATIONS, WORKERS
from leadline.stack.supervisor import State
from schemas import topics
from streams.topology import PIPELINE

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(420)]

VICTIMS = (*WORKERS, "sink", *FOUNDATIONS)

# What tells that a victim has work in its hands: the topic whose growth is its input.
WORK = {stage.name: stage.reads[0].name for stage in PIPELINE} | {
    "sink": topics.VALIDATED.name,
    "kafka": topics.OFFERS.name,
    "warehouse": topics.OFFERS.name,
    "sandbox-buyer": topics.OFFERS.name,
}


def length(stack: FullStack, topic: str) -> int:
    """Records written to a topic so far."""

    def known() -> list[int]:
        consumer = clients.reader(stack.kafka)
        try:
            return [watermarks(consumer, TopicPartition(topic, p))[1] for p in partitions_of(consumer, topic)]
        except KafkaException:  # a Kafka that has just come back leads its partitions a moment later
            return []
        finally:
            consumer.close()

    return sum(wait_until(known, f"the offsets of {topic}"))


def kill(stack: FullStack, service: str) -> None:
    """End a service's process without warning and wait until the supervisor has it doing its work again."""
    before = stack.state.services[service]
    assert before.pid is not None, f"{service} is not running"
    os.kill(before.pid, signal.SIGKILL)

    def back() -> bool:
        now = stack.state.services[service]
        return now.restarts > before.restarts and now.state is State.READY

    wait_until(back, f"{service} is back", 60)


def test_every_process_killed_in_turn(tmp_path: Path) -> None:
    traffic = generate(seed=11)
    with full_stack(tmp_path) as stack:
        victims = [victim for victim in VICTIMS if victim in stack.state.services]  # containers are not ours to kill
        size = len(traffic.records) // len(victims)
        for number, victim in enumerate(victims):
            last = number == len(victims) - 1
            before = length(stack, WORK[victim])
            stack.send(traffic.records[number * size : None if last else (number + 1) * size])
            wait_until(lambda v=victim, b=before: length(stack, WORK[v]) > b, f"{victim} has work")  # type: ignore[misc]
            kill(stack, victim)
        wait_until(lambda: stack.funnel().ended == traffic.expected.raw, "every lead has come to an end", 180)
        stack.wait_for_rest(180)

        funnel, expected = stack.funnel(), traffic.expected
        ends = ("raw", "rejected", "duplicate", "delivered", "unsold", "dead")
        assert {end: getattr(funnel, end) for end in ends} == {end: getattr(expected, end) for end in ends}
        assert len(stack.outcomes()) == expected.raw

        received = stack.received()
        bought = accepted_leads(received)
        assert set(bought.values()) == {1}
        assert bought.total() == expected.delivered
        sold = {str(lead) for (lead,) in stack.query(
            "SELECT lead_id FROM leadline.lead_events FINAL WHERE stage = 'delivery' AND outcome = 'delivered'"
        )}  # fmt: skip
        assert set(bought) == sold
        assert received["buyers"]["aurora"]["accepted"] == 10  # its daily cap, under crashes too
        revenue = stack.query("SELECT count(), uniqExact(lead_id) FROM leadline.lead_events FINAL WHERE price > 0")
        assert revenue == [(expected.delivered, expected.delivered)]
        restarts = Counter({name: service.restarts for name, service in stack.state.services.items()})
        assert all(restarts[victim] >= 1 for victim in victims)
