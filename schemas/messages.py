"""What the topics hold: every model by its topic, the events and what is not about one lead."""

from __future__ import annotations

from typing import ClassVar

from schemas import topics
from schemas.events import (
    Delivery,
    Event,
    Feedback,
    LeadClaim,
    LeadDelivered,
    LeadDuplicate,
    LeadRejected,
    LeadRouted,
    LeadUndelivered,
    LeadUnique,
    LeadUnrouted,
    LeadValidated,
    Offer,
    RawLead,
)
from schemas.values import Frozen, Money, Timestamp


class CapUse(Frozen):
    """A cap's use in the window from ``since`` to ``until`` (None: it never ends): what is reserved and settled against
    its limit. Leads, or an amount of money."""

    cap: str
    since: str
    until: Timestamp | None
    limit: Money
    used: Money


class Capacity(Frozen):
    """What a campaign has used of its caps (its buyer's among them). ``full`` is the reason of the one that is used up,
    ``until`` when its window ends (None: never)."""

    TOPIC: ClassVar[topics.TopicSpec] = topics.CAPACITY
    campaign: str
    buyer: str
    uses: list[CapUse]
    full: str | None
    until: Timestamp | None
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
