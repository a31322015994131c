-- What the sink could not read: offsets that the log had dropped before they were in the tables, or before it was known
-- that they are. Without such a row a hole in the tables could not be told from one that is still to come.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.sink_gaps{on_cluster} (
    topic       LowCardinality(String)   COMMENT 'the topic',
    topic_id    String                   COMMENT 'Kafka''s UUID of it: a topic that is made again has another',
    partition   UInt16                   COMMENT 'its partition',
    first       UInt64                   COMMENT 'the first offset that is gone',
    last        UInt64                   COMMENT 'the last',
    why         LowCardinality(String)   COMMENT 'what the sink found',
    lost        Bool                     COMMENT 'nobody has read them; false: they were planned, and which tables have their rows nobody knows',
    accepted    Bool                     COMMENT 'it went on without them; false: it stopped there',
    noticed_at  DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when it found that'
)
ENGINE = {engine:ReplacingMergeTree(noticed_at)}
ORDER BY (topic, topic_id, partition, first)
SETTINGS {window}
