"""Where partitions' logs begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition has the offsets ``low <= offset < high``."""

    low: int
    high: int


def bounds_of(admin: AdminClient, places: Iterable[TopicPartition]) -> dict[tuple[str, int], Bounds]:
    """The logs' bounds by topic and partition, in two requests.

    Raises:
        KafkaException: the cluster does not answer, or has no such partition.
    """
    asked = [TopicPartition(place.topic, place.partition) for place in places]
    within = {"request_timeout": TIMEOUT_SECONDS}  # and what it raises then is a KafkaException
    lows = admin.list_offsets({place: OffsetSpec.earliest() for place in asked}, **within)  # type: ignore[no-untyped-call]
    highs = admin.list_offsets({place: OffsetSpec.latest() for place in asked}, **within)  # type: ignore[no-untyped-call]
    return {
        (place.topic, place.partition): Bounds(lows[place].result().offset, highs[place].result().offset)
        for place in asked
    }
