"""A release: one whole configuration, known by its hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cached_property

from pydantic import BaseModel, model_validator

from schemas.config.buyer import Buyer
from schemas.config.campaign import Campaign
from schemas.config.entity import Entity
from schemas.config.vertical import Vertical


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
