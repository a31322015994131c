"""Metrics: each has one definition, in ``metrics.yml``; SQL names it as ``{metric:NAME}``, or ``{metric:NAME of ROWS}``
over rows that have its parts as columns. A column with the comment ``'metric NAME'`` gets what that is as its comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from warehouse.errors import WarehouseError

_METRIC: Final = re.compile(r"\{metric:(\w+)(?: of (\w+))?\}")
_COMMENT: Final = re.compile(r"COMMENT 'metric (\w+)'")
_PART: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with one definition: what it is, its unit, the kind of rows it is taken over, and its SQL, its parts as
    ``{NAME}``. One that ``adds_up`` may be summed over rows that have it, as a column of its name, or of the name in
    ``columns``, by view."""

    name: str
    what: str
    unit: str
    over: str
    sql: str
    adds_up: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)


@cache
def metrics() -> dict[str, Metric]:
    """Every metric, by name."""
    found: dict[str, Any] = yaml.safe_load((resources.files("warehouse") / "metrics.yml").read_text())
    return {name: Metric(name, **one) for name, one in found.items()}


def with_metrics(what: str, sql: str) -> str:
    """The SQL of ``what`` with each metric written out, in columns' comments too.

    Raises:
        WarehouseError: it asks for a metric that there is not, or that cannot be taken over such rows.
    """
    commented = _COMMENT.sub(lambda match: _comment(_metric(what, match[1])), sql)
    return _METRIC.sub(lambda match: _written(what, match[1], match[2]), commented)


def _metric(what: str, name: str) -> Metric:
    try:
        return metrics()[name]
    except KeyError:
        raise WarehouseError(f"{what} asks for the metric {name!r}, which metrics.yml has not") from None


def _comment(metric: Metric) -> str:
    said = metric.what.replace("'", "''")
    return f"COMMENT '{said} ({metric.name})'"


def _written(what: str, name: str, rows: str | None) -> str:
    metric = _metric(what, name)
    if _PART.search(metric.sql) is not None:
        return f"({_PART.sub(lambda part: _part(what, part[1], rows), metric.sql)})"
    if rows is None:
        return metric.sql
    if not metric.adds_up:
        raise WarehouseError(f"{what} asks for the metric {name!r} of {rows}, which does not add up")
    return f"sum({rows}.{metric.columns.get(rows, name)})"


def _part(what: str, name: str, rows: str | None) -> str:
    if name in metrics():
        return _written(what, name, rows)
    if rows is None:
        raise WarehouseError(f"{what} asks for a metric and not of which rows: {name!r} is a column of theirs")
    return f"sum({rows}.{name})"
