"""What becomes of a batch whose fate is not known: a pure function of its plan and of what the table has.

ClickHouse forgets tokens: after so many blocks, or so long. So a plan's token is trusted while the plan is young, and
the table is asked in every other case.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from warehouse.sinking.plans import Pending

Place = tuple[str, int, int]
"""A record's topic, partition and offset."""


class Action(StrEnum):
    """What is to be done."""

    COUNT = "count"
    """Ask the table what it has of the batch, and decide again."""
    SKIP = "skip"
    INSERT = "insert"
    """All of it, with the plan's token."""
    INSERT_MISSING = "insert missing"
    """Some of it, with a token of its own."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``missing`` is what is to be inserted. ``views_in_doubt``: the table has rows of the batch, and whether its
    materialized views have them nobody knows, since an insert that is cut off may have reached only the table. What
    another member has settled is in the views."""

    action: Action
    missing: frozenset[Place] = frozenset()
    views_in_doubt: bool = False


def recover(
    pending: Pending,
    expected: frozenset[Place],
    present: frozenset[Place] | None,
    *,
    age_seconds: float,
    safe_seconds: float,
) -> Decision:
    """Decide about one table.

    Parameters
    ----------
    expected:
        The places of the batch that have rows in this table.
    present:
        Those of them that it has; None when it was not asked yet.
    age_seconds:
        How long ago it was planned, below zero where clocks differ.
    safe_seconds:
        How long a token is surely remembered.
    """
    if not expected:
        return Decision(Action.SKIP)
    if pending.whole and 0 <= age_seconds < safe_seconds:
        # The engine drops what it has, and completes an insert that was cut off, views included.
        return Decision(Action.INSERT, expected)
    if present is None:
        return Decision(Action.COUNT)
    missing = expected - present
    if not missing:
        return Decision(Action.SKIP, views_in_doubt=pending.awaits is None)
    if missing == expected and pending.whole:
        return Decision(Action.INSERT, expected)
    return Decision(Action.INSERT_MISSING, missing, views_in_doubt=missing != expected)


def derived_token(token: str, places: frozenset[Place]) -> str:
    """The token of some of a batch's places: another than the batch's own, and the same for the same places."""
    return f"{token}:{hashlib.sha256(json.dumps(sorted(places)).encode()).hexdigest()[:32]}"
