"""Every question that the docs and the dashboards ask of the warehouse, and which of them the known leads answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from warehouse.dashboards import dashboards

_COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook.md"
_ANSWERED = (1, 3, 6, 7, 8, 11, 12, 13, 14, 17, 18, 21, 22, 24, 25, 26)


def ask_the_cookbook(client: Client, **settings: int) -> list[Sequence[Sequence[Any]]]:
    """Ask every question of the cookbook in the client's database; the rows of each."""
    questions = re.findall(r"```sql\n(.*?)```", _COOKBOOK.read_text(), re.DOTALL)
    assert len(questions) == 26
    answers = [client.query(sql, settings=settings).result_rows for sql in questions]
    assert all(answers[number - 1] for number in _ANSWERED)
    return answers


def ask_the_dashboards(client: Client, **settings: int) -> None:
    """Ask every panel's, with Grafana's macro written out for a range in which the known leads are."""
    empty = []
    for dashboard in dashboards():
        for panel in dashboard.panels:
            sql = re.sub(
                r"\$__timeFilter\(((?:[^()]|\([^()]*\))*)\)",
                r"(\1 >= toDateTime('2026-11-20 00:00:00') AND \1 <= toDateTime('2026-11-21 00:00:00'))",
                panel.sql,
            )
            assert "$" not in sql
            result = client.query(sql, settings=settings)
            if panel.kind == "timeseries":
                assert result.column_names[0] == "time"
            if not result.result_rows:
                empty.append((dashboard.name, panel.title))
    assert empty == []
