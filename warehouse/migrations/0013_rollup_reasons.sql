-- Why campaigns were chosen or not, counted by the hour of the leads' arrival: a decision has a reason for each campaign
-- of its vertical, so over days there are too many to count them as they are asked for.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_reasons{on_cluster} (
    hour           DateTime('UTC')          COMMENT 'of the leads'' arrival' CODEC(Delta, ZSTD),
    version        UInt64                   COMMENT 'of the hour' CODEC(Delta, ZSTD),
    release        LowCardinality(String)   COMMENT 'content hash of the configuration that decided',
    vertical       LowCardinality(String)   COMMENT 'whose campaigns they are',
    reason         LowCardinality(String)   COMMENT 'chosen, or the first predicate that failed, as subject.condition',
    named          LowCardinality(String)   COMMENT 'the campaign, where it was chosen; else empty',
    place          UInt32                   COMMENT 'of the campaign among its vertical''s in the release, from 1, where it failed; else 0' CODEC(ZSTD),
    decisions      UInt64                   COMMENT 'how many decisions found so' CODEC(ZSTD)
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (hour, vertical, reason, named, place, release)
SETTINGS {window}
