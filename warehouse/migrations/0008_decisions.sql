-- What routing found of every campaign, what caps had used, and the configuration that it was all decided by.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.routing_evaluations{on_cluster} (
    lead_id     UUID                     COMMENT 'the lead',
    run         UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    decision    UInt16                   COMMENT 'the how many-th decision about the lead in its run, from 0',
    vertical    LowCardinality(String)   COMMENT 'whose campaigns they are: the lead''s, or the second one that it was tried in',
    route       LowCardinality(String)   COMMENT 'the route that decided',
    reason      LowCardinality(String)   COMMENT 'chosen, or the first predicate that failed, as subject.condition',
    campaigns   String                   COMMENT 'of those that failed: one bit a campaign, the vertical''s first in the highest bit; the view evaluations names them',
    named       Array(LowCardinality(String)) COMMENT 'of those that were chosen: the campaigns on the slip, in its order',
    received_at DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    occurred_at DateTime64(3, 'UTC')     COMMENT 'when it was decided' CODEC(Delta, ZSTD),
    ingested_at DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    release     LowCardinality(String)   COMMENT 'content hash of the configuration that decided',
    _topic      LowCardinality(String)   COMMENT 'the topic of the event',
    _partition  UInt16                   COMMENT 'its partition',
    _offset     UInt64                   COMMENT 'its offset there' CODEC(Delta, ZSTD),
    INDEX lead_id_bloom lead_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (vertical, reason, toStartOfHour(received_at), lead_id, decision)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.cap_ledger{on_cluster} (
    campaign    LowCardinality(String)   COMMENT 'the campaign',
    buyer       LowCardinality(String)   COMMENT 'whose it is',
    cap         LowCardinality(String)   COMMENT 'which cap: window:counts, with the source where it is one source''s, and buyer: before it where it is the buyer''s',
    since       LowCardinality(String)   COMMENT 'when its window began, in UTC; empty for one without an end',
    until       Nullable(DateTime64(3, 'UTC')) COMMENT 'when its window ends; NULL: never',
    limit       Decimal(12, 4)           COMMENT 'leads, or an amount of money',
    used        Decimal(12, 4)           COMMENT 'what was reserved and settled, in the same unit',
    full        LowCardinality(String)   COMMENT 'the reason why the campaign took nothing more then; empty where it did',
    occurred_at DateTime64(3, 'UTC')     COMMENT 'when that was so' CODEC(Delta, ZSTD),
    ingested_at DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    _topic      LowCardinality(String)   COMMENT 'the topic that told',
    _partition  UInt16                   COMMENT 'its partition',
    _offset     UInt64                   COMMENT 'its offset there' CODEC(Delta, ZSTD)
)
ENGINE = {engine:ReplacingMergeTree}
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (campaign, cap, occurred_at, _topic, _partition, _offset)
TTL toDateTime(occurred_at) + INTERVAL 400 DAY
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.releases{on_cluster} (
    kind        LowCardinality(String)   COMMENT 'verticals, buyers, campaigns, …; release: what a release is made of; applied: it was put in force',
    entity      String                   COMMENT 'the id of what it is; the number of what was put in force',
    release     String                   COMMENT 'content hash: of the entity, or of the release',
    document    String                   COMMENT 'its content as JSON, with the names of secrets in place of secrets' CODEC(ZSTD(3)),
    occurred_at DateTime64(3, 'UTC')     COMMENT 'when it was put in force for the first time',
    ingested_at DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came',
    _topic      LowCardinality(String)   COMMENT 'the topic',
    _partition  UInt16                   COMMENT 'its partition',
    _offset     UInt64                   COMMENT 'its offset there'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY (kind, entity, release)
SETTINGS {window}
