CREATE OR REPLACE VIEW {database}.speed_to_lead{on_cluster} (
    hour             DateTime('UTC')          COMMENT 'of the event',
    vertical         String                   COMMENT 'what the leads are for',
    stage            String                   COMMENT 'validation, dedup, routing, delivery for a sale, or end for a lead''s end: its first sale, or else its last end',
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
COMMENT 'Time from a raw lead''s arrival to each stage''s word about it, the stages before included, and to its end: that is the time in all. Live traffic only.'
