"""How far a consumer group is behind, in records."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.log_bounds import TIMEOUT_SECONDS, bounds_of


def lag_of(admin: AdminClient, group: str, topics: tuple[str, ...]) -> int | None:
    """Records that the group has still to take from the topics; None when one of the topics does not exist.

    A partition without a committed offset is behind by all that it holds.

    Raises:
        KafkaException: the cluster does not answer.
    """
    metadata = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    if any(topic not in metadata for topic in topics):
        return None
    places = [TopicPartition(topic, partition) for topic in topics for partition in metadata[topic].partitions]
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_SECONDS)
    committed = {(p.topic, p.partition): p.offset for p in asked[group].result().topic_partitions}
    lag = 0
    for place, bounds in bounds_of(admin, places).items():
        position = committed.get(place, -1)
        lag += max(bounds.high - (position if position >= 0 else bounds.low), 0)
    return lag
