"""What every delivery method gives back."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.events import Exchange, Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a delivery, after all retries. A failure is an answer, never an exception.

    ``UNKNOWN`` means that the buyer may have the lead. ``posts`` counts requests, and ``exchange`` is the last
    of them; ``latency_ms`` spans the first request to the last answer.
    """

    outcome: Outcome
    reason: str | None = None
    reference: str | None = None
    http_status: int | None = None
    posts: int = 1
    latency_ms: float = 0.0
    exchange: Exchange | None = None
