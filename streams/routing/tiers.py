"""The tiers of a slip after sales that others keep, and after a return: what is left of each, and who is passed over.

Tiers are the groups of the route, its sweeper the last of them, then the groups of the second vertical's route. Asked
are the route's groups, then those, then the sweeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.decision import PriorSale, Tier
from streams.routing.market import PreparedGroup, PreparedRoute


class Tiers(NamedTuple):
    """The slip's tiers, and the campaigns of those that are closed: of the route, and of the second vertical's."""

    tiers: list[Tier]
    closed: int
    closed_second: int


def tiers_of(
    main: PreparedRoute, second: PreparedRoute | None, kept: Sequence[PriorSale], resumed_at: str | None
) -> Tiers:
    """The tiers for a lead of which ``kept`` sales stand, from the tier at ``resumed_at`` on if there is one of that
    name. A sale that stands binds as if the slip had made it (:mod:`streams.delivery.slip`)."""
    tiers = main.tiers if second is None else main.tiers + second.as_overflow
    if not kept and resumed_at is None:
        return Tiers(tiers, 0, 0)
    overflow = [] if second is None else [group for group in second.groups if not group.sweeper]
    if kept:
        tiers = [_left(tier, kept) for tier in tiers]
    names = {sale.tier for sale in kept}
    stopped = next((place for place, tier in enumerate(tiers) if tier.stop and tier.name in names), len(tiers))
    passed = _passed_over(main, overflow, tiers, resumed_at)
    masks = [group.mask for group in (*main.groups, *overflow)]
    closed = [
        mask if place > stopped or tier.max_sales == 0 or place in passed or (tier.unsold and kept) else 0
        for place, (mask, tier) in enumerate(zip(masks, tiers, strict=True))
    ]
    count = len(main.groups)
    return Tiers(tiers, _together(closed[:count]), _together(closed[count:]))


def _left(tier: Tier, kept: Sequence[PriorSale]) -> Tier:
    own = sum(sale.tier == tier.name for sale in kept)
    if tier.max_sales is None or not own:
        return tier
    return tier.model_copy(update={"max_sales": max(tier.max_sales - own, 0)})


def _passed_over(
    main: PreparedRoute, overflow: Sequence[PreparedGroup], tiers: Sequence[Tier], resumed_at: str | None
) -> set[int]:
    count = len(main.groups)
    own = [place for place, group in enumerate(main.groups) if not group.sweeper]
    sweeper = [place for place, group in enumerate(main.groups) if group.sweeper]
    asked = [*own, *range(count, count + len(overflow)), *sweeper]
    names = [tiers[place].name for place in asked]
    return set(asked[: names.index(resumed_at)]) if resumed_at in names else set()


def _together(masks: Sequence[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
