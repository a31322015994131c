-- Kafka's id of each topic that the sink has read: rows that came before a topic was made again are of other records.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.sunk_topics{on_cluster} (
    topic       LowCardinality(String)   COMMENT 'the topic',
    topic_id    String                   COMMENT 'Kafka''s UUID of it: a topic that is made again has another',
    since       DateTime64(3, 'UTC')     COMMENT 'rows that came before are of another topic of this name; 1970 for the first one'
)
ENGINE = {engine:MergeTree}
ORDER BY (topic, topic_id)
SETTINGS {window}
