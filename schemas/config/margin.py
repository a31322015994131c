"""What the operator keeps of a lead's price."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from operator import not_
from typing import Annotated, Final

from pydantic import Field, model_validator

from schemas.config.entity import Entity
from schemas.values import Money

Percent = Annotated[Decimal, Field(ge=0, le=100, max_digits=7, decimal_places=4)]


class MarginBase(StrEnum):
    """What a percentage is taken of: what the buyer pays, or what the lead costs."""

    BID = "bid"
    COST = "cost"


class Margin(Entity):
    """The least that must remain: a lead is sold only where ``bid - margin >= cost``. Either an ``amount``, or
    ``percent`` with its base ``of``, which has no default, since products in the field differ in it."""

    amount: Annotated[Money | None, Field(exclude_if=lambda amount: amount is None)] = None
    percent: Annotated[Percent | None, Field(exclude_if=lambda percent: percent is None)] = None
    of: Annotated[MarginBase | None, Field(exclude_if=not_)] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Margin:
        if (self.amount is None) == (self.percent is None):
            raise ValueError("a margin is either an amount or a percent")
        if (self.percent is None) != (self.of is None):
            raise ValueError("percent goes with of: bid or of: cost, and says of what")
        return self


NO_LOSS: Final = Margin(amount=Decimal("0.0000"))
"""Where nothing is said: a lead is sold for what it costs at least."""
