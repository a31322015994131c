"""What a worker tells Prometheus about its lanes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas import metrics
from schemas.metrics import Kind, Metric
from schemas.topics import DEAD_LETTERS
from streams.lane import Lane, Step
from streams.stage import Stage

_COLLECTORS: Final[dict[Kind, Any]] = {Kind.COUNTER: Counter, Kind.GAUGE: Gauge, Kind.HISTOGRAM: Histogram}


class WorkerMetrics:
    """One stage's metrics in a registry of their own."""

    def __init__(self, stage: Stage[Any]) -> None:
        self.registry = CollectorRegistry()
        self._stage = stage
        self._collectors = {metric.name: self._collector(metric) for metric in metrics.METRICS}
        for spec in (*stage.reads, *stage.writes, DEAD_LETTERS):  # known from the start: a rate needs its zero
            kind = metrics.STAGE_RECORDS if spec in stage.reads else metrics.STAGE_OUTPUTS
            self._of(kind, spec.name)
        self._step_records = self._of(metrics.STEP_RECORDS)
        self._step_seconds = self._of(metrics.STEP_SECONDS)
        self._write_seconds = self._of(metrics.WRITE_SECONDS)
        self._tick_failures = self._of(metrics.TICK_FAILURES)
        self._in_flight = self._of(metrics.EFFECTS_IN_FLIGHT)
        self._effects = self._of(metrics.EFFECTS)
        self._unknown = self._of(metrics.EFFECTS_UNKNOWN)

    def _collector(self, metric: Metric) -> Any:
        extra = {"buckets": metric.buckets} if metric.buckets else {}
        return _COLLECTORS[metric.kind](
            metric.name.removesuffix("_total"), metric.meaning, metric.labels, registry=self.registry, **extra
        )

    def _of(self, metric: Metric, *labels: object) -> Any:
        return self._collectors[metric.name].labels(self._stage.name, *labels)

    def stepped(self, step: Step, seconds: float, writing: float) -> None:
        """A step is written: ``seconds`` in all, ``writing`` of them by Kafka."""
        self._step_seconds.observe(seconds)
        self._write_seconds.observe(writing)
        if step.records:
            self._step_records.observe(step.records)
        if step.settled:
            self._effects.inc(step.settled)
        if step.tick_failed:
            self._tick_failures.inc()
        for topic, count in step.taken.items():
            self._of(metrics.STAGE_RECORDS, topic).inc(count)
        written: dict[str, int] = {}
        for output in step.outputs:
            written[output.topic] = written.get(output.topic, 0) + 1
        for topic, count in written.items():
            self._of(metrics.STAGE_OUTPUTS, topic).inc(count)
        for item in step.dead:
            self._of(metrics.DEAD_LETTERS, item.dead or "").inc()

    def effect_begins(self) -> None:
        """One more is being performed."""
        self._in_flight.inc()

    def effect_ends(self, *, known: bool) -> None:
        """One fewer."""
        self._in_flight.dec()
        if not known:
            self._unknown.inc()

    def assigned(self, partitions: int) -> None:
        """The worker has an assignment."""
        self._of(metrics.REBALANCES).inc()
        self._of(metrics.LANES).set(partitions)
        for metric in metrics.METRICS:
            if "partition" in metric.labels:  # another worker tells of those that are gone
                self._collectors[metric.name].clear()

    def restoring(self, partition: int, done: int, expected: int) -> None:
        """A restore has come so far."""
        self._of(metrics.RESTORE_RECORDS, partition).set(done)
        self._of(metrics.RESTORE_RECORDS_EXPECTED, partition).set(expected)

    def lag(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """What is not done of a partition."""
        self._of(metrics.LAG_RECORDS, topic, partition).set(records)
        self._of(metrics.LAG_SECONDS, topic, partition).set(seconds)

    def tables(self, lanes: Mapping[int, Lane], now_ms: int) -> None:
        """Sizes and ages."""
        for partition, lane in lanes.items():
            store = lane.tables.store
            for spec in self._stage.tables:
                self._of(metrics.TABLE_ENTRIES, partition, spec.name).set(store.size(spec))
                if spec.expiry_ms is not None:
                    oldest = store.oldest_ms(spec)
                    age = 0.0 if oldest is None else max(now_ms - oldest, 0) / 1000
                    self._of(metrics.TABLE_OLDEST_SECONDS, partition, spec.name).set(age)
