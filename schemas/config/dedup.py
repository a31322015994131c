"""What makes a lead a duplicate: sets of fields, each with a window."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.config.entity import Entity, Name

LONGEST_WINDOW_DAYS: Final = 400
PERSON: Final = "person"
"""Stands for the primary identity among a key set's fields: the phone, else the email."""


class DedupScope(StrEnum):
    """Among which leads duplicates are looked for."""

    VERTICAL = "vertical"
    SOURCE = "source"


class KeySet(Entity):
    """Two leads that agree in all of ``fields`` within ``days`` are duplicates. It says nothing about a lead that lacks
    one of them. ``scope`` is the whole vertical, or only leads of the same source."""

    fields: Annotated[tuple[Name, ...], Field(min_length=1)] = (PERSON,)
    days: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_DAYS)] = 30
    scope: DedupScope = DedupScope.VERTICAL

    @property
    def name(self) -> str:
        """As events name it: ``zip+last_name``, or ``zip+last_name@source``."""
        fields = "+".join(self.fields)
        return fields if self.scope is DedupScope.VERTICAL else f"{fields}@{self.scope}"

    @property
    def window(self) -> timedelta:
        """How long a lead makes later ones duplicates."""
        return timedelta(days=self.days)

    @property
    def of_person(self) -> bool:
        """Whether equal leads are one person's, and so meet in that person's partition: the phone is the primary
        identity of every lead that has one."""
        return PERSON in self.fields or "phone" in self.fields
