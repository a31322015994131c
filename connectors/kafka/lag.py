"""How far a consumer group is behind, in records."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

TIMEOUT_SECONDS = 10.0


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
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    committed = {(p.topic, p.partition): p.offset for p in asked[group].result(TIMEOUT_SECONDS).topic_partitions}
    ends = admin.list_offsets({place: OffsetSpec.latest() for place in places})  # type: ignore[no-untyped-call]
    starts = admin.list_offsets({place: OffsetSpec.earliest() for place in places})  # type: ignore[no-untyped-call]
    lag = 0
    for place, future in ends.items():
        position = committed.get((place.topic, place.partition), -1)
        if position < 0:
            position = starts[place].result(TIMEOUT_SECONDS).offset
        lag += max(future.result(TIMEOUT_SECONDS).offset - position, 0)
    return lag
