-- Who replayed which window of which topic, and why. A run's latest row is its state.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.replays{on_cluster} (
    run         UInt32 COMMENT 'its number, from 1',
    topic       LowCardinality(String) COMMENT 'what was replayed',
    from_time   DateTime64(3, 'UTC') COMMENT 'from the first record of this moment on',
    to_time     DateTime64(3, 'UTC') COMMENT 'to the last record before this moment',
    reason      String COMMENT 'why, as its author said',
    state       LowCardinality(String)  COMMENT 'started, finished or failed',
    records     UInt64                  COMMENT 'records written again',
    passed_over UInt64                  COMMENT 'records of earlier replays, not written again',
    erased      UInt64                  COMMENT 'records of erased people, not written again',
    changed_at  DateTime64(3, 'UTC')    DEFAULT now64(3) COMMENT 'when that was so'
)
ENGINE = {engine:ReplacingMergeTree(changed_at)}
ORDER BY run
SETTINGS {window}
