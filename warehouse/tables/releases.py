"""``releases``: the configuration as it was and is, record for record of the ``config`` topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.messages import ConfigEntity
from schemas.record import Record
from warehouse.tables.content import Content
from warehouse.tables.target import target

COLUMNS: Final = ("kind", "entity", "release", "document", "occurred_at")


def _rows(_record: Record, content: Content) -> Sequence[Mapping[str, Any]]:
    if not isinstance(content, ConfigEntity):
        return ()
    return ({name: getattr(content, name) for name in COLUMNS},)


RELEASES: Final = target("releases", COLUMNS, [ConfigEntity.TOPIC.name], _rows)
