"""The sink's metrics: exported and documented as the catalogue has them."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.metrics import METRICS, SINK_METRICS, Kind
from warehouse.sinking.failures import Failure
from warehouse.sinking.metrics import SinkMetrics

PAGE = Path(__file__).parents[3] / "docs" / "warehouse.md"


def test_the_page_has_every_metric_as_it_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `leadline_sink")]
    assert rows == [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.meaning} |" for m in SINK_METRICS]


def test_names_are_as_prometheus_has_them_and_no_workers() -> None:
    for metric in SINK_METRICS:
        assert re.fullmatch(r"leadline_sink_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert not {metric.name for metric in SINK_METRICS} & {metric.name for metric in METRICS}


def test_a_sink_exports_what_happens_to_it() -> None:
    metrics = SinkMetrics()
    metrics.inserted(7, 0.3, recovered=False)
    metrics.inserted(2, 900.0, recovered=True)
    metrics.holding(5, 4_000, paused=3)
    metrics.failed(Failure.TRANSIENT)
    metrics.gap(4)
    for happened in (metrics.reconciled, metrics.views_in_doubt, metrics.refused, metrics.commit_refused):
        happened()
    value = metrics.registry.get_sample_value
    assert value("leadline_sink_records_total") == 9
    assert value("leadline_sink_batches_total") == 2
    assert value("leadline_sink_recovered_total") == 1
    assert value("leadline_sink_freshness_seconds_count") == 1, "an outage's length is not how fresh the tables are"
    assert value("leadline_sink_waiting_records") == 5
    assert value("leadline_sink_held_bytes") == 4_000
    assert value("leadline_sink_paused_partitions") == 3
    assert value("leadline_sink_failures_total", {"failure": "transient"}) == 1
    assert value("leadline_sink_gap_records_total") == 4
    for name in ("reconciled", "views_in_doubt", "refused", "commits_refused"):
        assert value(f"leadline_sink_{name}_total") == 1
    exported = {family.name for family in metrics.registry.collect()}
    assert exported == {metric.name.removesuffix("_total") for metric in SINK_METRICS}


def test_lag_is_of_the_topics_that_the_sink_has_now() -> None:
    metrics = SinkMetrics()
    value = metrics.registry.get_sample_value
    metrics.behind({"leads": 7, "leads.unique": 0}, 1.5)
    assert value("leadline_sink_lag_records", {"topic": "leads"}) == 7
    assert value("leadline_sink_lag_records", {"topic": "leads.unique"}) == 0
    assert value("leadline_sink_lag_seconds") == 1.5
    metrics.behind({"leads": 2}, -0.1)
    assert value("leadline_sink_lag_records", {"topic": "leads"}) == 2
    assert value("leadline_sink_lag_records", {"topic": "leads.unique"}) is None, "another sink tells of it now"
    assert value("leadline_sink_lag_seconds") == 0, "clocks differ"
