"""What a sink that is given partitions goes on with: what is committed, and what their logs still have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.log_bounds import bounds_of
from connectors.kafka.topic_admin import topic_ids
from warehouse.sinking.beginning import beginning_of
from warehouse.sinking.gaps import Gap, gaps_of
from warehouse.sinking.lane import Lane
from warehouse.sinking.plans import Claim, claim_of, pending_of

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS: Final = 10.0

Stored = Callable[[str, int], int | None]
"""Asks for the tables' high-water mark of a topic's partition."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Lanes by number, where each begins and what is pending of it; and what is gone from the logs."""

    lanes: Mapping[int, Lane]
    topic_ids: Mapping[str, str]
    gaps: tuple[Gap, ...]


def resume(consumer: Consumer, admin: AdminClient, places: Iterable[TopicPartition], stored: Stored) -> Resumed:
    """Read what is committed of the places, and find where each is to be read from.

    Raises:
        KafkaException: the cluster does not answer.
        PlanError: a commit's metadata is no plan that this version can read.
    """
    asked = [TopicPartition(place.topic, place.partition) for place in places]
    if not asked:
        return Resumed({}, {}, ())
    ids = topic_ids(admin, {place.topic for place in asked})
    bounds = bounds_of(admin, asked)
    positions: dict[int, dict[str, int]] = {}
    commits: dict[int, dict[str, int]] = {}
    claims: list[Claim] = []
    cut: set[str] = set()
    gaps: list[Gap] = []
    for place in consumer.committed(asked, timeout=TIMEOUT_SECONDS):
        if place.error is not None:
            raise KafkaException(place.error)
        topic, lane = place.topic, place.partition
        committed = place.offset if place.offset >= 0 else None
        low, high = bounds[topic, lane].low, bounds[topic, lane].high
        start = beginning_of(committed, low, high, partial(stored, topic, lane))
        claim = None
        if committed is not None and committed <= high:
            claim = claim_of(topic, ids[topic], lane, committed, place.metadata)
        if start.note:
            log.warning(start.note, partition=f"{topic}[{lane}]", committed=place.offset, begins=start.offset)
        gaps += gaps_of(topic, ids[topic], lane, low, start, claim)
        positions.setdefault(lane, {})[topic] = start.offset
        # What is passed over is to be committed, or it counts as lag for as long as nothing follows.
        commits.setdefault(lane, {})[topic] = start.offset if committed is None else min(committed, start.offset)
        if claim is not None and claim.part.last >= start.offset:
            claims.append(claim)
            if start.offset != committed:
                cut.add(claim.batch)
    pending = [replace(one, whole=False) if one.plan.batch in cut else one for one in pending_of(claims)]
    lanes = {
        number: Lane(number, starts, [one for one in pending if one.plan.lane == number], commits[number])
        for number, starts in sorted(positions.items())
    }
    return Resumed(lanes, ids, tuple(gaps))
