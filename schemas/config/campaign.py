"""A buyer's order."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from enum import StrEnum
from operator import not_
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from schemas.config.cap import Caps
from schemas.config.delivery import DirectPost
from schemas.config.entity import Entity, Name, State, TimeZone
from schemas.config.filters import Filter
from schemas.config.geography import AreaCodes, Radii, Zips
from schemas.config.schedule import Schedule
from schemas.values import Money


def _named_once(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    if repeated := [name for name, count in Counter(f.name for f in filters).items() if count > 1]:
        raise ValueError(f"filter named twice: {', '.join(repeated)}")
    return filters


class Exclusivity(StrEnum):
    """Whether others may get a lead that a campaign buys."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    HYBRID = "hybrid"


class MaxShare(Entity):
    """At most ``percent`` of the leads that a campaign qualified for in the last ``days`` days (UTC), with today."""

    percent: Annotated[Decimal, Field(gt=0, le=100, max_digits=7, decimal_places=4)]
    days: Annotated[int, Field(ge=1, le=31)] = 7


class Campaign(Entity):
    """A buyer's order: what it takes, at what price, how many a day, and where to send it.

    ``status``: a paused campaign is not offered new leads; what it was offered before is still delivered.

    Geography: a lead qualifies in one of the ``states``, **and** in one of the ``zips`` or within any ``radius`` (these
    two are one territory: a list adds to the circles), **and** with a phone of one of the ``area_codes``. What is left
    out or empty restricts nothing, so a campaign without any buys everywhere.

    ``schedule``: when it buys, on the wall clock of ``time_zone``; without one always. ``filters`` must all take the
    lead. ``caps`` are never exceeded. ``max_share`` of the leads it qualifies for are offered to it.

    ``exclusivity``: an ``exclusive`` campaign buys leads that nobody else gets, a ``shared`` one those that others may
    get too, a ``hybrid`` one both: at ``exclusive_price`` for itself alone, at ``price`` shared. ``priority`` (lower
    goes first) and ``weight`` count where the group's method asks for them. ``time_zone`` is the buyer's where it is
    left out.
    """

    # A field that came later is left out of the dump at its default: it must not change the hash of older releases.
    id: Name
    buyer: Name
    vertical: Name
    status: Annotated[Literal["active", "paused"], Field(exclude_if=lambda status: status == "active")] = "active"
    states: frozenset[State] = frozenset()
    zips: Annotated[Zips, Field(exclude_if=not_)] = ()
    radius: Annotated[Radii, Field(exclude_if=not_)] = ()
    area_codes: Annotated[AreaCodes, Field(exclude_if=not_)] = ()
    schedule: Annotated[Schedule | None, Field(exclude_if=not_)] = None
    filters: Annotated[tuple[Filter, ...], AfterValidator(_named_once), Field(exclude_if=not_)] = ()
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    weight: Annotated[int, Field(ge=0, le=1_000_000, exclude_if=lambda weight: weight == 1)] = 1
    price: Money = Decimal("0.0000")  # as validation writes it: a default is not validated
    exclusivity: Annotated[Exclusivity, Field(exclude_if=lambda kind: kind is Exclusivity.EXCLUSIVE)] = (
        Exclusivity.EXCLUSIVE
    )
    exclusive_price: Annotated[Money | None, Field(exclude_if=lambda price: price is None)] = None
    caps: Annotated[Caps, Field(exclude_if=not_)] = ()
    max_share: Annotated[MaxShare | None, Field(exclude_if=not_)] = None
    time_zone: TimeZone = "UTC"
    delivery: DirectPost

    @model_validator(mode="after")
    def _prices(self) -> Campaign:
        if (self.exclusive_price is not None) != (self.exclusivity is Exclusivity.HYBRID):
            raise ValueError("exclusive_price goes with exclusivity: hybrid, and a hybrid campaign needs one")
        return self
