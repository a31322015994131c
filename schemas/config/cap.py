"""Caps: how much a campaign or a buyer takes in a window of time."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from operator import not_
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from schemas.config.entity import Entity, Name, TimeZone
from schemas.values import Money


class CapWindow(StrEnum):
    """The window that a cap counts in, by the calendar and wall clock of its time zone; a week begins on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class CapCounts(StrEnum):
    """What a cap counts: leads that were sold, leads that were sent whatever the answer, or what was paid.

    A lead that is being sent, and one whose outcome nobody knows, counts for all three until it is settled.
    """

    ACCEPTED = "accepted"
    SENT = "sent"
    SPEND = "spend"


class Cap(Entity):
    """At most ``limit`` in a ``window``: a number of leads, or an amount where ``counts`` is ``spend``. With a
    ``source`` only that source's leads count, and only they are stopped. ``time_zone`` is the campaign's (or buyer's)
    where it is left out."""

    window: CapWindow
    limit: Money
    counts: CapCounts = CapCounts.ACCEPTED
    source: Annotated[Name | None, Field(exclude_if=not_)] = None
    time_zone: Annotated[TimeZone | None, Field(exclude_if=not_)] = None

    @model_validator(mode="after")
    def _whole_leads(self) -> Cap:
        if self.counts is not CapCounts.SPEND and self.limit != self.limit.to_integral_value():
            raise ValueError(f"a cap on leads is a whole number, not {self.limit.normalize():f}")
        return self

    @property
    def name(self) -> str:
        """What tells a campaign's caps apart: ``day:accepted``, or ``day:spend:acme`` for a source's."""
        return ":".join(filter(None, (self.window, self.counts, self.source)))


def _named_once(caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
    if repeated := [name for name, count in Counter(cap.name for cap in caps).items() if count > 1]:
        raise ValueError(f"the same cap twice: {', '.join(repeated)}")
    return caps


Caps = Annotated[tuple[Cap, ...], AfterValidator(_named_once)]
"""Caps that hold all at once."""
