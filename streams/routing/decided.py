"""What routing keeps of a lead: the last decision about it, and what came of the run's decisions so far."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

from schemas.decision import Refusal, Slip, Trace
from schemas.values import Frozen, Timestamp
from streams.tables import TableSpec


class Status(StrEnum):
    """Where a lead stands with routing."""

    UNROUTED = "unrouted"
    OFFERED = "offered"
    """Its slip is under way."""
    SOLD = "sold"
    HELD = "held"
    """Its outcome is unknown: perhaps a buyer has it."""
    UNSOLD = "unsold"


REDECIDABLE: Final = frozenset({Status.UNROUTED, Status.UNSOLD})
"""A replay may decide anew: nobody is being asked, and there is room."""
MAX_DECISIONS: Final = 100
"""About one lead in one run. Re-checks that find nobody are not counted."""


class Decided(Frozen):
    """The last decision about a lead: in which run, the how many-th in it, when, and by which release and route.
    ``answered_run`` is the last run told of it.

    Over the decisions of the run: ``resumed_at`` is the tier that a return started from, None before there is one;
    ``refusals`` are those of buyers; ``qualified`` and ``given`` are the campaigns whose shares have counted the lead.
    ``returns`` are campaigns that gave the lead back while the slip was under way.
    """

    status: Status
    run: int
    answered_run: int
    number: int
    at: Timestamp
    release: str
    route: str
    slip: Slip | None
    reason: str | None
    trace: Trace
    resumed_at: str | None
    refusals: tuple[Refusal, ...]
    qualified: tuple[str, ...]
    given: tuple[str, ...]
    returns: tuple[str, ...]

    @property
    def may_be_followed(self) -> bool:
        """Whether the run has a number left for another decision."""
        return self.number + 1 < MAX_DECISIONS


DECISIONS: Final = TableSpec("decisions", Decided, expiry=timedelta(days=120))
"""By lead; kept for longer than any topic that a lead can be replayed from."""
