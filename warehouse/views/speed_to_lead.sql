CREATE OR REPLACE VIEW {database}.speed_to_lead{on_cluster} (
    hour             DateTime('UTC')          COMMENT 'of the event',
    vertical         String                   COMMENT 'what the leads are for',
    stage            String                   COMMENT 'validation, dedup, routing, or delivery for the way to a sale',
    events           UInt64                   COMMENT 'how many events the times are of',
    p50_ms           Float64                  COMMENT 'metric speed_to_lead_p50',
    p95_ms           Float64                  COMMENT 'metric speed_to_lead_p95',
    p99_ms           Float64                  COMMENT 'metric speed_to_lead_p99'
) AS
SELECT
    event_hour AS hour, vertical, stage, sum(times.events) AS events,
    {metric:speed_to_lead_p50} AS p50_ms,
    {metric:speed_to_lead_p95} AS p95_ms,
    {metric:speed_to_lead_p99} AS p99_ms
FROM {rollup:times} AS times
GROUP BY hour, vertical, stage
COMMENT 'Time from a raw lead''s arrival to each stage''s word about it, live traffic only.'
