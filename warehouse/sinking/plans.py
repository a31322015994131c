"""The plan of a batch: what is about to be inserted, written into Kafka's own commits before it is.

The plan says of each of its partitions which offsets a batch has. Whoever reads the plan after a crash makes the same
batch with the same token, and ClickHouse takes it once.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

VERSION: Final = 1

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

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

    @property
    def place(self) -> Partition:
        """Its partition."""
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch, its parts in the order of topic and partition. ``at_ms`` is when it was planned."""

    batch: str
    at_ms: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        partitions = [part.place for part in self.parts]
        if not partitions or partitions != sorted(set(partitions)):
            raise ValueError("a plan has at least one part, one a partition, in the order of topic and partition")

    def token(self, sink: str, table: str, cluster: str) -> str:
        """What ClickHouse knows the batch's rows by: the same for the same ranges, whoever planned them and when.

        >>> Plan("b", 0, (Part("leads", "x", 3, 0, 9),)).token("sink", "leadline.lead_events", "k")[:33]
        'sink/leadline.lead_events/k:f6438'
        """
        ranges = json.dumps([(part.topic, part.topic_id, part.partition, part.first, part.last) for part in self.parts])
        return f"{sink}/{table}/{cluster}:{hashlib.sha256(ranges.encode()).hexdigest()[:32]}"

    def metadata(self, part: Part) -> str:
        """What is committed with the part's first offset. ``first`` is the partition of the batch's first part: who has
        that one makes the batch again."""
        said = {
            "v": VERSION,
            "batch": self.batch,
            "at": self.at_ms,
            "last": part.last,
            "of": len(self.parts),
            "first": self.parts[0].place,
        }
        text = json.dumps(said, separators=(",", ":"))
        if len(text.encode()) >= METADATA_BYTES:
            raise PlanError(f"a plan of {len(text)} characters is more than Kafka takes; shorten the batch's name")
        return text


@dataclass(frozen=True, slots=True)
class Claim:
    """What one partition's commit says: a part of a batch ``of`` so many parts, whose fate is not known. ``first`` is
    where the first of them is."""

    part: Part
    batch: str
    at_ms: int
    of: int
    first: Partition


@dataclass(frozen=True, slots=True)
class Pending:
    """A planned batch whose fate is not known.

    Where a rebalance has torn it apart, the member that has its first part makes all of it: ``whole``, and
    ``elsewhere`` are the parts that are other members'. These wait until that member has settled its own, in the
    partition that it ``awaits``, and look after what is theirs. A batch of which records are gone, or parts settled,
    is nobody's whole.
    """

    plan: Plan
    whole: bool
    elsewhere: tuple[Part, ...] = ()
    awaits: Partition | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those that this member has."""
        return tuple(part for part in self.plan.parts if part not in self.elsewhere)

    def remains(self) -> Pending:
        """This member's parts by themselves."""
        return Pending(replace(self.plan, parts=self.parts), whole=False)


def batch_of(metadata: str | None) -> str | None:
    """The name of the batch in a committed offset's metadata; None where there is none, or none that can be read."""
    try:
        claim = claim_of("", "", 0, 0, metadata)
    except PlanError:
        return None
    return None if claim is None else claim.batch


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
        batch, at_ms, last, of, (where_first, first) = (read[key] for key in ("batch", "at", "last", "of", "first"))
        if not (
            isinstance(batch, str)
            and isinstance(where_first, str)
            and all(type(number) is int for number in (at_ms, last, of, first))
            and of > 0
        ):
            raise ValueError(metadata)
        return Claim(Part(topic, topic_id, partition, offset, last), batch, at_ms, of, (where_first, first))
    except (ValueError, TypeError, KeyError) as error:
        raise PlanError(f"{where} holds a damaged plan. {way_out}") from error


def torn_of(claims: Iterable[Claim], own: Collection[Partition]) -> set[str]:
    """The batches whose first part is of the partitions, and of which the claims are not all."""
    return {batch for batch, found in _by_batch(claims).items() if found[0].first in own and len(found) < found[0].of}


def pending_of(
    claims: Iterable[Claim], own: Collection[Partition], elsewhere: Iterable[Claim] = (), gone: Collection[str] = ()
) -> list[Pending]:
    """The batches that claims belong to, by name.

    ``own`` are the member's partitions, which the claims are of; ``elsewhere`` are claims of others. ``gone`` are the
    batches of which records are.
    """
    others = _by_batch(elsewhere)
    found = []
    for batch, mine in sorted(_by_batch(claims).items()):
        one, away = mine[0], others.get(batch, [])
        rest = Pending(Plan(batch, one.at_ms, _parts(mine)), whole=False)
        if one.first not in own or one.first not in {claim.part.place for claim in mine}:
            found.append(replace(rest, awaits=one.first))
        elif batch in gone or len(mine) + len(away) != one.of:
            found.append(rest)
        else:
            found.append(Pending(Plan(batch, one.at_ms, _parts([*mine, *away])), whole=True, elsewhere=_parts(away)))
    return found


def _by_batch(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
    batches: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        batches[claim.batch].append(claim)
    return dict(batches)


def _parts(claims: Iterable[Claim]) -> tuple[Part, ...]:
    return tuple(sorted((claim.part for claim in claims), key=lambda part: part.place))
