"""A buyer's order."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from operator import not_
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.config.delivery import DirectPost
from schemas.config.entity import Entity, Name, State, TimeZone
from schemas.config.filters import Filter
from schemas.config.geography import AreaCodes, Radii, Zips
from schemas.config.schedule import Schedule
from schemas.events import Money


def _named_once(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    if repeated := [name for name, count in Counter(f.name for f in filters).items() if count > 1]:
        raise ValueError(f"filter named twice: {', '.join(repeated)}")
    return filters


class Campaign(Entity):
    """A buyer's order: what it takes, at what price, how many a day, and where to send it.

    ``status``: a paused campaign is not offered new leads; what it was offered before is still delivered.

    Geography: a lead qualifies in one of the ``states``, **and** in one of the ``zips`` or within any ``radius`` (these
    two are one territory: a list adds to the circles), **and** with a phone of one of the ``area_codes``. What is left
    out or empty restricts nothing, so a campaign without any buys everywhere.

    ``schedule``: when it buys, on the wall clock of ``time_zone``; without one always. ``filters`` must all take the
    lead. ``priority``: lower goes first; equal priorities take turns. ``daily_cap`` counts leads of one day in
    ``time_zone``.
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
    price: Money = Decimal("0.0000")  # as validation writes it: a default is not validated
    daily_cap: Annotated[int, Field(ge=0)] | None = None
    time_zone: TimeZone = "UTC"
    delivery: DirectPost
