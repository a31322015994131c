"""Analysts' views: SQL files that are applied again whenever they change, for a view holds nothing.

A view names each metric as ``{metric:NAME}``: what that is stands in ``metrics.yml``, once for views, rollups,
dashboards and the documentation. Every column has a comment. ``{rollup:NAME}`` is that rollup's rows of every hour,
settled or not: see :mod:`warehouse.rollups`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import resources
from typing import Final

from warehouse.metrics import with_metrics
from warehouse.rollups import with_rollups

PREFIX: Final = "view:"
_READ: Final = re.compile(r"\{database\}\.(\w+)")


@dataclass(frozen=True, slots=True)
class View:
    """A view, its statement with ``{database}`` and ``{on_cluster}`` still open."""

    name: str
    sql: str

    @property
    def entry(self) -> str:
        """Its name among the migrations."""
        return PREFIX + self.name

    @property
    def checksum(self) -> str:
        """Of its statement, metrics included."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def views() -> tuple[View, ...]:
    """Every view of the package, each behind those that it reads.

    Raises:
        WarehouseError: a view asks for a metric or a rollup that there is not.
    """
    folder = resources.files("warehouse") / "views"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    texts = {file.name[:-4]: _written(file.name[:-4], file.read_text().strip()) for file in files}
    reads = {name: texts.keys() & set(_READ.findall(text)) - {name} for name, text in sorted(texts.items())}
    return tuple(View(name, texts[name]) for name in TopologicalSorter(reads).static_order())


def _written(name: str, text: str) -> str:
    return with_metrics(f"the view {name}", with_rollups(name, text))
