"""Every metric by name, with its labels and its unit. What exports one takes it from here, and so do the docs.

Names follow Prometheus: ``leadline_`` in front, the unit behind, ``_total`` for what only grows. No label holds
personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``buckets`` are a histogram's upper bounds."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ("stage",)
    buckets: tuple[float, ...] = ()


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
RECORDS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
PARTITION: Final = ("stage", "topic", "partition")
TABLE: Final = ("stage", "partition", "table")

STAGE_RECORDS: Final = Metric("leadline_stage_records_total", Kind.COUNTER, "records taken", ("stage", "topic"))
STAGE_OUTPUTS: Final = Metric("leadline_stage_outputs_total", Kind.COUNTER, "records written", ("stage", "topic"))
DEAD_LETTERS: Final = Metric("leadline_dead_letters_total", Kind.COUNTER, "dead letters by reason", ("stage", "reason"))
STEP_RECORDS: Final = Metric("leadline_step_records", Kind.HISTOGRAM, "records a step took", buckets=RECORDS)
STEP_SECONDS: Final = Metric("leadline_step_seconds", Kind.HISTOGRAM, "a step, decided and written", buckets=SECONDS)
WRITE_SECONDS: Final = Metric(
    "leadline_write_seconds", Kind.HISTOGRAM, "writing a step: its transaction or its acknowledgements", buckets=SECONDS
)
TICK_FAILURES: Final = Metric("leadline_tick_failures_total", Kind.COUNTER, "ticks that failed, and come again")
EFFECTS_IN_FLIGHT: Final = Metric("leadline_effects_in_flight", Kind.GAUGE, "effects being performed")
EFFECTS: Final = Metric("leadline_effects_total", Kind.COUNTER, "effects whose results are settled")
EFFECTS_UNKNOWN: Final = Metric(
    "leadline_effects_unknown_total", Kind.COUNTER, "effects that failed or took too long, so that nobody knows"
)
LAG_RECORDS: Final = Metric("leadline_lag_records", Kind.GAUGE, "records that are not done", PARTITION)
LAG_SECONDS: Final = Metric("leadline_lag_seconds", Kind.GAUGE, "age of the oldest record that is not done", PARTITION)
RESTORE_RECORDS: Final = Metric(
    "leadline_restore_records", Kind.GAUGE, "changelog records restored so far", ("stage", "partition")
)
RESTORE_RECORDS_EXPECTED: Final = Metric(
    "leadline_restore_records_expected", Kind.GAUGE, "changelog records to restore", ("stage", "partition")
)
LANES: Final = Metric("leadline_lanes", Kind.GAUGE, "partitions that the worker has")
REBALANCES: Final = Metric("leadline_rebalances_total", Kind.COUNTER, "assignments that the worker was given")
TABLE_ENTRIES: Final = Metric("leadline_table_entries", Kind.GAUGE, "entries of a table", TABLE)
TABLE_OLDEST_SECONDS: Final = Metric(
    "leadline_table_oldest_seconds", Kind.GAUGE, "no entry of a table that expires is older", TABLE
)

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

SINK_RECORDS: Final = Metric("leadline_sink_records_total", Kind.COUNTER, "records whose rows are in the tables", ())
SINK_BATCHES: Final = Metric("leadline_sink_batches_total", Kind.COUNTER, "planned batches inserted", ())
SINK_RECOVERED: Final = Metric(
    "leadline_sink_recovered_total", Kind.COUNTER, "batches made again of a plan that was found", ()
)
SINK_RECONCILED: Final = Metric(
    "leadline_sink_reconciled_total", Kind.COUNTER, "comparisons of a batch with a table, its token not trusted", ()
)
SINK_VIEWS_IN_DOUBT: Final = Metric(
    "leadline_sink_views_in_doubt_total", Kind.COUNTER, "batches that materialized views may lack", ()
)
SINK_REFUSED: Final = Metric("leadline_sink_refused_total", Kind.COUNTER, "rows refused for what they hold", ())
SINK_FAILURES: Final = Metric(
    "leadline_sink_failures_total",
    Kind.COUNTER,
    "inserts, and reads for them, that failed and come again",
    ("failure",),
)
SINK_COMMITS_REFUSED: Final = Metric(
    "leadline_sink_commits_refused_total", Kind.COUNTER, "commits that Kafka refused", ()
)
SINK_GAP_RECORDS: Final = Metric(
    "leadline_sink_gap_records_total", Kind.COUNTER, "offsets gone from the log before they were read", ()
)
SINK_WAITING: Final = Metric("leadline_sink_waiting_records", Kind.GAUGE, "records read and not yet inserted", ())
SINK_HELD_BYTES: Final = Metric(
    "leadline_sink_held_bytes", Kind.GAUGE, "records in memory, those being inserted included", ()
)
SINK_PAUSED: Final = Metric(
    "leadline_sink_paused_partitions", Kind.GAUGE, "partitions that are not read because enough waits", ()
)
SINK_LAG_RECORDS: Final = Metric(
    "leadline_sink_lag_records",
    Kind.GAUGE,
    "offsets of the sink's partitions up to the log's end that are not in the tables; the end as last fetched",
    ("topic",),
)
SINK_LAG_SECONDS: Final = Metric(
    "leadline_sink_lag_seconds", Kind.GAUGE, "age of the oldest record that is read and not in the tables", ()
)
SINK_FRESHNESS_SECONDS: Final = Metric(
    "leadline_sink_freshness_seconds",
    Kind.HISTOGRAM,
    "from the record's Kafka timestamp to its insert's acknowledgement, the oldest record of each batch",
    (),
    SECONDS,
)

SINK_METRICS: Final[tuple[Metric, ...]] = tuple(
    value for name, value in list(globals().items()) if isinstance(value, Metric) and name.startswith("SINK_")
)
"""Those of the sink."""
