"""Who pays for leads."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Literal

from pydantic import Field

from schemas.config.cap import Caps
from schemas.config.entity import Entity, Name, TimeZone
from schemas.values import Money


class Buyer(Entity):
    """An account that pays for leads.

    Buyers of one ``parent`` company are one company: no lead is sold to two of them. ``time_zone`` is that of its caps,
    and of its campaigns that name none. ``credit`` is what it may spend in all; raise it by each payment. ``caps`` hold
    over all of its campaigns. A person whose lead it bought within ``duplicate_days`` days is not offered to it again;
    with ``duplicate_scope`` ``parent`` no matter which buyer of its company bought it.
    """

    id: Name
    name: str
    parent: Annotated[Name | None, Field(exclude_if=not_)] = None
    time_zone: Annotated[TimeZone | None, Field(exclude_if=not_)] = None
    credit: Annotated[Money | None, Field(exclude_if=lambda credit: credit is None)] = None
    caps: Annotated[Caps, Field(exclude_if=not_)] = ()
    duplicate_days: Annotated[int, Field(ge=0, le=400, exclude_if=not_)] = 0
    duplicate_scope: Annotated[Literal["buyer", "parent"], Field(exclude_if=lambda scope: scope == "buyer")] = "buyer"

    @property
    def company(self) -> str:
        """The parent company, or the buyer itself: the key of its offers, so that one writer owns its ledger."""
        return self.parent or self.id
