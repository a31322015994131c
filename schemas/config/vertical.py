"""A line of business."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from schemas.config.entity import Entity, Name

LONGEST_WINDOW_DAYS: Final = 400


class Vertical(Entity):
    """A line of business."""

    name: Name
    dedup_window_days: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_DAYS)] = 30

    @property
    def dedup_window(self) -> timedelta:
        """How long a person's first lead makes later ones duplicates."""
        return timedelta(days=self.dedup_window_days)
