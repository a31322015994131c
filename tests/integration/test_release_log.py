"""The config topic on a real broker: a release is in force whole or not at all, and followers learn of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaException
from kit.builders import NOW, campaign, configuration
from kit.full_stack import wait_until

from connectors.kafka import clients, topic_admin
from connectors.kafka.release_log import ReleaseChangedError, ReleaseFollower, apply, read_history
from connectors.kafka.transaction import FencedError, TransactionalProducer, TransactionError
from schemas.codec import encode
from schemas.config.history import Applied, ReleaseHistory
from schemas.config.placeholders import UnusableReleaseError, WrittenRelease
from schemas.config.release import Configuration
from schemas.topics import CONFIG

CONFIGURATIONS = [configuration(*(campaign(f"c{n}", price=f"{n}.00") for n in range(count))) for count in (1, 3, 2)]
RELEASES = [WrittenRelease.of(found) for found in CONFIGURATIONS]


@pytest.fixture
def topic(kafka_bootstrap: str) -> Iterator[str]:
    """The config topic, empty; yields the broker's address."""
    admin = clients.admin(kafka_bootstrap)

    def remove() -> None:
        for future in admin.delete_topics([CONFIG.name]).values():
            future.result(30)
        wait_until(lambda: CONFIG.name not in admin.list_topics(timeout=10).topics, "the topic is gone", 30)

    if CONFIG.name in admin.list_topics(timeout=10).topics:  # others use the same broker
        remove()
    topic_admin.apply(admin, topic_admin.diff(admin, [CONFIG], 1), 1, 1)
    yield kafka_bootstrap
    remove()


def history_of(bootstrap: str, applied: int) -> ReleaseHistory:
    """The history once it is so long: a commit is answered a moment before it is seen."""
    wait_until(lambda: len(read_history(bootstrap).applied) >= applied, f"{applied} releases", 30)
    return read_history(bootstrap)


def put(bootstrap: str, release: WrittenRelease, message: str = "", expected: str | None = None) -> Applied | None:
    return apply(bootstrap, release, at=NOW, author="ann", message=message, expected=expected)


def test_what_is_applied_is_in_force_and_told(topic: str) -> None:
    told: list[tuple[str, Exception | None]] = []
    failures: list[Exception] = []
    assert put(topic, RELEASES[0], "first") is not None
    history_of(topic, 1)
    prepared: list[Configuration] = []
    follower = ReleaseFollower(
        topic, {}, lambda applied, error: told.append((applied.release, error)), failures.append, prepared.append
    )
    try:
        assert follower.current == CONFIGURATIONS[0]
        for release in RELEASES[1:]:
            put(topic, release)
        wait_until(lambda: follower.current == CONFIGURATIONS[2], "the last release", 30)
        assert told == [(release.release, None) for release in RELEASES]
        assert prepared == CONFIGURATIONS
        assert follower.configuration(RELEASES[0].release) == CONFIGURATIONS[0]
        assert not failures
    finally:
        follower.close()
    history = history_of(topic, 3)
    assert [applied.release for applied in history.applied] == [release.release for release in RELEASES]
    assert history.applied[0].message == "first"


def test_a_release_that_cannot_be_used_here_is_refused_and_the_one_before_stays(topic: str) -> None:
    told: list[tuple[str, Exception | None]] = []
    delivery = {"url": "${BUYER_URL}/leads"}
    document = CONFIGURATIONS[0].model_dump(mode="json", by_alias=True)
    document["campaigns"][0]["delivery"]["url"] = "https://buyer.example/leads"
    at = ("campaigns", 0, "delivery", "url")
    needing = WrittenRelease.of(
        Configuration.model_validate(document), {at: (delivery["url"], "https://buyer.example/leads")}
    )
    put(topic, RELEASES[0])
    put(topic, needing)
    history_of(topic, 2)

    def follow(environment: dict[str, str]) -> ReleaseFollower:
        told.clear()
        return ReleaseFollower(
            topic, environment, lambda applied, error: told.append((applied.release, error)), lambda error: None
        )

    lacking = follow({})
    try:
        assert lacking.current is None  # not what was in force before: it may lack the very rule
        ((refused, error),) = told
        assert refused == needing.release
        assert isinstance(error, UnusableReleaseError)
        assert "needs BUYER_URL: set it in the environment" in str(error)
        told.clear()
        put(topic, RELEASES[1])
        put(topic, needing)
        wait_until(lambda: len(told) == 2, "the release after it, and it again", 30)
        assert [(release, error is None) for release, error in told] == [
            (RELEASES[1].release, True),
            (needing.release, False),
        ]
        assert lacking.current == CONFIGURATIONS[1]
    finally:
        lacking.close()
    able = follow({"BUYER_URL": "http://127.0.0.1:1"})
    try:
        assert able.current is not None
        assert able.current.release == needing.release
        assert able.current.campaigns[0].delivery.url == "http://127.0.0.1:1/leads"
    finally:
        able.close()


def test_the_release_in_force_is_not_applied_again(topic: str) -> None:
    assert put(topic, RELEASES[0]) is not None
    assert put(topic, RELEASES[0]) is None
    assert len(history_of(topic, 1).applied) == 1


def test_a_release_that_was_looked_at_too_early_is_refused(topic: str) -> None:
    put(topic, RELEASES[0])
    put(topic, RELEASES[1])
    with pytest.raises(ReleaseChangedError, match=f"{RELEASES[1].release} is in force, not {RELEASES[0].release}"):
        put(topic, RELEASES[2], expected=RELEASES[0].release)
    assert put(topic, RELEASES[2], expected=RELEASES[1].release) is not None


def test_a_release_that_was_cut_off_half_way_is_none(topic: str) -> None:
    put(topic, RELEASES[0])
    cut_off = TransactionalProducer(topic, "leadline-config")
    cut_off.fence()
    cut_off.begin()
    for key, record in history_of(topic, 1).records_of(RELEASES[1], NOW, "bob", ""):
        cut_off.produce(CONFIG.name, key.encode(), encode(record), partition=0)
    assert read_history(topic).current == RELEASES[0].release
    cut_off.close()
    put(topic, RELEASES[2])
    found = [applied.release for applied in history_of(topic, 2).applied]
    assert found == [RELEASES[0].release, RELEASES[2].release]


def test_of_several_at_once_every_one_is_whole_or_refused(topic: str) -> None:
    start = threading.Barrier(len(RELEASES))

    def one(release: WrittenRelease) -> str | None:
        start.wait()
        try:
            put(topic, release)
        except (FencedError, TransactionError):
            return None
        return release.release

    with ThreadPoolExecutor() as threads:
        done = {release for release in threads.map(one, RELEASES) if release}
    history = history_of(topic, len(done))
    assert {applied.release for applied in history.applied} == done
    assert [applied.number for applied in history.applied] == list(range(1, len(done) + 1))
    for release in RELEASES:
        if release.release in done:
            assert history.written(release.release) == release


def test_without_the_topic_the_error_says_so(kafka_bootstrap: str) -> None:
    with pytest.raises(KafkaException):
        read_history(kafka_bootstrap)
