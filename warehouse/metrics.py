"""Metrics: each has one definition, in ``metrics.yml``; SQL names it as ``{metric:NAME}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from warehouse.errors import WarehouseError

_METRIC: Final = re.compile(r"\{metric:(\w+)\}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with one definition: what it is, its unit, the kind of rows it is taken over, and its SQL."""

    name: str
    what: str
    unit: str
    over: str
    sql: str


@cache
def metrics() -> dict[str, Metric]:
    """Every metric, by name."""
    found: dict[str, Any] = yaml.safe_load((resources.files("warehouse") / "metrics.yml").read_text())
    return {
        name: Metric(name, **{key: str(value).strip() for key, value in one.items()}) for name, one in found.items()
    }


def with_metrics(what: str, sql: str) -> str:
    """The SQL of ``what`` with each metric written out.

    Raises:
        WarehouseError: it asks for a metric that there is not.
    """

    def written(match: re.Match[str]) -> str:
        try:
            return metrics()[match[1]].sql
        except KeyError:
            raise WarehouseError(f"{what} asks for the metric {match[1]!r}, which metrics.yml has not") from None

    return _METRIC.sub(written, sql)
