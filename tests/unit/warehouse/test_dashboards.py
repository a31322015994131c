"""Grafana's files: what Grafana needs is in them, and no secret."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import yaml

from warehouse.dashboards import PASSWORD, SOURCE, dashboards, provisioning

URL = "https://ann:s3cret@warehouse.example:8443"


def files(url: str = URL) -> dict[PurePosixPath, str]:
    return dict(provisioning(url, "leads"))


def source(url: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files(url)[PurePosixPath("datasources/leadline.yml")])
    (only,) = found["datasources"]
    return dict(only)


def test_the_source_is_where_clickhouse_is() -> None:
    there = source(URL)
    assert there["jsonData"] == {
        "host": "warehouse.example", "port": 8443, "protocol": "http", "secure": True, "username": "ann",
        "defaultDatabase": "leads",
    }  # fmt: skip
    assert there["uid"] == SOURCE
    here = source("http://127.0.0.1:8123")["jsonData"]
    assert (here["port"], here["secure"], here["username"]) == (8123, False, "analyst")


def test_no_password_is_written() -> None:
    assert source(URL)["secureJsonData"] == {"password": PASSWORD}
    assert not [path for path, text in files().items() if "s3cret" in text]


def test_panels_ask_the_source_and_do_not_overlap() -> None:
    for dashboard in dashboards():
        document = json.loads(files()[PurePosixPath(f"dashboards/leadline/{dashboard.name}.json")])
        assert [panel["title"] for panel in document["panels"]] == [panel.title for panel in dashboard.panels]
        taken: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            (target,) = panel["targets"]
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == SOURCE
            assert target["rawSql"]
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert all(x < 24 for x, _ in cells)
            assert not cells & taken
            taken |= cells


def test_what_is_about_a_time_is_asked_for_the_range_on_the_screen() -> None:
    without = [panel.title for one in dashboards() for panel in one.panels if "$__timeFilter(" not in panel.sql]
    assert without == ["Freshness", "Releases", "Caps"]  # what is so now
