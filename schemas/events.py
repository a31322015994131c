"""The events: one model per topic, frozen, with the envelope that every event about a lead carries.

The Avro schemas in ``schemas/avro`` are derived from these models (:mod:`schemas.avro_schema`) and never change once
released; a field is added with a default, never renamed or retyped.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from schemas import topics
from schemas.decision import Slip, Trace
from schemas.identity import Step
from schemas.values import Frozen, Money, Timestamp

DecisionNumber = Annotated[int, Field(ge=0, lt=2**16)]
"""The how many-th decision about a lead in its run, from 0."""


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
    sellers: list[str] = []  # noqa: RUF012  # pydantic copies defaults
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
    extra: dict[str, str] = {}  # noqa: RUF012
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
    warnings: list[Rejection] = []  # noqa: RUF012


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


class LeadRouted(Event):
    """The decision: a slip with at least one candidate. ``attempt`` counts the decisions about a lead in a run."""

    TOPIC = topics.ROUTED
    STEP = Step.ROUTING
    person: str
    slip: Slip
    trace: Trace


class LeadUnrouted(Event):
    """Nobody qualifies. ``held`` until then at the latest: the lead is decided about again."""

    TOPIC = topics.UNROUTED
    STEP = Step.ROUTING
    person: str
    reason: str
    route: str
    trace: Trace
    held: Timestamp | None


class Decline(Frozen):
    """A leg that did not take the lead, as far as anybody knows; ``cursor`` is its place on the slip."""

    cursor: int
    campaign: str
    buyer: str
    reason: str


class Sale(Frozen):
    """A leg that was sold, or may be (``unknown``: its outcome is); ``cursor`` is its place on the slip."""

    cursor: int
    unknown: bool


class Offer(Event):
    """One lead offered to one campaign: ``slip.candidates[cursor]``. ``decision`` counts the decisions about the lead
    in the run, and ``attempt`` follows from it and the cursor (:func:`schemas.identity.attempt_of`). ``declines`` and
    ``sales`` are what became of the legs before."""

    TOPIC = topics.OFFERS
    STEP = Step.OFFER
    person: str
    lead: Lead
    slip: Slip
    cursor: Annotated[int, Field(ge=0, lt=2**31)]
    decision: DecisionNumber
    declines: list[Decline]
    sales: list[Sale]


class Outcome(StrEnum):
    """How an offer ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    ERROR = "error"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Exchange(Frozen):
    """What went over the wire in a leg's last request, without its content, so free of personal data.

    ``endpoint`` is the URL's scheme and host (a path may hold a buyer's key), ``key`` the Idempotency-Key,
    ``response_type`` the answer's media type (None where none came). Sizes are in bytes, of the bodies.
    """

    endpoint: str
    key: UUID
    request_bytes: int
    response_type: str | None
    response_bytes: int


class Delivery(Event):
    """One leg of a slip and how it ended.

    ``latency_ms`` spans the first request to the last answer; ``posts`` counts requests with the same idempotency key,
    and ``exchange`` is the last of them (None: nothing was sent, or a crash took the answer). ``over``: the slip ends
    with this leg, nobody else is asked.
    """

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
    company: str
    exclusive: bool
    route: str
    tier: str
    decision: DecisionNumber
    over: bool
    exchange: Exchange | None = None


class LeadDelivered(Event):
    """A sale of a lead; ``attempt`` follows from the decision and the number of its sales before
    (:func:`schemas.identity.attempt_of`). ``payout`` is what this sale costs: a source's payout with a lead's first
    sale, and its share of every price. ``declines`` are the candidates that were asked since the sale before."""

    TOPIC = topics.DELIVERED
    STEP = Step.DELIVERY
    person: str
    campaign: str
    buyer: str
    price: Money
    reference: str | None
    company: str
    payout: Money
    exclusive: bool
    route: str
    tier: str
    decision: DecisionNumber
    declines: list[Decline]


class LeadUndelivered(Event):
    """A lead that no candidate of a decision took; ``attempt`` is :func:`schemas.identity.attempt_of` the decision."""

    TOPIC = topics.UNDELIVERED
    STEP = Step.DELIVERY
    person: str
    reason: str
    declines: list[Decline]
    route: str
    decision: DecisionNumber


class FeedbackKind(StrEnum):
    """What a buyer may say later; and ``ERASURE``, what an operator says: whoever keeps the lead lets go of it."""

    RETURN = "return"
    DISPOSITION = "disposition"
    CONVERSION = "conversion"
    ERASURE = "erasure"


class Feedback(Event):
    """What a buyer says about a lead it bought; ``kind`` is a :class:`FeedbackKind`."""

    TOPIC = topics.FEEDBACK
    STEP = Step.FEEDBACK
    person: str
    campaign: str
    buyer: str
    kind: str
    reason: str | None
    amount: Money | None
