CREATE OR REPLACE VIEW {database}.completeness{on_cluster} (
    topic            String                   COMMENT 'the topic',
    partition        UInt16                   COMMENT 'its partition',
    first_offset     UInt64                   COMMENT 'the lowest offset that is here',
    last_offset      UInt64                   COMMENT 'the highest',
    events           UInt64                   COMMENT 'how many rows came',
    lost             UInt64                   COMMENT 'offsets between the two that the log no longer had when the sink went on: sink_gaps says when and why',
    without_a_row    Int64                    COMMENT 'the other offsets between the two that gave no row. A topic written in transactions always has some, for their markers hold no record; in one without transactions each is a record that is missing; below 0 some came twice'
) AS
SELECT
    seen.topic AS topic,
    seen.partition AS partition,
    seen.low AS first_offset,
    seen.high AS last_offset,
    seen.rows AS events,
    toUInt64(arraySum(arrayMap(
        gap -> greatest(0, toInt64(least(gap.2, seen.high)) - toInt64(greatest(gap.1, seen.low)) + 1), gone.gaps
    ))) AS lost,
    toInt64(seen.high) - toInt64(seen.low) + 1 - toInt64(seen.rows) - toInt64(lost) AS without_a_row
FROM (
    SELECT
        ingested._topic AS topic, ingested._partition AS partition,
        min(ingested.first) AS low, max(ingested.last) AS high, sum(ingested.rows) AS rows
    FROM {database}.ingested
    GROUP BY topic, partition
) AS seen
LEFT JOIN (
    SELECT topic, partition, groupArray((toUInt64(first), toUInt64(last))) AS gaps
    FROM (SELECT * FROM {database}.sink_gaps FINAL) AS noted
    WHERE noted.lost AND noted.accepted
    GROUP BY topic, partition
) AS gone ON gone.topic = seen.topic AND gone.partition = seen.partition
COMMENT 'Whether each partition of the log is here, whole and once: of the topics that give rows of lead_events, not of capacity and config. A topic that was made again is mixed with the one of its name before it.'
