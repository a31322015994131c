"""The topic catalogue: every topic of the pipeline, its key, size, retention and meaning.

Partition counts of the person-keyed topics are equal, so that everything about one person meets in one partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000

RAW_LEAD_BYTES: Final = 2_097_152
EVENT_BYTES: Final = 4 * RAW_LEAD_BYTES
"""An event holds its raw lead at most twice, so whatever ``leads`` takes, the topics after it take too."""


DEAD_LETTER_BYTES: Final = EVENT_BYTES + 65_536
"""Any record of ours and the headers that say what became of it."""


class Key(StrEnum):
    """What a topic's records are keyed by."""

    ANY = "any"
    PERSON = "person"
    FINGERPRINT = "fingerprint"
    LEAD = "lead_id"
    COMPANY = "company"
    CAMPAIGN = "campaign"
    ENTITY = "entity"
    ORIGINAL = "original"


class Cleanup(StrEnum):
    """Kafka's ``cleanup.policy``."""

    DELETE = "delete"
    COMPACT = "compact"


_BYTES: Final = {"leads": RAW_LEAD_BYTES, "dead-letters": DEAD_LETTER_BYTES}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. ``single`` topics have one partition, the others as many as the setting says; ``external`` ones are
    written by others, whose mistakes are not ours. ``entry_days`` after its last write an entry of a compacted topic is
    removed; None: when its writer says so."""

    name: str
    key: Key
    meaning: str
    retention_days: int | None = 30
    cleanup: Cleanup = Cleanup.DELETE
    single: bool = False
    personal_data: bool = False
    external: bool = False
    entry_days: int | None = None

    @property
    def gone_after_days(self) -> int | None:
        """Days from a record's being written to its being off the brokers' disks, at the latest; None: never. Kafka
        deletes by segments, which span half a day where there is personal data; and a compacted topic within a day of
        the entry's end."""
        days = self.entry_days if self.cleanup is Cleanup.COMPACT else self.retention_days
        return None if days is None else days + (2 if self.cleanup is Cleanup.COMPACT else 1)

    @property
    def config(self) -> dict[str, str]:
        """The topic's Kafka configuration, in Kafka's own words."""
        retention_ms = -1 if self.retention_days is None else self.retention_days * DAY_MS
        config = {
            "cleanup.policy": self.cleanup.value,
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(_BYTES.get(self.name, EVENT_BYTES)),
        }
        if self.cleanup is Cleanup.COMPACT:
            config |= {"segment.ms": str(3_600_000), "min.cleanable.dirty.ratio": "0.1"}
            if self.personal_data:  # without it, what is removed may stay until enough is
                config["max.compaction.lag.ms"] = str(DAY_MS)
        elif self.personal_data:
            config["segment.ms"] = str(DAY_MS // 2)
        return config


LEADS = TopicSpec(
    "leads", Key.ANY, "a raw lead: JSON, or Avro in Confluent wire format", personal_data=True, external=True
)
VALIDATED = TopicSpec("leads.validated", Key.PERSON, "a normalised lead", personal_data=True)
REJECTED = TopicSpec("leads.rejected", Key.LEAD, "every reason a lead failed, raw kept", personal_data=True)
CLAIMS = TopicSpec(
    "claims", Key.FINGERPRINT, "a lead on its way past a key set that is not its person's", personal_data=True
)
UNIQUE = TopicSpec("leads.unique", Key.PERSON, "the first lead of its fingerprint in its window", personal_data=True)
DUPLICATE = TopicSpec("leads.duplicate", Key.PERSON, "whose duplicate a lead is, and by which rule")
ROUTED = TopicSpec("leads.routed", Key.PERSON, "the routing decision with its trace")
UNROUTED = TopicSpec("leads.unrouted", Key.PERSON, "why no campaign qualifies")
OFFERS = TopicSpec("offers", Key.COMPANY, "one lead offered to one campaign, with its routing slip", personal_data=True)
DELIVERIES = TopicSpec("deliveries", Key.PERSON, "each leg of a slip: outcome, price, timings, whether it is the last")
DELIVERED = TopicSpec("leads.delivered", Key.PERSON, "a sold lead: to whom, for how much")
UNDELIVERED = TopicSpec("leads.undelivered", Key.PERSON, "a lead that every candidate declined")
FEEDBACK = TopicSpec(
    "feedback",
    Key.PERSON,
    "what a buyer says later, in its own words: return, disposition, conversion",
    personal_data=True,
    external=True,
)
CAPACITY = TopicSpec(
    "capacity",
    Key.CAMPAIGN,
    "what a campaign has used of its caps: a hint for routing, never the authority",
    retention_days=None,
    cleanup=Cleanup.COMPACT,
    single=True,
)
CONFIG = TopicSpec(
    "config",
    Key.ENTITY,
    "verticals, buyers and campaigns by release",
    retention_days=None,
    cleanup=Cleanup.COMPACT,
    single=True,
)
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    Key.ORIGINAL,
    "undecodable or poison records, with origin headers",
    retention_days=90,
    single=True,
    personal_data=True,
)

CATALOGUE: Final[tuple[TopicSpec, ...]] = (
    LEADS,
    VALIDATED,
    REJECTED,
    CLAIMS,
    UNIQUE,
    DUPLICATE,
    ROUTED,
    UNROUTED,
    OFFERS,
    DELIVERIES,
    DELIVERED,
    UNDELIVERED,
    FEEDBACK,
    CAPACITY,
    CONFIG,
    DEAD_LETTERS,
)
BY_NAME: Final[dict[str, TopicSpec]] = {spec.name: spec for spec in CATALOGUE}


LEADS_IN_TABLES: Final = {"routing": 31}
"""Stages whose tables hold leads, on hold or for when they are returned, and the days for which at most."""

SINK_GROUP: Final = "leadline-sink"
"""The consumer group that writes the warehouse."""


def group_of(stage: str) -> str:
    """The consumer group of a stage's workers."""
    return f"leadline-{stage}"


def changelog(stage: str) -> TopicSpec:
    """The changelog of a stage: its tables' entries and its positions, partitioned like its input.

    One for all its tables, so that a lane has one log of what it decided, in order, and one more partition to write in
    a transaction instead of several.
    """
    return TopicSpec(
        f"leadline-{stage}-changelog",
        Key.ORIGINAL,
        f"{stage}'s tables and positions",
        retention_days=None,
        cleanup=Cleanup.COMPACT,
        personal_data=stage in LEADS_IN_TABLES,
        entry_days=LEADS_IN_TABLES.get(stage),
    )
