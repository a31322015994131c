"""Grafana's provisioning: the data source and the dashboards of ``dashboards.yml``, as files that Grafana reads.

For the plugin ``grafana-clickhouse-datasource`` over HTTP, which the embedded engine speaks too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from warehouse.metrics import with_metrics

SOURCE: Final = "leadline"
"""The data source's uid."""
PLUGIN: Final = "grafana-clickhouse-datasource"
PASSWORD: Final = "$LEADLINE_CLICKHOUSE_TOKEN"  # noqa: S105  # Grafana fills in the variable
_WIDTH: Final = {"stat": 6, "timeseries": 12, "table": 12}
_HEIGHT: Final = {"stat": 4, "timeseries": 8, "table": 8}
_COLUMNS: Final = 24
_FORMAT: Final = {"timeseries": 0, "table": 1, "stat": 1}
"""The plugin's numbers for what a query gives."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: ``kind`` is Grafana's type, ``unit`` Grafana's name of a unit."""

    title: str
    sql: str
    kind: str = "table"
    unit: str = "short"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard, its panels from left to right and down."""

    name: str
    title: str
    panels: tuple[Panel, ...]


@cache
def dashboards() -> tuple[Dashboard, ...]:
    """Every dashboard.

    Raises:
        WarehouseError: a panel asks for a metric that there is not.
    """
    found: dict[str, Any] = yaml.safe_load((resources.files("warehouse") / "dashboards.yml").read_text())
    return tuple(
        Dashboard(name, one["title"], tuple(_panel_of(panel) for panel in one["panels"])) for name, one in found.items()
    )


def _panel_of(written: dict[str, str]) -> Panel:
    panel = Panel(**written)
    return replace(panel, sql=with_metrics(f"the panel {panel.title}", panel.sql))


def provisioning(url: str, database: str) -> Iterator[tuple[PurePosixPath, str]]:
    """The files of a provisioning folder for a ClickHouse at a URL: each path in it, and its text. A password is not
    written: Grafana takes it from the environment."""
    yield PurePosixPath("datasources/leadline.yml"), yaml.safe_dump(_source(url, database), sort_keys=False)
    provider = {
        "name": "leadline",
        "folder": "Leadline",
        "type": "file",
        "options": {"path": "/etc/grafana/provisioning/dashboards/leadline"},
    }
    yield PurePosixPath("dashboards/leadline.yml"), yaml.safe_dump({"apiVersion": 1, "providers": [provider]})
    for dashboard in dashboards():
        document = json.dumps(_document(dashboard), indent=2, ensure_ascii=False)
        yield PurePosixPath(f"dashboards/leadline/{dashboard.name}.json"), f"{document}\n"


def _source(url: str, database: str) -> dict[str, Any]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    source = {
        "name": "Leadline",
        "uid": SOURCE,
        "type": PLUGIN,
        "jsonData": {
            "host": parts.hostname,
            "port": parts.port or (8443 if secure else 8123),
            "protocol": "http",
            "secure": secure,
            "username": unquote(parts.username) if parts.username else "analyst",
            "defaultDatabase": database,
        },
        "secureJsonData": {"password": PASSWORD},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _document(dashboard: Dashboard) -> dict[str, Any]:
    panels, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(dashboard.panels, 1):
        width, height = _WIDTH[panel.kind], _HEIGHT[panel.kind]
        if x + width > _COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        panels.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": height}))
        x, tallest = x + width, max(tallest, height)
    return {
        "uid": f"leadline-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["leadline"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": PLUGIN, "uid": SOURCE}
    query = {
        "refId": "A",
        "datasource": source,
        "editorType": "sql",
        "queryType": "timeseries" if panel.kind == "timeseries" else "table",
        "format": _FORMAT[panel.kind],
        "rawSql": panel.sql.strip(),
    }
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [query],
    }
