"""Who pays for leads."""

from __future__ import annotations

from schemas.config.entity import Entity, Name


class Buyer(Entity):
    """Who pays for leads."""

    id: Name
    name: str
