"""Where and how a campaign's leads are sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.entity import Entity


class DirectPost(Entity):
    """Delivery of the full lead as JSON over HTTP, at a known price.

    ``timeout_seconds`` bounds one request; no request starts later than ``retry_seconds`` after the first, so both
    together bound the delivery. ``idempotent`` says that the buyer recognises a repeated post by its Idempotency-Key;
    without it a post whose answer was lost is never repeated.
    """

    kind: Literal["direct_post"] = "direct_post"
    url: Annotated[str, Field(pattern=r"^https?://")]
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    retry_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    idempotent: bool = True
