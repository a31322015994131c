"""A buyer's order."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.config.delivery import DirectPost
from schemas.config.entity import Entity, Name, State, TimeZone
from schemas.events import Money


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
    time_zone: TimeZone = "UTC"
    delivery: DirectPost
