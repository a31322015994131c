"""What proof of consent a vertical's leads must carry."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.config.entity import Entity


class ConsentPart(StrEnum):
    """A part of the consent record; ``certificate`` is a TrustedForm certificate or a Jornaya LeadiD."""

    TEXT = "text"
    URL = "url"
    IP = "ip"
    AT = "at"
    SELLERS = "sellers"
    TRUSTEDFORM = "trustedform"
    JORNAYA = "jornaya"
    CERTIFICATE = "certificate"


class ConsentRule(Entity):
    """Rejects leads whose consent record lacks one of the ``required`` parts, or is older than ``maximum_age_hours``
    when the lead comes."""

    required: Annotated[tuple[ConsentPart, ...], Field(min_length=1)]
    maximum_age_hours: Annotated[float, Field(gt=0)] | None = None
