"""Metrics: named as Prometheus has it, and told to the reader of the docs as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.metrics import METRICS, Kind, Metric
from streams.engine.metrics import WorkerMetrics
from streams.topology import PIPELINE

PAGE = Path(__file__).parents[3] / "docs" / "engine.md"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_what_is_counted_and_in_which_unit(metric: Metric) -> None:
    assert re.fullmatch(r"leadline_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert set(metric.labels) <= {"stage", "topic", "partition", "table", "reason"}  # nothing that could be a person


def test_names_are_unique() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_page_has_every_metric_as_it_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `leadline_")]
    assert rows == [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.meaning} |" for m in METRICS]


def test_a_worker_exports_what_the_catalogue_has() -> None:
    for stage in PIPELINE:
        exported = {family.name for family in WorkerMetrics(stage).registry.collect()}
        assert exported == {metric.name.removesuffix("_total") for metric in METRICS}
