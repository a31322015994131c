-- Who replayed which window of which topic, and why. A run's latest row is its state.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.replays{on_cluster} (
    run         UInt32,
    topic       LowCardinality(String),
    from_time   DateTime64(3, 'UTC'),
    to_time     DateTime64(3, 'UTC'),
    reason      String,
    state       LowCardinality(String)  COMMENT 'started, finished or failed',
    records     UInt64                  COMMENT 'records written again',
    changed_at  DateTime64(3, 'UTC')    DEFAULT now64(3)
)
ENGINE = {engine:ReplacingMergeTree(changed_at)}
ORDER BY run
SETTINGS {window}
