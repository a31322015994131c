"""The capacity topic on a real broker: who is full, as it changes, until the window ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from confluent_kafka import Producer
from kit.builders import NOW
from kit.full_stack import wait_until

from connectors.kafka import clients, topic_admin
from connectors.kafka.capacity_log import CapacityFollower
from schemas.codec import encode
from schemas.messages import Capacity
from schemas.topics import CAPACITY

HOUR = timedelta(hours=1)


class Topic:
    """The capacity topic, and who writes it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.producer = Producer({"bootstrap.servers": bootstrap})

    def tell(self, campaign: str, full: str | None, until: datetime | None = None) -> None:
        told = Capacity(campaign=campaign, buyer="sun", uses=[], full=full, until=until, occurred_at=NOW)
        self.write(campaign, encode(told))

    def write(self, campaign: str, value: bytes | None) -> None:
        self.producer.produce(CAPACITY.name, value, campaign.encode(), 0)
        assert self.producer.flush(30) == 0


@pytest.fixture
def topic(kafka_bootstrap: str) -> Iterator[Topic]:
    """The topic, empty."""
    admin = clients.admin(kafka_bootstrap)
    topic_admin.apply(admin, topic_admin.diff(admin, [CAPACITY], 1), 1, 1)
    yield Topic(kafka_bootstrap)
    for future in admin.delete_topics([CAPACITY.name]).values():
        future.result(30)
    wait_until(lambda: CAPACITY.name not in admin.list_topics(timeout=10).topics, "the topic is gone", 30)


@pytest.fixture
def follower(topic: Topic) -> Iterator[CapacityFollower]:
    """Begins when the topic has two full campaigns already."""
    topic.tell("day", "cap.day", NOW + HOUR)
    topic.tell("total", "cap.total")
    topic.tell("free", None)
    failures: list[Exception] = []
    follower = CapacityFollower(topic.bootstrap, failures.append)
    yield follower
    follower.close()
    assert failures == []


def becomes(follower: CapacityFollower, full: dict[str, str], now: datetime = NOW) -> None:
    wait_until(lambda: follower.full(now) == full, f"{full}", 30)


def test_who_is_full_is_read_from_the_beginning_and_followed(topic: Topic, follower: CapacityFollower) -> None:
    becomes(follower, {"day": "cap.day", "total": "cap.total"})
    topic.tell("free", "credit.exhausted")
    topic.tell("total", None)
    becomes(follower, {"day": "cap.day", "free": "credit.exhausted"})
    topic.write("free", None)
    becomes(follower, {"day": "cap.day"})


def test_nobody_is_full_once_the_window_has_ended(follower: CapacityFollower) -> None:
    becomes(follower, {"day": "cap.day", "total": "cap.total"})
    assert "day" in follower.full(NOW + HOUR - timedelta(milliseconds=1))
    assert follower.full(NOW + HOUR) == {"total": "cap.total"}
    assert follower.full(NOW + timedelta(days=9999)) == {"total": "cap.total"}


def test_asking_again_costs_nothing(topic: Topic, follower: CapacityFollower) -> None:
    becomes(follower, {"day": "cap.day", "total": "cap.total"})
    before = follower.full(NOW)
    topic.tell("day", "cap.day", NOW + HOUR)
    topic.tell("last", "cap.hour", NOW - HOUR)  # over already: what is shown stays the same
    topic.tell("witness", "cap.day", NOW + HOUR)
    becomes(follower, {"day": "cap.day", "total": "cap.total", "witness": "cap.day"})
    assert before == {"day": "cap.day", "total": "cap.total"}
    assert follower.full(NOW) is follower.full(NOW)


def test_what_cannot_be_read_is_no_hint(topic: Topic, follower: CapacityFollower) -> None:
    becomes(follower, {"day": "cap.day", "total": "cap.total"})
    topic.write("day", b"\x00\x00\x00\xff\xffnot an event")
    becomes(follower, {"total": "cap.total"})
