-- Every event of every lead, one row an event, free of personal data.
-- A replayed event (a higher run) replaces the one before it under FINAL; a redelivered one collapses into itself.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.lead_events{on_cluster} (
    event_id       UUID                     COMMENT 'uuid5 of lead, stage, run and attempt',
    lead_id        UUID                     COMMENT 'the producer''s id, else derived from the raw record''s place in the log',
    run            UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    attempt        UInt16                   COMMENT 'the candidate''s place on the routing slip, for offers and attempts',
    stage          LowCardinality(String)   COMMENT 'received, validation, dedup, routing, offer, attempt, delivery, feedback, dead',
    outcome        LowCardinality(String)   COMMENT 'what came of it: validated, rejected, unique, duplicate, routed, …',
    reason         LowCardinality(String)   COMMENT 'why, as subject.condition; the first one where there are several',
    vertical       LowCardinality(String)   COMMENT 'what it is a lead for',
    source         LowCardinality(String)   COMMENT 'who sent it',
    buyer          LowCardinality(String)   COMMENT 'who is first on the slip, was asked, or bought it',
    campaign       LowCardinality(String)   COMMENT 'the buyer''s order',
    company        LowCardinality(String)   COMMENT 'the buyer''s parent company, or the buyer: nobody of one company gets a lead twice',
    route          LowCardinality(String)   COMMENT 'the route that decided',
    tier           LowCardinality(String)   COMMENT 'the group of the route that the campaign is asked in',
    decision       UInt16                   COMMENT 'the how many-th decision about the lead in its run, from 0',
    exclusive      Bool                     COMMENT 'offered or sold to this campaign alone',
    price          Decimal(12, 4)           COMMENT 'what the buyer pays; 0 where nothing was sold',
    payout         Decimal(12, 4)           COMMENT 'what the source is paid for this sale',
    buyer_latency_ms Float32                COMMENT 'milliseconds from the first request to the buyer to its last answer; of attempts',
    latency_ms     Float32                  COMMENT 'milliseconds from the raw lead''s arrival to this event',
    received_at    DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    occurred_at    DateTime64(3, 'UTC')     COMMENT 'when the stage decided' CODEC(Delta, ZSTD),
    ingested_at    DateTime64(3, 'UTC')     DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    release        LowCardinality(String)   COMMENT 'content hash of the configuration that decided',
    schema_version UInt16                   COMMENT 'of the row',
    attributes     String                   COMMENT 'the rest of the event as JSON, free of personal data' CODEC(ZSTD(3)),
    _topic         LowCardinality(String)   COMMENT 'the topic of the event',
    _partition     UInt16                   COMMENT 'its partition',
    _offset        UInt64                   COMMENT 'its offset there' CODEC(Delta, ZSTD),
    INDEX lead_id_bloom lead_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ingested_at_minmax ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(received_at)
ORDER BY (stage, toStartOfHour(received_at), lead_id, attempt)
SETTINGS {window}
