"""What a sink that is given partitions goes on with: what is committed, and what their logs still have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.log_bounds import bounds_of
from connectors.kafka.topic_admin import topic_ids
from warehouse.sinking.abandoned import Abandoned
from warehouse.sinking.beginning import beginning_of
from warehouse.sinking.gaps import Gap, gaps_of
from warehouse.sinking.intake import Intake
from warehouse.sinking.plans import Claim, Partition, batch_of, claim_of, pending_of, torn_of

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS: Final = 10.0

Stored = Callable[[str, str, int], int | None]
"""Asks for the tables' high-water mark of a topic's partition, by its name and its id."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where each partition begins and what is pending; what is gone from the logs, and of which planned batches."""

    intake: Intake
    topic_ids: Mapping[str, str]
    gaps: tuple[Gap, ...]
    cut: frozenset[str]


def resume(
    consumer: Consumer,
    admin: AdminClient,
    group: str,
    places: Iterable[TopicPartition],
    stored: Stored,
    held_seconds: float,
) -> Resumed:
    """Read what is committed of the places, and find where each is to be read from. A member that is not heard of for
    ``held_seconds`` has abandoned what it is given.

    Raises:
        KafkaException: the cluster does not answer.
        PlanError: a commit's metadata is no plan that this version can read.
    """
    asked = [TopicPartition(place.topic, place.partition) for place in places]
    if not asked:
        return Resumed(Intake({}), {}, (), frozenset())
    ids = topic_ids(admin, {place.topic for place in asked})
    bounds = bounds_of(admin, asked)
    positions: dict[Partition, int] = {}
    commits: dict[Partition, int] = {}
    claims: list[Claim] = []
    known: dict[Partition, int] = {}
    cut: set[str] = set()
    gaps: list[Gap] = []
    for place in consumer.committed(asked, timeout=TIMEOUT_SECONDS):
        if place.error is not None:
            raise KafkaException(place.error)
        topic, partition = place.topic, place.partition
        committed = place.offset if place.offset >= 0 else None
        low, high = bounds[topic, partition].low, bounds[topic, partition].high
        start = beginning_of(committed, low, high, partial(stored, topic, ids[topic], partition))
        claim, cut_back = None, False
        if committed is not None and committed <= high:
            claim = claim_of(topic, ids[topic], partition, committed, place.metadata)
        if claim is not None and claim.part.last >= high:
            log.warning("the log was cut back into a planned batch", partition=f"{topic}[{partition}]", ends=high)
            cut.add(claim.batch)
            claim, cut_back = None, True  # other records may be at its offsets by now: all are new ones
        if start.note:
            log.warning(start.note, partition=f"{topic}[{partition}]", committed=place.offset, begins=start.offset)
        gaps += gaps_of(topic, ids[topic], partition, low, start, claim)
        positions[topic, partition], known[topic, partition] = start.offset, start.known
        # What is passed over is to be committed, or it counts as lag for as long as nothing follows; and what is of
        # another log, or others would await the end of a batch that is in none.
        commits[topic, partition] = start.offset if committed is None else min(committed, start.offset)
        if cut_back or (committed is not None and committed > start.offset):
            commits[topic, partition] -= 1
        if start.offset != committed and (batch := batch_of(place.metadata)) is not None:
            cut.add(batch)
        if claim is not None and claim.part.last >= start.offset:
            claims.append(claim)
    torn = torn_of(claims, positions)
    elsewhere = _elsewhere(admin, group, torn, positions) if torn else []
    pending = pending_of(claims, positions, elsewhere, cut)
    return Resumed(
        Intake(positions, pending, commits, Abandoned(held_seconds), known), ids, tuple(gaps), frozenset(cut)
    )


def _elsewhere(admin: AdminClient, group: str, batches: Collection[str], own: Collection[Partition]) -> list[Claim]:
    """What is claimed of batches in partitions that other members of the group have."""
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)], require_stable=True, request_timeout=TIMEOUT_SECONDS
    )
    planned = []
    for place in asked[group].result().topic_partitions or ():
        if place.error is not None:
            raise KafkaException(place.error)
        if (place.topic, place.partition) not in own and batch_of(place.metadata) in batches:
            planned.append(place)
    ids = topic_ids(admin, {place.topic for place in planned}) if planned else {}
    found = [claim_of(at.topic, ids[at.topic], at.partition, at.offset, at.metadata) for at in planned]
    return [claim for claim in found if claim is not None]
