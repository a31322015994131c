"""The whole pipeline on one page.

::

    leads ──► validation ──► leads.validated ──► dedup ──► leads.unique ──► routing ──► offers ──► delivery
                  │                              ▲ │ │                       ▲   │        ▲           │
                  ▼                       claims └─┘ ▼                       │   ▼        └── next ───┤
            leads.rejected                  leads.duplicate                  │  leads.routed          ▼
                                                                             │  leads.unrouted   leads.delivered
                                                                             │                   leads.undelivered
                                                                             └────────────────── deliveries, capacity

Whatever cannot be decoded, or makes a stage fail, goes to ``dead-letters``. Each input has exactly one outcome:
raw = rejected + duplicate + unrouted + delivered + undelivered + dead.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.topics import CATALOGUE, TopicSpec, changelog
from streams.dedup.stage import Dedup
from streams.delivery.stage import DeliveryStage
from streams.routing.stage import Routing
from streams.stage import Stage
from streams.validation.stage import Validation

PIPELINE: Final[tuple[Stage[Any], ...]] = (Validation(), Dedup(), Routing(), DeliveryStage())
STAGES: Final[dict[str, Stage[Any]]] = {stage.name: stage for stage in PIPELINE}


def all_topics() -> tuple[TopicSpec, ...]:
    """The catalogue and every changelog."""
    return (*CATALOGUE, *(changelog(stage.name) for stage in PIPELINE))
