"""What a sink tells Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas import metrics
from schemas.metrics import Kind, Metric
from warehouse.sinking.failures import Failure

_COLLECTORS: Final[dict[Kind, Any]] = {Kind.COUNTER: Counter, Kind.GAUGE: Gauge, Kind.HISTOGRAM: Histogram}


class SinkMetrics:
    """A sink's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._topics: set[str] = set()
        self._collectors = {metric.name: self._collector(metric) for metric in metrics.SINK_METRICS}

    def _collector(self, metric: Metric) -> Any:
        extra = {"buckets": metric.buckets} if metric.buckets else {}
        return _COLLECTORS[metric.kind](
            metric.name.removesuffix("_total"), metric.meaning, metric.labels, registry=self.registry, **extra
        )

    def _of(self, metric: Metric) -> Any:
        return self._collectors[metric.name]

    def inserted(self, records: int, freshness_seconds: float, *, recovered: bool) -> None:
        """A batch is in the tables; ``freshness_seconds`` is its oldest record's age, by each partition's first."""
        self._of(metrics.SINK_BATCHES).inc()
        self._of(metrics.SINK_RECORDS).inc(records)
        if recovered:  # its age is the outage's
            self._of(metrics.SINK_RECOVERED).inc()
        elif records:
            self._of(metrics.SINK_FRESHNESS_SECONDS).observe(max(freshness_seconds, 0.0))

    def holding(self, records: int, size: int, *, paused: int) -> None:
        """So many records are read and wait; so many bytes are in memory; so many partitions are not read for that."""
        self._of(metrics.SINK_WAITING).set(records)
        self._of(metrics.SINK_HELD_BYTES).set(size)
        self._of(metrics.SINK_PAUSED).set(paused)

    def behind(self, records: Mapping[str, int], seconds: float) -> None:
        """By topic, of the partitions that the sink has now; topics that it has none of are left out."""
        gauge = self._of(metrics.SINK_LAG_RECORDS)
        for topic in self._topics - set(records):
            gauge.remove(topic)
        self._topics = set(records)
        for topic, number in records.items():
            gauge.labels(topic).set(number)
        self._of(metrics.SINK_LAG_SECONDS).set(max(seconds, 0.0))

    def failed(self, failure: Failure) -> None:
        """An insert, or a read for it, failed and is tried again."""
        self._of(metrics.SINK_FAILURES).labels(failure.value).inc()

    def reconciled(self) -> None:
        """A batch was compared with a table."""
        self._of(metrics.SINK_RECONCILED).inc()

    def views_in_doubt(self) -> None:
        """Materialized views may lack a batch."""
        self._of(metrics.SINK_VIEWS_IN_DOUBT).inc()

    def refused(self) -> None:
        """A row was refused for what it holds."""
        self._of(metrics.SINK_REFUSED).inc()

    def commit_refused(self) -> None:
        """Kafka refused a commit: the partitions are another's, or the coordinator is away."""
        self._of(metrics.SINK_COMMITS_REFUSED).inc()

    def gap(self, records: int) -> None:
        """Records were gone from the log before they were read."""
        self._of(metrics.SINK_GAP_RECORDS).inc(records)
