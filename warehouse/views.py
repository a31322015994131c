"""Analysts' views: SQL files that are applied again whenever they change, for a view holds nothing.

A view names each metric as ``{metric:NAME}``: what that is stands in ``metrics.yml``, once for views, dashboards and
the data dictionary. Every column has a comment.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import resources
from typing import Any, Final

import yaml

from warehouse.errors import WarehouseError

PREFIX: Final = "view:"
_METRIC: Final = re.compile(r"\{metric:(\w+)\}")
_READ: Final = re.compile(r"\{database\}\.(\w+)")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with one definition: what it is, its unit, the kind of rows it is taken over, and its SQL."""

    name: str
    what: str
    unit: str
    over: str
    sql: str


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
def metrics() -> dict[str, Metric]:
    """Every metric, by name."""
    found: dict[str, Any] = yaml.safe_load((resources.files("warehouse") / "metrics.yml").read_text())
    return {
        name: Metric(name, **{key: str(value).strip() for key, value in one.items()}) for name, one in found.items()
    }


@cache
def views() -> tuple[View, ...]:
    """Every view of the package, each behind those that it reads.

    Raises:
        WarehouseError: a view asks for a metric that there is not.
    """
    folder = resources.files("warehouse") / "views"
    texts = {file.name[:-4]: file.read_text().strip() for file in folder.iterdir() if file.name.endswith(".sql")}
    reads = {name: texts.keys() & set(_READ.findall(text)) - {name} for name, text in sorted(texts.items())}
    return tuple(View(name, _with_metrics(name, texts[name])) for name in TopologicalSorter(reads).static_order())


def _with_metrics(view: str, text: str) -> str:
    def sql(match: re.Match[str]) -> str:
        try:
            return metrics()[match[1]].sql
        except KeyError:
            raise WarehouseError(
                f"the view {view} asks for the metric {match[1]!r}, which metrics.yml has not"
            ) from None

    return _METRIC.sub(sql, text)
