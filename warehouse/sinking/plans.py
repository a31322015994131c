"""The plan of a batch: what is about to be inserted, written into Kafka's own commits before it is.

A batch is of one lane, which is one partition number of all sunk topics. Its plan says for each topic which offsets it
has. Whoever reads the plan after a crash makes the same batch with the same token, and ClickHouse takes it once.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

VERSION: Final = 1
METADATA_BYTES: Final = 4096
"""What Kafka takes with a commit by default (``offset.metadata.max.bytes``)."""


class PlanError(Exception):
    """A commit's metadata is no plan that this version can read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """The offsets ``first <= offset <= last`` of one partition; both ends are records, between them may be gaps.

    ``topic_id`` is Kafka's UUID of the topic: one that is made again has another, though its offsets are the same.
    """

    topic: str
    topic_id: str
    partition: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"{self.topic}[{self.partition}]: no range from {self.first} to {self.last}")


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch of one lane, its parts in the order of their topics' names. ``at_ms`` is when it was planned."""

    batch: str
    at_ms: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        topics = [part.topic for part in self.parts]
        if not topics or topics != sorted(set(topics)):
            raise ValueError("a plan has at least one part, one a topic, in the order of their names")
        if len({part.partition for part in self.parts}) != 1:
            raise ValueError("a plan is of one lane")

    @property
    def lane(self) -> int:
        """The partition number of all its parts."""
        return self.parts[0].partition

    def token(self, sink: str, table: str, cluster: str) -> str:
        """What ClickHouse knows the batch's rows by: the same for the same ranges, whoever planned them and when.

        >>> Plan("b", 0, (Part("leads", "x", 3, 0, 9),)).token("sink", "leadline.lead_events", "k")[:33]
        'sink/leadline.lead_events/k:3:a31'
        """
        ranges = json.dumps([(part.topic, part.topic_id, part.first, part.last) for part in self.parts])
        return f"{sink}/{table}/{cluster}:{self.lane}:{hashlib.sha256(ranges.encode()).hexdigest()[:32]}"

    def metadata(self, part: Part) -> str:
        """What is committed with the part's first offset."""
        text = json.dumps(
            {"v": VERSION, "batch": self.batch, "at": self.at_ms, "last": part.last, "of": len(self.parts)},
            separators=(",", ":"),
        )
        if len(text.encode()) >= METADATA_BYTES:
            raise PlanError(f"a plan of {len(text)} characters is more than Kafka takes; shorten the batch's name")
        return text


@dataclass(frozen=True, slots=True)
class Claim:
    """What one partition's commit says: a part of a batch ``of`` so many parts, whose fate is not known."""

    part: Part
    batch: str
    at_ms: int
    of: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A planned batch as far as this member owns it. ``whole`` is False where parts went to other members."""

    plan: Plan
    whole: bool


def replanned(pending: Pending, batch: str) -> Plan:
    """What is to be committed before some parts of a batch are inserted by themselves, under another token than its
    own. Were it not, its parts might come together again, and their token be trusted that never saw those rows. It is
    of the beginning of time: too old for that, so the table is asked."""
    return Plan(batch, 0, pending.plan.parts)


def claim_of(topic: str, topic_id: str, partition: int, offset: int, metadata: str | None) -> Claim | None:
    """The claim in a committed offset's metadata; None where the commit settles what is below it.

    Raises:
        PlanError: the metadata is another version's, or no plan at all.
    """
    if not metadata:
        return None
    where = f"The commit of {topic}[{partition}] at {offset}"
    way_out = "Let the version that wrote it settle it, or set the group's offset anew (kafka-consumer-groups)."
    try:
        read = json.loads(metadata)
        version = read["v"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PlanError(f"{where} holds no plan of a sink. {way_out}") from error
    if version != VERSION:
        raise PlanError(f"{where} holds a plan of version {version!r}; this sink reads version {VERSION}. {way_out}")
    try:
        batch, at_ms, last, of = read["batch"], read["at"], read["last"], read["of"]
        if not (isinstance(batch, str) and all(type(number) is int for number in (at_ms, last, of)) and of > 0):
            raise ValueError(metadata)
        return Claim(Part(topic, topic_id, partition, offset, last), batch, at_ms, of)
    except (ValueError, KeyError) as error:
        raise PlanError(f"{where} holds a damaged plan. {way_out}") from error


def pending_of(claims: Iterable[Claim]) -> list[Pending]:
    """The batches that claims belong to, by lane and batch."""
    batches: defaultdict[tuple[int, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        batches[claim.part.partition, claim.batch].append(claim)
    found = []
    for (_, batch), members in sorted(batches.items()):
        parts = tuple(sorted((claim.part for claim in members), key=lambda part: part.topic))
        found.append(Pending(Plan(batch, members[0].at_ms, parts), len(parts) == members[0].of))
    return found
