-- What views would compute again and again, by the hour of the leads' arrival: kept once the hour has settled. Rows of an
-- hour count in the version that rollup_hours names; views compute the other hours as they are asked (docs/warehouse.md).
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_hours{on_cluster} (
    hour           DateTime('UTC')          COMMENT 'of leads'' arrival',
    version        UInt64                   COMMENT 'of the hour''s rows in the rollups: when they were made, in nanoseconds',
    settled        Bool                     COMMENT 'whether the version''s rows are all there and nothing came since; the greatest version of an hour says so',
    up_to          DateTime64(3, 'UTC')     COMMENT 'of the rows ingested before, every hour''s state is told',
    definition     LowCardinality(String)   COMMENT 'a hash of the queries that made the rows',
    noted_at       DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when this was noted'
)
ENGINE = {engine:MergeTree}
ORDER BY (hour, version)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_leads{on_cluster} (
    hour             DateTime('UTC')          ALIAS toStartOfHour(received_at) COMMENT 'of its arrival',
    version          UInt64                   COMMENT 'of the hour',
    lead_id          UUID                     COMMENT 'the lead',
    vertical         LowCardinality(String)   COMMENT 'what it is a lead for',
    source           LowCardinality(String)   COMMENT 'who sent it',
    received_at      DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    run              UInt32                   COMMENT 'the last run it was in',
    validated        Bool                     COMMENT 'whether it passed every rule',
    unique_lead      Bool                     COMMENT 'whether it was no duplicate',
    routed           Bool                     COMMENT 'whether somebody qualified for it',
    status           LowCardinality(String)   COMMENT 'how it ended; empty while it is under way',
    reason           LowCardinality(String)   COMMENT 'why it ended so',
    route            LowCardinality(String)   COMMENT 'the route of its last decision',
    decisions        UInt64                   COMMENT 'how often it was decided about' CODEC(ZSTD),
    attempts         UInt64                   COMMENT 'how many campaigns were asked' CODEC(ZSTD),
    sales            UInt64                   COMMENT 'how many bought it' CODEC(ZSTD),
    buyers           Array(LowCardinality(String)) COMMENT 'who bought it',
    price            Decimal(38, 4)           COMMENT 'what all of them pay' CODEC(ZSTD),
    payout           Decimal(38, 4)           COMMENT 'what its source is paid' CODEC(ZSTD),
    first_sold_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'when the first of them had it' CODEC(Delta, ZSTD),
    speed_to_lead_ms Nullable(Float64)        COMMENT 'milliseconds from its arrival to its first sale' CODEC(ZSTD),
    updated_at       DateTime64(3, 'UTC')     COMMENT 'its last event' CODEC(Delta, ZSTD),
    INDEX lead_id_bloom lead_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(version)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), lead_id)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_sales{on_cluster} (
    hour             DateTime('UTC')          ALIAS toStartOfHour(received_at) COMMENT 'of the lead''s arrival',
    version          UInt64                   COMMENT 'of the hour',
    lead_id          UUID                     COMMENT 'the lead',
    attempt          UInt16                   COMMENT 'the place of the sale among the lead''s',
    occurred_at      DateTime64(3, 'UTC')     COMMENT 'when it was sold' CODEC(Delta, ZSTD),
    received_at      DateTime64(3, 'UTC')     COMMENT 'when it arrived' CODEC(Delta, ZSTD),
    latency_ms       Float32                  COMMENT 'milliseconds from its arrival to this sale' CODEC(ZSTD),
    vertical         LowCardinality(String)   COMMENT 'what it is a lead for',
    source           LowCardinality(String)   COMMENT 'who sent it',
    buyer            LowCardinality(String)   COMMENT 'who bought it',
    company          LowCardinality(String)   COMMENT 'the buyer''s parent company, or the buyer',
    campaign         LowCardinality(String)   COMMENT 'the buyer''s order',
    route            LowCardinality(String)   COMMENT 'the route that decided',
    tier             LowCardinality(String)   COMMENT 'the group of the route',
    exclusive        Bool                     COMMENT 'sold to this campaign alone',
    outcome          LowCardinality(String)   COMMENT 'delivered',
    price            Decimal(12, 4)           COMMENT 'what the buyer pays' CODEC(ZSTD),
    payout           Decimal(12, 4)           COMMENT 'what the source is paid for this sale' CODEC(ZSTD),
    returned_at      Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was given back' CODEC(Delta, ZSTD)
)
ENGINE = {engine:ReplacingMergeTree(version)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (toStartOfHour(received_at), lead_id, attempt)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_funnel{on_cluster} (
    hour             DateTime('UTC')          ALIAS toStartOfHour(minute) COMMENT 'of the leads'' arrival',
    version          UInt64                   COMMENT 'of the hour' CODEC(Delta, ZSTD),
    minute           DateTime('UTC')          COMMENT 'of the leads'' arrival' CODEC(Delta, ZSTD),
    vertical         LowCardinality(String)   COMMENT 'what they are leads for',
    source           LowCardinality(String)   COMMENT 'who sent them',
    received         UInt64                   COMMENT 'leads that arrived' CODEC(ZSTD),
    validated        UInt64                   COMMENT 'leads that passed every rule' CODEC(ZSTD),
    unique_leads     UInt64                   COMMENT 'leads that were no duplicates' CODEC(ZSTD),
    routed           UInt64                   COMMENT 'leads that somebody qualified for' CODEC(ZSTD),
    delivered        UInt64                   COMMENT 'leads that somebody bought' CODEC(ZSTD),
    rejected         UInt64                   COMMENT 'leads that failed validation' CODEC(ZSTD),
    duplicate        UInt64                   COMMENT 'leads that were there already' CODEC(ZSTD),
    unrouted         UInt64                   COMMENT 'leads that nobody qualified for' CODEC(ZSTD),
    undelivered      UInt64                   COMMENT 'leads that nobody on the slip took' CODEC(ZSTD),
    dead             UInt64                   COMMENT 'records that could not be read or decided about' CODEC(ZSTD),
    under_way        UInt64                   COMMENT 'leads without an end yet' CODEC(ZSTD),
    revenue          Decimal(38, 4)           COMMENT 'what buyers pay for them' CODEC(ZSTD),
    cost             Decimal(38, 4)           COMMENT 'what their source is paid' CODEC(ZSTD)
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (minute, vertical, source)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_offers{on_cluster} (
    hour             DateTime('UTC')          ALIAS toStartOfHour(minute) COMMENT 'of the leads'' arrival',
    version          UInt64                   COMMENT 'of the hour' CODEC(Delta, ZSTD),
    minute           DateTime('UTC')          COMMENT 'of the leads'' arrival' CODEC(Delta, ZSTD),
    vertical         LowCardinality(String)   COMMENT 'what they are leads for',
    source           LowCardinality(String)   COMMENT 'who sent them',
    buyer            LowCardinality(String)   COMMENT 'whom they were offered to',
    campaign         LowCardinality(String)   COMMENT 'the buyer''s order',
    offered          UInt64                   COMMENT 'leads offered to the campaign' CODEC(ZSTD),
    asked            UInt64                   COMMENT 'leads that the buyer was asked about' CODEC(ZSTD),
    accepted         UInt64                   COMMENT 'leads that the buyer accepted' CODEC(ZSTD),
    rejected         UInt64                   COMMENT 'leads that the buyer would not have, or had already' CODEC(ZSTD),
    delivered        UInt64                   COMMENT 'leads sold to the campaign' CODEC(ZSTD),
    revenue          Decimal(38, 4)           COMMENT 'what the buyer pays for them' CODEC(ZSTD)
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (minute, vertical, source, buyer, campaign)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_answers{on_cluster} (
    hour             DateTime('UTC')          COMMENT 'of the leads'' arrival' CODEC(Delta, ZSTD),
    version          UInt64                   COMMENT 'of the hour' CODEC(Delta, ZSTD),
    day              Date                     COMMENT 'of the answer (UTC)' CODEC(Delta, ZSTD),
    vertical         LowCardinality(String)   COMMENT 'what the leads are for',
    buyer            LowCardinality(String)   COMMENT 'who was asked',
    campaign         LowCardinality(String)   COMMENT 'the buyer''s order',
    asked            UInt64                   COMMENT 'attempts in which the buyer was asked' CODEC(ZSTD),
    accepted         UInt64                   COMMENT 'attempts that ended in a sale' CODEC(ZSTD),
    rejected         UInt64                   COMMENT 'attempts that the buyer would not have' CODEC(ZSTD),
    duplicate        UInt64                   COMMENT 'attempts that the buyer had already' CODEC(ZSTD),
    error            UInt64                   COMMENT 'attempts that failed on the way' CODEC(ZSTD),
    unknown          UInt64                   COMMENT 'attempts whose outcome nobody knows' CODEC(ZSTD),
    skipped          UInt64                   COMMENT 'attempts in which the buyer was not asked after all' CODEC(ZSTD),
    latencies        AggregateFunction(quantilesDD(0.01, 0.5, 0.99), Float32) COMMENT 'how long answers took, in milliseconds'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (hour, day, vertical, buyer, campaign)
SETTINGS {window}
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.rollup_times{on_cluster} (
    hour             DateTime('UTC')          COMMENT 'of the leads'' arrival' CODEC(Delta, ZSTD),
    version          UInt64                   COMMENT 'of the hour' CODEC(Delta, ZSTD),
    event_hour       DateTime('UTC')          COMMENT 'of the event' CODEC(Delta, ZSTD),
    vertical         LowCardinality(String)   COMMENT 'what the leads are for',
    stage            LowCardinality(String)   COMMENT 'validation, dedup, routing, or delivery for the way to a sale',
    events           UInt64                   COMMENT 'how many events the times are of' CODEC(ZSTD),
    latencies        AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float32) COMMENT 'milliseconds from the leads'' arrival'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (hour, event_hour, vertical, stage)
SETTINGS {window}
