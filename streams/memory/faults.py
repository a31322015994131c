"""Where a worker can be when something happens to it, and what can happen there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Final


class Point(StrEnum):
    """A place between two things that a worker does, where it may be interrupted."""

    FENCED = "fenced its predecessor, restores next"
    RESTORING = "in the middle of a restore"
    RESTORED = "restored, reads next"
    DECIDED = "decided, writes next"
    IN_TRANSACTION = "in the middle of a transaction"
    BEFORE_COMMIT = "commits next"
    COMMITTED = "committed, does not know yet"
    IN_WRITES = "in the middle of writes"
    WRITES_ACKED = "writes acknowledged, position next"
    ADVANCED = "position committed"
    BEFORE_EFFECT = "effect asked for, not performed"
    AFTER_EFFECT = "effect performed, its result not given"


class Fault(StrEnum):
    """What happens at a point."""

    CRASH = "crash"
    """The worker is gone; a successor starts. Requests that are under way may still arrive."""
    FREEZE = "freeze"
    """The worker stands still, a successor starts, and later the old one goes on as if nothing had been."""
    ABORT = "abort"
    """The transaction fails, and the worker writes it again."""
    LOST = "lost"
    """Nothing more is heard of the effect, until it counts as unknown."""
    LATE = "late"
    """The effect counts as unknown, and is performed after that."""
    FAILED = "failed"
    """The effect's performer raises."""


ALLOWED: Final[Mapping[Point, tuple[Fault, ...]]] = MappingProxyType(
    dict.fromkeys(Point, (Fault.CRASH, Fault.FREEZE))
    | {
        Point.BEFORE_COMMIT: (Fault.CRASH, Fault.FREEZE, Fault.ABORT),
        Point.BEFORE_EFFECT: (Fault.CRASH, Fault.FREEZE, Fault.LOST, Fault.LATE, Fault.FAILED),
        Point.AFTER_EFFECT: (Fault.CRASH, Fault.FREEZE, Fault.LOST, Fault.FAILED),
    }
)

WEIGHTS: Final[Mapping[Point, float]] = MappingProxyType(
    dict.fromkeys(Point, 1.0)
    # One for each record, or for each start: rarer, or they would be nearly all.
    | dict.fromkeys((Point.IN_TRANSACTION, Point.IN_WRITES), 0.6)
    | dict.fromkeys((Point.FENCED, Point.RESTORED, Point.DECIDED), 0.4)
    | dict.fromkeys((Point.BEFORE_EFFECT, Point.AFTER_EFFECT), 4.0)
)


@dataclass
class Faults:
    """Draws faults: at each point with probability ``rate`` times the point's weight, ``budget`` of them at most."""

    chance: Random
    rate: float = 0.02
    budget: int = 4
    counts: Counter[tuple[Point, Fault]] = field(default_factory=Counter)

    def draw(self, point: Point) -> Fault | None:
        """What happens here; None is nothing."""
        if self.budget <= 0 or self.chance.random() >= self.rate * WEIGHTS[point]:
            return None
        fault = self.chance.choice(ALLOWED[point])
        self.budget -= 1
        self.counts[point, fault] += 1
        return fault
