-- Who the leads are: the only table with personal data, one row a validated lead. Analysts never read it.
-- A row goes 180 days after its lead came, or when `leadline erase` is asked to. What a merge or a mutation leaves
-- behind is deleted at once, which is safe because the new part is on the disk by then.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.contacts{on_cluster} (
    lead_id         UUID                    COMMENT 'the lead',
    run             UInt32                  COMMENT '0 for live traffic, else the replay''s number',
    person          String                  COMMENT 'pseudonym of the phone, else of the email: the key of the person''s topics',
    received_at     DateTime64(3, 'UTC')    COMMENT 'when the raw lead arrived' CODEC(Delta, ZSTD),
    first_name      String                  COMMENT 'first name',
    last_name       String                  COMMENT 'last name',
    phone           String                  COMMENT 'phone in E.164; empty where there is none',
    email           String                  COMMENT 'email in lower case; empty where there is none',
    zip             String                  COMMENT 'five digits',
    state           String                  COMMENT 'two letters',
    fields          Map(String, String)     COMMENT 'the vertical''s other fields, in their canonical text' CODEC(ZSTD(3)),
    consent_text_hash   String              COMMENT 'SHA-256 of the consent''s text, in hex; empty where there is none',
    consent_url         String              COMMENT 'the page on which it was given',
    consent_ip          String              COMMENT 'from where',
    consent_at          Nullable(DateTime64(3, 'UTC')) COMMENT 'when; NULL where nobody said',
    consent_sellers     Array(String)       COMMENT 'those whom it names',
    trustedform_cert_url String             COMMENT 'certificate of TrustedForm',
    jornaya_lead_id     String              COMMENT 'id of Jornaya',
    test            Bool                    COMMENT 'a lead that is never sold',
    ingested_at     DateTime64(3, 'UTC')    DEFAULT now64(3) COMMENT 'when the row came' CODEC(Delta, ZSTD),
    _topic          LowCardinality(String)  COMMENT 'the topic of the event',
    _partition      UInt16                  COMMENT 'its partition',
    _offset         UInt64                  COMMENT 'its offset there' CODEC(Delta, ZSTD),
    INDEX person_bloom person TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX phone_bloom phone TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX email_bloom email TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:ReplacingMergeTree(run)}
PARTITION BY toYYYYMM(received_at)
ORDER BY lead_id
TTL toDateTime(received_at) + INTERVAL 180 DAY
SETTINGS {window}, old_parts_lifetime = 1, min_rows_to_fsync_after_merge = 1, fsync_part_directory = 1
