CREATE OR REPLACE VIEW {database}.freshness{on_cluster} (
    stage            String                   COMMENT 'whose events',
    last_event_at    DateTime64(3, 'UTC')     COMMENT 'the youngest event',
    last_row_at      DateTime64(3, 'UTC')     COMMENT 'when ClickHouse made the last row, during its insert',
    seconds_behind   Float64                  COMMENT 'seconds since the youngest event: where leads come all the time, more than a few say that something stands still',
    p50_ms           Float64                  COMMENT 'metric freshness_p50',
    p99_ms           Float64                  COMMENT 'metric freshness_p99'
) AS
SELECT
    stage,
    max(occurred_at) AS last_event_at,
    max(ingested_at) AS last_row_at,
    (toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(last_event_at)) / 1000 AS seconds_behind,
    {metric:freshness_p50} AS p50_ms,
    {metric:freshness_p99} AS p99_ms
FROM (
    SELECT stage, occurred_at, ingested_at,
        greatest(toUnixTimestamp64Milli(ingested_at) - toUnixTimestamp64Milli(occurred_at), 0) AS lag_ms
    FROM {database}.lead_events
    WHERE ingested_at > now() - INTERVAL 1 DAY AND run = 0
) AS rows
GROUP BY stage
COMMENT 'How far behind its events the warehouse is, by stage, over the last day: from when an event occurred to when ClickHouse took its row, replays left out.'
