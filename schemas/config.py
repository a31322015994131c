"""The configuration: verticals, buyers and campaigns. A release is one whole configuration, known by its hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.events import Money

LONGEST_WINDOW_DAYS: Final = 400

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
State = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no IANA time zone, such as America/New_York") from None
    return name


class Entity(BaseModel):
    """A configured thing; an unknown key is an error, so that a typing mistake is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Vertical(Entity):
    """A line of business."""

    name: Name
    dedup_window_days: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_DAYS)] = 30

    @property
    def dedup_window(self) -> timedelta:
        """How long a person's first lead makes later ones duplicates."""
        return timedelta(days=self.dedup_window_days)


class Buyer(Entity):
    """Who pays for leads."""

    id: Name
    name: str


class DirectPost(Entity):
    """Delivery of the full lead as JSON over HTTP, at a known price.

    ``timeout_seconds`` bounds one request; no request starts later than ``retry_seconds`` after the first, so both
    together bound the delivery. ``idempotent`` says that the buyer recognises a repeated post by its Idempotency-Key;
    without it a post whose answer was lost is never repeated.
    """

    kind: Literal["direct_post"] = "direct_post"
    url: Annotated[str, Field(pattern=r"^https?://")]
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    retry_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    idempotent: bool = True


class Campaign(Entity):
    """A buyer's order: what it takes, at what price, how many a day, and where to send it.

    ``priority``: lower goes first; equal priorities take turns. ``daily_cap`` counts leads of one day in ``time_zone``.
    """

    id: Name
    buyer: Name
    vertical: Name
    states: Annotated[frozenset[State], Field(min_length=1)]
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    price: Money = Decimal("0.0000")  # as validation writes it: a default is not validated
    daily_cap: Annotated[int, Field(ge=0)] | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    delivery: DirectPost


class Configuration(Entity):
    """One release of everything that decides about leads."""

    verticals: tuple[Vertical, ...]
    buyers: tuple[Buyer, ...]
    campaigns: tuple[Campaign, ...]

    @model_validator(mode="after")
    def _references(self) -> Configuration:
        verticals, buyers = [v.name for v in self.verticals], [b.id for b in self.buyers]
        for kind, names in (("vertical", verticals), ("buyer", buyers), ("campaign", [c.id for c in self.campaigns])):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind} named twice: {', '.join(repeated)}")
        for campaign in self.campaigns:
            if campaign.buyer not in buyers:
                raise ValueError(f"campaign {campaign.id}: no buyer {campaign.buyer!r} is configured")
            if campaign.vertical not in verticals:
                raise ValueError(f"campaign {campaign.id}: no vertical {campaign.vertical!r} is configured")
        return self

    @cached_property
    def release(self) -> str:
        """The content hash that stands on every decision: 16 hex digits of SHA-256 over the canonical JSON."""
        document = self.model_copy(
            update={"campaigns": tuple(c.model_copy(update={"states": sorted(c.states)}) for c in self.campaigns)}
        )
        with_sorted_states = BaseModel.model_dump_json(document, warnings=False)
        return hashlib.sha256(with_sorted_states.encode()).hexdigest()[:16]

    @cached_property
    def vertical_by_name(self) -> dict[str, Vertical]:
        """Verticals by their name."""
        return {vertical.name: vertical for vertical in self.verticals}

    @cached_property
    def campaign_by_id(self) -> dict[str, Campaign]:
        """Campaigns by their id."""
        return {campaign.id: campaign for campaign in self.campaigns}

    @cached_property
    def campaigns_of(self) -> dict[str, tuple[Campaign, ...]]:
        """Each vertical's campaigns, best priority first, then by id."""
        ordered = sorted(self.campaigns, key=lambda c: (c.priority, c.id))
        return {v.name: tuple(c for c in ordered if c.vertical == v.name) for v in self.verticals}
