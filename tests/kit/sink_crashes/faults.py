"""What is done to sinks and their engine, and where in a batch: all alike often, in an order that a seed gives."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What is done."""

    KILL = "kill a sink"
    FREEZE = "freeze a sink beyond its session"
    STOP = "ask a sink to stop"
    ENGINE = "kill the engine"


class Point(StrEnum):
    """Where. A sink does it to itself there; the engine is killed by who watches its parts."""

    RANDOM = "anywhere"
    PLANNED = "after a plan"
    SENDING = "half of an insert sent"
    SENT = "an insert sent, not answered"
    FIRST = "after the first table"
    LAST = "after the last table"
    MONTHS = "between an insert's months"
    VIEW = "between a table and its view"


class Fault(NamedTuple):
    """One of them."""

    kind: Kind
    point: Point = Point.RANDOM

    def __str__(self) -> str:
        return f"{self.kind}, {self.point}"


SIGNALS: Final = {Kind.KILL: signal.SIGKILL, Kind.FREEZE: signal.SIGSTOP, Kind.STOP: signal.SIGTERM}
STEPS: Final = {
    Point.PLANNED: "planned",
    Point.SENDING: "sending",
    Point.SENT: "sent",
    Point.FIRST: "inserted lead_events",
    Point.LAST: "inserted deliveries",
}
"""What a sink calls the point."""
FAULTS: Final = (
    *(Fault(kind, point) for kind in (Kind.KILL, Kind.FREEZE) for point in (Point.RANDOM, *STEPS)),
    *(Fault(Kind.ENGINE, point) for point in (Point.RANDOM, Point.MONTHS, Point.VIEW)),
    Fault(Kind.STOP),
)
FEW: Final = (
    Fault(Kind.KILL, Point.PLANNED),
    Fault(Kind.FREEZE, Point.SENDING),
    Fault(Kind.KILL, Point.SENT),
    Fault(Kind.FREEZE, Point.FIRST),
    Fault(Kind.KILL, Point.LAST),
    Fault(Kind.ENGINE, Point.MONTHS),
    Fault(Kind.ENGINE, Point.VIEW),
)
"""Each point once."""


def planned(seed: int, count: int, faults: Sequence[Fault] = FAULTS) -> list[Fault]:
    """So many faults: all of them in some order, again and again in another."""
    chance = random.Random(seed)
    rounds = (fault for _ in range(count) for fault in chance.sample(faults, len(faults)))
    return list(islice(rounds, count))
