"""How a vertical's leads are distributed."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from enum import StrEnum
from operator import not_
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.config.consent import ConsentRule
from schemas.config.entity import Entity, Name
from schemas.config.filters import Filter
from schemas.config.margin import Margin
from schemas.values import Money


class Method(StrEnum):
    """In which order a group's qualified campaigns are asked. Where a method finds two equal, the one that has waited
    longer for its turn is first, then the one of the better priority, then of the lower id."""

    PRIORITY = "priority"
    """By the campaigns' priority, the lowest number first: the waterfall."""
    ROUND_ROBIN = "round_robin"
    """In turn."""
    WEIGHTED = "weighted"
    """In turn, in proportion to the weights of those that qualify, as evenly as can be."""
    PERCENTAGE = "percentage"
    """Whoever has had least of the share that its weight is of all the group's weights, counted over a day."""
    HIGHEST_PRICE = "highest_price"
    """By price, or by the bid where the campaign is asked for one."""
    HIGHEST_EARNINGS = "highest_earnings"
    """By price times the share of leads that the campaign accepted lately (earnings per lead)."""
    SEND_TO_ALL = "send_to_all"
    """Every one, the highest price first, until the limit of sales."""


class Legs(StrEnum):
    """How a group's exclusive and shared legs compare."""

    COMPARE = "compare"
    """An exclusive leg goes before the shared ones where its price is at least what they would bring together."""
    EXCLUSIVE_FIRST = "exclusive_first"
    SHARED_FIRST = "shared_first"


SWEEPER: Final = "sweeper"
"""The name of the group that the sweeper campaign is alone in."""


class Group(Entity):
    """Campaigns that are asked by one method; one without ``campaigns`` has all that no other group of the route names.

    ``max_sales`` within the group (the route's where it is left out); ``if_sold`` says whether the next groups are
    asked after a sale in this one, as far as the route's ``max_sales`` goes.
    """

    name: Name
    campaigns: Annotated[tuple[Name, ...], Field(exclude_if=not_)] = ()
    method: Method = Method.PRIORITY
    max_sales: Annotated[Annotated[int, Field(ge=1)] | None, Field(exclude_if=lambda n: n is None)] = None
    if_sold: Annotated[Literal["continue", "stop"], Field(exclude_if=lambda what: what == "continue")] = "continue"


class Hold(Entity):
    """Keeps an unsold lead and decides about it anew every ``recheck_minutes``, and whenever a release is put in force,
    until it is ``maximum_age_hours`` old from when it was received."""

    recheck_minutes: Annotated[float, Field(ge=1, le=1440)] = 15.0
    maximum_age_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24.0


class Unsold(Entity):
    """What becomes of a lead that no group takes: the groups of another ``vertical``'s route are asked, then the
    ``sweeper`` campaign, which takes what is left; then it may be held."""

    vertical: Annotated[Name | None, Field(exclude_if=not_)] = None
    sweeper: Annotated[Name | None, Field(exclude_if=not_)] = None
    hold: Annotated[Hold | None, Field(exclude_if=not_)] = None


def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


class Route(Entity):
    """The distribution of one vertical's leads, of certain ``sources`` or of all, that ``filters`` take and that carry
    the ``consent`` asked for. Of the routes that a lead fits, the one of the lowest ``priority`` decides, then of the
    lowest id. A vertical without a route has all its campaigns in one group by priority.

    At most ``max_sales`` campaigns get the lead, of ``max_candidates`` that are asked at most, each of another company,
    and none is asked later than ``budget_seconds`` after the decision. A price is at least ``floor``, and leaves
    ``margin``; without one a lead may be sold for less than it costs. ``named_sellers``: only buyers that the lead's
    consent names. ``owner_days``: who bought this person's lead within so many days, and qualifies, is asked first.
    ``reroute_returns_days``: a lead that its buyer returns, not older than that, is offered once more, from the group
    of that buyer on.
    """

    id: Name
    vertical: Name
    sources: Annotated[tuple[Name, ...], AfterValidator(_sorted), Field(exclude_if=not_)] = ()
    filters: Annotated[tuple[Filter, ...], Field(exclude_if=not_)] = ()
    consent: Annotated[ConsentRule | None, Field(exclude_if=not_)] = None
    named_sellers: Annotated[bool, Field(exclude_if=not_)] = False
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    max_sales: Annotated[int, Field(ge=1, le=100)] = 1
    max_candidates: Annotated[int, Field(ge=1, le=500)] = 50
    legs: Legs = Legs.COMPARE
    floor: Money = Decimal("0.0000")
    margin: Annotated[Margin | None, Field(exclude_if=not_)] = None
    budget_seconds: Annotated[
        Annotated[float, Field(gt=0, le=86_400)] | None, Field(exclude_if=lambda seconds: seconds is None)
    ] = None
    owner_days: Annotated[int, Field(ge=0, le=400, exclude_if=not_)] = 0
    reroute_returns_days: Annotated[int, Field(ge=0, le=30, exclude_if=not_)] = 0
    unsold: Annotated[Unsold | None, Field(exclude_if=not_)] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Route:
        sweeper = self.unsold.sweeper if self.unsold else None
        for kind, names in (
            ("group", [group.name for group in self.groups]),
            ("filter", [own.name for own in self.filters]),
            ("campaign", [name for group in self.groups for name in group.campaigns] + ([sweeper] if sweeper else [])),
        ):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind} named twice: {', '.join(repeated)}")
        if sum(not group.campaigns for group in self.groups) > 1:
            raise ValueError("only one group may leave out its campaigns: it has all that the others do not name")
        if sweeper and any(group.name == SWEEPER for group in self.groups):
            raise ValueError(f"{SWEEPER} is the name of the sweeper campaign's own group; call the group otherwise")
        if self.unsold and self.unsold.vertical == self.vertical:
            raise ValueError(f"unsold: {self.vertical} is the route's own vertical; name another")
        return self
