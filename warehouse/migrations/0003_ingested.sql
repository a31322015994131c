-- How many rows came of each partition, counted as they are inserted: what a merge collapses stays counted here, so that
-- what is missing of a log can be told from it. An insert that is sent again is counted once, by its token.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.ingested{on_cluster} (
    _topic      LowCardinality(String)                  COMMENT 'the topic',
    _partition  UInt16                                  COMMENT 'its partition',
    hour        DateTime('UTC')                         COMMENT 'when the rows came',
    rows        SimpleAggregateFunction(sum, UInt64)    COMMENT 'how many',
    first       SimpleAggregateFunction(min, UInt64)    COMMENT 'the lowest offset among them',
    last        SimpleAggregateFunction(max, UInt64)    COMMENT 'the highest'
)
ENGINE = {engine:AggregatingMergeTree}
ORDER BY (_topic, _partition, hour)
SETTINGS {window}
-- @stmt
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.ingested_mv{on_cluster} TO {database}.ingested AS
SELECT
    _topic, _partition, toStartOfHour(ingested_at) AS hour,
    count() AS rows, min(_offset) AS first, max(_offset) AS last
FROM {database}.lead_events
GROUP BY _topic, _partition, hour
