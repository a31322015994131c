"""``releases``: the configuration as it was and is, record for record of the ``config`` topic."""

from __future__ import annotations

from typing import Final

from schemas.messages import ConfigEntity
from warehouse.tables.body import event_body
from warehouse.tables.table import Source, Table, is_text, own

RELEASES: Final = Table(
    "releases",
    own("kind", "entity", "release", "document", "occurred_at"),
    (Source(ConfigEntity.TOPIC.name, ConfigEntity, event_body, {}),),
    checks=(is_text("kind", "entity", "release", "document"),),
)
