CREATE OR REPLACE VIEW {database}.completeness{on_cluster} (
    topic            String                   COMMENT 'the topic',
    partition        UInt16                   COMMENT 'its partition',
    first_offset     UInt64                   COMMENT 'the lowest offset that is here',
    last_offset      UInt64                   COMMENT 'the highest',
    events           UInt64                   COMMENT 'how many rows came',
    without_a_row    Int64                    COMMENT 'offsets between the two that gave no row: transaction markers hold no record; in a topic without transactions each is one that is missing; below 0 some came twice'
) AS
SELECT
    ingested._topic AS topic,
    ingested._partition AS partition,
    min(ingested.first) AS first_offset,
    max(ingested.last) AS last_offset,
    sum(ingested.rows) AS events,
    toInt64(last_offset) - toInt64(first_offset) + 1 - toInt64(events) AS without_a_row
FROM {database}.ingested
GROUP BY topic, partition
COMMENT 'Whether each partition of the log is here, whole and once.'
