"""Topics as the catalogue states them: what differs on a cluster, and making it so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.topics import TopicSpec

TIMEOUT_SECONDS = 30.0

TopicIds = Mapping[str, str]
"""A topic's name to the id that Kafka gave it when it was made. A topic made anew has another."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What a topic needs. ``config`` maps a key to its value now (None when unset) and as it should be."""

    spec: TopicSpec
    create: bool = False
    config: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    problem: str | None = None

    def describe(self) -> str:
        """One line for people."""
        if self.problem:
            return self.problem
        if self.create:
            return "create"
        return ", ".join(f"{key}: {old} → {new}" for key, (old, new) in self.config.items())


def topic_ids(admin: AdminClient, topics: Iterable[str]) -> dict[str, str]:
    """The ids of topics.

    Raises:
        KafkaException: the cluster does not answer, or has no such topic.
    """
    described = admin.describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_SECONDS)
    return {name: str(future.result().topic_id) for name, future in described.items()}


def wanted_partitions(spec: TopicSpec, partitions: int) -> int:
    """How many partitions a topic should have."""
    return 1 if spec.single else partitions


def diff(admin: AdminClient, specs: Iterable[TopicSpec], partitions: int) -> list[TopicChange]:
    """What has to change for the cluster to hold the catalogue; nothing is changed.

    Adding partitions to a keyed topic moves its keys, and removing them is impossible: both are reported as a problem,
    never done.

    Raises:
        KafkaException: the cluster does not answer.
    """
    existing = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    changes, present = [], []
    for spec in specs:
        if spec.name not in existing:
            changes.append(TopicChange(spec, create=True))
        else:
            present.append(spec)
    resources = {spec.name: ConfigResource(ResourceType.TOPIC, spec.name) for spec in present}
    answers = admin.describe_configs(list(resources.values()), request_timeout=TIMEOUT_SECONDS) if present else {}
    configs = {resource.name: future.result() for resource, future in answers.items()}
    for spec in present:
        has, wants = len(existing[spec.name].partitions), wanted_partitions(spec, partitions)
        problem = None
        if has != wants:
            problem = f"has {has} partitions, the setting says {wants}; changing it moves keys: see ARCHITECTURE.md"
        now = {key: entry.value for key, entry in configs[spec.name].items()}
        config = {key: (now.get(key), value) for key, value in spec.config.items() if now.get(key) != value}
        if problem or config:
            changes.append(TopicChange(spec, config=config, problem=problem))
    return changes


def apply(
    admin: AdminClient, changes: Iterable[TopicChange], partitions: int, replication_factor: int
) -> list[TopicChange]:
    """Make the changes; returns those that were made. Problems are left alone.

    Raises:
        KafkaException: the cluster refuses one.
    """
    made = []
    changes = list(changes)
    new = {
        change.spec.name: NewTopic(
            change.spec.name,
            num_partitions=wanted_partitions(change.spec, partitions),
            replication_factor=replication_factor,
            config=change.spec.config,
        )
        for change in changes
        if change.create
    }
    if new:
        for future in admin.create_topics(list(new.values()), operation_timeout=TIMEOUT_SECONDS).values():
            future.result()
        _wait_until_known(admin, set(new))
    for change in changes:
        if change.config:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, (_, value) in change.config.items()
            ]
            resource = ConfigResource(ResourceType.TOPIC, change.spec.name, incremental_configs=entries)
            for future in admin.incremental_alter_configs([resource]).values():
                future.result()
        if change.create or change.config:
            made.append(change)
    return made


def _wait_until_known(admin: AdminClient, names: set[str]) -> None:
    # A created topic is known to the controller at once, and to the brokers that clients ask a moment later.
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not names <= set(admin.list_topics(timeout=TIMEOUT_SECONDS).topics) and time.monotonic() < deadline:
        time.sleep(0.05)
