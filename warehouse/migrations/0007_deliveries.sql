-- What buyers were asked, what they answered, and what they said later.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.deliveries{on_cluster} (
    event_id    UUID                     COMMENT 'uuid5 of lead, stage, run and attempt',
    lead_id     UUID                     COMMENT 'the lead',
    run         UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    decision    UInt16                   COMMENT 'the how many-th decision about the lead in its run, from 0',
    attempt     UInt16                   COMMENT 'the decision and the leg''s place on its slip: 500 times the one plus the other',
    vertical    LowCardinality(String)   COMMENT 'what it is a lead for',
    source      LowCardinality(String)   COMMENT 'who sent it',
    campaign    LowCardinality(String)   COMMENT 'who was asked',
    buyer       LowCardinality(String)   COMMENT 'whose campaign that is',
    company     LowCardinality(String)   COMMENT 'the buyer''s parent company, or the buyer',
    route       LowCardinality(String)   COMMENT 'the route that decided',
    tier        LowCardinality(String)   COMMENT 'the group of the route',
    exclusive   Bool                     COMMENT 'offered to this campaign alone',
    outcome     LowCardinality(String)   COMMENT 'accepted, rejected, duplicate, error, skipped or unknown',
    reason      LowCardinality(String)   COMMENT 'why, as subject.condition; empty for one that was accepted',
    price       Decimal(12, 4)           COMMENT 'what the buyer pays; 0 where nothing was sold. Money is summed from the view revenue, not from here',
    reference   String                   COMMENT 'the buyer''s own number of the lead',
    http_status UInt16                   COMMENT 'of the last answer; 0 where there was none',
    posts       UInt16                   COMMENT 'requests with the same idempotency key',
    latency_ms  Float32                  COMMENT 'milliseconds from the first request to the last answer',
    is_last     Bool                     COMMENT 'nobody else on the slip is asked after it',
    endpoint    LowCardinality(String)   COMMENT 'scheme and host of what was asked; empty where nothing was sent, or a crash took the answer',
    idempotency_key UUID                 COMMENT 'the Idempotency-Key of the requests, by which the buyer knows them; nil where nothing was sent',
    request_bytes UInt32                 COMMENT 'size of the request''s body',
    response_type LowCardinality(String) COMMENT 'media type of the last answer; empty where there was none',
    response_bytes UInt32                COMMENT 'size of the last answer''s body, as far as it was read',
    received_at DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    occurred_at DateTime64(3, 'UTC')     COMMENT 'when the answer was known' CODEC(Delta, ZSTD),
    ingested_at DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    release     LowCardinality(String)   COMMENT 'content hash of the configuration that decided',
    _topic      LowCardinality(String)   COMMENT 'the topic of the event',
    _partition  UInt16                   COMMENT 'its partition',
    _offset     UInt64                   COMMENT 'its offset there' CODEC(Delta, ZSTD),
    INDEX lead_id_bloom lead_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (campaign, toStartOfHour(received_at), lead_id, attempt)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.feedback{on_cluster} (
    event_id    UUID                     COMMENT 'the event''s id, as its author gave it',
    lead_id     UUID                     COMMENT 'the lead',
    run         UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    attempt     UInt16                   COMMENT 'as its author numbered it',
    vertical    LowCardinality(String)   COMMENT 'what it is a lead for',
    source      LowCardinality(String)   COMMENT 'who sent it',
    campaign    LowCardinality(String)   COMMENT 'whose sale it is about',
    buyer       LowCardinality(String)   COMMENT 'who says so',
    kind        LowCardinality(String)   COMMENT 'return, disposition or conversion, by the buyer; erasure, by leadline erase',
    reason      LowCardinality(String)   COMMENT 'why, in the buyer''s words',
    amount      Decimal(12, 4)           COMMENT 'money it is about; 0 where none is named',
    received_at DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    occurred_at DateTime64(3, 'UTC')     COMMENT 'when the buyer said so' CODEC(Delta, ZSTD),
    ingested_at DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    release     LowCardinality(String)   COMMENT 'content hash of a configuration, where its author names one',
    _topic      LowCardinality(String)   COMMENT 'the topic of the event',
    _partition  UInt16                   COMMENT 'its partition',
    _offset     UInt64                   COMMENT 'its offset there' CODEC(Delta, ZSTD),
    INDEX lead_id_bloom lead_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (campaign, kind, toStartOfHour(received_at), lead_id, event_id)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.dead_letters{on_cluster} (
    lead_id          UUID                   COMMENT 'the lead, or the place of a record that names none',
    run              UInt32                 COMMENT '0 for live traffic, else the replay''s number',
    stage            LowCardinality(String) COMMENT 'the stage that gave it up',
    reason           LowCardinality(String) COMMENT 'why, as subject.condition',
    detail           String                 COMMENT 'which rule; never which value',
    origin_topic     LowCardinality(String) COMMENT 'the topic of the record',
    origin_partition Int32                  COMMENT 'its partition; -1 where the header is no such number',
    origin_offset    Int64                  COMMENT 'its offset there; -1 where the header is no such number',
    origin_at        DateTime64(3, 'UTC')   COMMENT 'its time' CODEC(Delta, ZSTD),
    attempt          UInt16                 COMMENT 'how often it was tried',
    version          LowCardinality(String) COMMENT 'the version of the software that gave it up',
    received_at      DateTime64(3, 'UTC')   COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    occurred_at      DateTime64(3, 'UTC')   COMMENT 'when it was given up' CODEC(Delta, ZSTD),
    ingested_at      DateTime64(3, 'UTC')   DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    _topic           LowCardinality(String) COMMENT 'dead-letters, where the record itself is',
    _partition       UInt16                 COMMENT 'its partition there',
    _offset          UInt64                 COMMENT 'its offset there' CODEC(Delta, ZSTD)
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (stage, reason, occurred_at, _topic, _partition, _offset)
SETTINGS {window}
