"""The events: one model per topic, frozen, with the envelope that every event about a lead carries.

The Avro schemas in ``schemas/avro`` are derived from these models (:mod:`schemas.avro_schema`) and never change once
released; a field is added with a default, never renamed or retyped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas import topics
from schemas.identity import Step


def _to_milliseconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Timestamp = Annotated[datetime, AfterValidator(_to_milliseconds)]
"""A moment in UTC, in whole milliseconds, as Avro and ClickHouse keep it."""

Money = Annotated[
    Decimal, Field(max_digits=12, decimal_places=4, ge=0), AfterValidator(lambda m: m.quantize(Decimal("0.0001")))
]
"""An amount in the account's currency, Decimal(12, 4)."""


class Frozen(BaseModel):
    """A value: compared by content, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RawLead(Frozen):
    """A lead as its producer sent it: top-level fields as text. The value of ``leads`` in Avro; in JSON the fields
    stand in the object itself."""

    TOPIC: ClassVar[topics.TopicSpec] = topics.LEADS
    fields: dict[str, str]


class Consent(Frozen):
    """The record of a person's consent to be called: personal data. ``text_hash`` is the SHA-256, in hex, of the text
    that was shown; ``at`` is when it was agreed to; ``sellers`` are those it names."""

    text_hash: str | None = None
    url: str | None = None
    ip: str | None = None
    at: Timestamp | None = None
    sellers: list[str] = []
    trustedform_cert_url: str | None = None
    jornaya_lead_id: str | None = None


class Lead(Frozen):
    """A normalised lead: personal data. ``phone`` is E.164, ``email`` lower-cased, ``state`` two letters, ``zip`` five
    digits; ``extra`` has the vertical's fields as their canonical text and every other field as it came. A ``test``
    lead is nobody's."""

    first_name: str
    last_name: str
    phone: str | None
    email: str | None
    zip: str
    state: str
    extra: dict[str, str] = {}
    test: bool = False
    consent: Consent | None = None


class Event(Frozen):
    """What every event about a lead carries.

    ``event_id`` is uuid5 of lead, step, run and attempt, so a redelivered event is the same event. ``received_at`` is
    the raw record's timestamp. ``run`` is 0 for live traffic, else the replay's number. ``release`` is the content hash
    of the configuration that decided.
    """

    TOPIC: ClassVar[topics.TopicSpec]
    STEP: ClassVar[Step]

    event_id: UUID
    lead_id: UUID
    run: Annotated[int, Field(ge=0, lt=2**31)] = 0
    attempt: Annotated[int, Field(ge=0, lt=2**16)] = 0
    received_at: Timestamp
    occurred_at: Timestamp
    release: str
    vertical: str
    source: str
    traceparent: str | None = None


class Rejection(Frozen):
    """One reason a lead failed. ``detail`` says which rule, never which value."""

    reason: str
    field: str
    detail: str = ""


class LeadValidated(Event):
    """A lead that passed every rule, keyed by person; ``warnings`` are what is odd about it."""

    TOPIC = topics.VALIDATED
    STEP = Step.VALIDATION
    person: str
    lead: Lead
    raw: dict[str, str]
    warnings: list[Rejection] = []


class LeadRejected(Event):
    """A lead that failed validation, with all reasons."""

    TOPIC = topics.REJECTED
    STEP = Step.VALIDATION
    reasons: list[Rejection]
    raw: dict[str, str]


class LeadClaim(Event):
    """A lead that asks the partition of its fingerprint by the first of ``key_sets`` whether it is the first there;
    the others come after. ``attempt`` counts the claims before."""

    TOPIC = topics.CLAIMS
    STEP = Step.CLAIM
    person: str
    lead: Lead
    fingerprint: str
    key_sets: list[str]


class LeadUnique(Event):
    """The first lead of its fingerprint in the window."""

    TOPIC = topics.UNIQUE
    STEP = Step.DEDUP
    person: str
    lead: Lead


class LeadDuplicate(Event):
    """A lead whose fingerprint another lead owns; ``key_set`` is the name of the key set they agree in."""

    TOPIC = topics.DUPLICATE
    STEP = Step.DEDUP
    person: str
    duplicate_of: UUID
    rule: str
    first_seen_at: Timestamp
    key_set: str = ""


class Candidate(Frozen):
    """A campaign that qualifies, at its price."""

    campaign: str
    buyer: str
    price: Money


class Evaluation(Frozen):
    """What routing found about one campaign: its rank among the candidates, or the first failing predicate."""

    campaign: str
    reason: str | None
    rank: int | None


class LeadRouted(Event):
    """The decision: the candidates in the order they will be offered the lead."""

    TOPIC = topics.ROUTED
    STEP = Step.ROUTING
    person: str
    candidates: list[Candidate]
    evaluations: list[Evaluation]


class LeadUnrouted(Event):
    """Nobody qualifies."""

    TOPIC = topics.UNROUTED
    STEP = Step.ROUTING
    person: str
    reason: str
    evaluations: list[Evaluation]


class Decline(Frozen):
    """A candidate that did not take the lead."""

    campaign: str
    buyer: str
    reason: str


class Offer(Event):
    """One lead offered to one campaign: ``candidates[cursor]`` of the routing slip. ``attempt`` is the cursor."""

    TOPIC = topics.OFFERS
    STEP = Step.OFFER
    person: str
    lead: Lead
    candidates: list[Candidate]
    cursor: Annotated[int, Field(ge=0, lt=2**31)]
    declines: list[Decline]


class Outcome(StrEnum):
    """How an offer ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    ERROR = "error"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Delivery(Event):
    """One attempt at a delivery and how it ended. ``latency_ms`` spans the first request to the last answer; ``posts``
    counts requests with the same idempotency key."""

    TOPIC = topics.DELIVERIES
    STEP = Step.ATTEMPT
    person: str
    campaign: str
    buyer: str
    outcome: str
    reason: str | None
    price: Money | None
    reference: str | None
    http_status: int | None
    posts: int
    latency_ms: float


class LeadDelivered(Event):
    """A sold lead."""

    TOPIC = topics.DELIVERED
    STEP = Step.DELIVERY
    person: str
    campaign: str
    buyer: str
    price: Money
    reference: str | None


class LeadUndelivered(Event):
    """A lead that no candidate took."""

    TOPIC = topics.UNDELIVERED
    STEP = Step.DELIVERY
    person: str
    reason: str
    declines: list[Decline]


class Feedback(Event):
    """What a buyer says about a lead it bought."""

    TOPIC = topics.FEEDBACK
    STEP = Step.FEEDBACK
    person: str
    campaign: str
    buyer: str
    kind: str
    reason: str | None
    amount: Money | None


class Capacity(Frozen):
    """What a campaign has taken of its daily cap; ``taken`` counts reserved and sold leads."""

    TOPIC: ClassVar[topics.TopicSpec] = topics.CAPACITY
    campaign: str
    day: str
    cap: int
    taken: int
    occurred_at: Timestamp


class ConfigEntity(Frozen):
    """One entity of a configuration release, as JSON."""

    TOPIC: ClassVar[topics.TopicSpec] = topics.CONFIG
    kind: str
    entity: str
    release: str
    document: str
    occurred_at: Timestamp


Message = RawLead | Event | Capacity | ConfigEntity

MODELS: tuple[type[RawLead] | type[Event] | type[Capacity] | type[ConfigEntity], ...] = (
    RawLead,
    LeadValidated,
    LeadRejected,
    LeadClaim,
    LeadUnique,
    LeadDuplicate,
    LeadRouted,
    LeadUnrouted,
    Offer,
    Delivery,
    LeadDelivered,
    LeadUndelivered,
    Feedback,
    Capacity,
    ConfigEntity,
)
BY_TOPIC = {model.TOPIC.name: model for model in MODELS}
