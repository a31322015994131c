"""Rollups: what is kept of each hour of leads' arrival, so that views need not compute it from the events again.

A rollup is a query in ``rollups/NAME.sql`` over the final rows of some hours, ``{hours}``, and a table ``rollup_NAME``
that keeps what it gave for hours that have settled. A view reads ``{rollup:NAME}``: the table for settled hours and the
query for all others, so that it says the same as the query alone does, at any moment. Which hours have settled is read
once a query, from ``rollup_horizon``: were it read for each half, an hour could be in both, or in none.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import Final

from warehouse.errors import WarehouseError
from warehouse.metrics import with_metrics

_ROLLUP: Final = re.compile(r"\{rollup:(\w+)\}")
_QUERY: Final = re.compile(r"\{query:(\w+)\}")
_DEFINITION: Final = "{definition}"
_KEPT: Final = "SELECT * FROM {database}.rollup_NAME WHERE version = VERSION AND hour IN {hours}"
_EVERY_HOUR: Final = """(
    WITH (SELECT (version, hours) FROM {database}.rollup_horizon) AS horizon
    SELECT * EXCEPT (version) FROM {database}.rollup_NAME
    WHERE (hour, version) IN (
        SELECT hour, max(version) FROM {database}.rollup_hours
        WHERE version <= horizon.1 AND NOT has(horizon.2, hour) GROUP BY hour
    )
    UNION ALL
    QUERY
)"""


@cache
def rollups() -> dict[str, str]:
    """Each rollup's query by name, with ``{database}`` and ``{hours}``, the right side of IN, still open. One that asks
    another's query is behind it."""
    texts = _texts()
    queries = {name: _QUERY.sub(lambda match: texts[match[1]], text) for name, text in texts.items()}
    return {name: with_metrics(f"the rollup {name}", query) for name, query in queries.items()}


def query_beside(name: str, version: int) -> str:
    """A rollup's query that reads another rollup's rows of a version, which are there already, instead of making them
    again; with ``{database}`` and ``{hours}`` still open."""
    kept = _KEPT.replace("VERSION", str(version))
    query = _QUERY.sub(lambda match: kept.replace("NAME", match[1]), _texts()[name])
    return with_metrics(f"the rollup {name}", query)


@cache
def _texts() -> dict[str, str]:
    folder = resources.files("warehouse") / "rollups"
    texts = {file.name[:-4]: file.read_text().strip() for file in folder.iterdir() if file.name.endswith(".sql")}
    return dict(sorted(texts.items(), key=lambda item: (_QUERY.search(item[1]) is not None, item[0])))


@cache
def definition() -> str:
    """A hash of the queries: rows that others made count as not settled."""
    return hashlib.sha256("\n".join(rollups().values()).encode()).hexdigest()[:16]


def with_rollups(view: str, sql: str) -> str:
    """The SQL of a view with each rollup written out.

    Raises:
        WarehouseError: it asks for a rollup that there is not.
    """

    def written(match: re.Match[str]) -> str:
        if match[1] not in rollups():
            raise WarehouseError(f"the view {view} asks for the rollup {match[1]!r}, which warehouse/rollups has not")
        query = rollups()[match[1]].replace("{hours}", "(SELECT arrayJoin(horizon.2))")
        return _EVERY_HOUR.replace("NAME", match[1]).replace("QUERY", query)

    return _ROLLUP.sub(written, sql).replace(_DEFINITION, definition())
