CREATE OR REPLACE VIEW {database}.acceptance{on_cluster} (
    day              Date                     COMMENT 'of the answer (UTC)',
    vertical         String                   COMMENT 'what the leads are for',
    buyer            String                   COMMENT 'who was asked',
    campaign         String                   COMMENT 'the buyer''s order',
    asked            UInt64                   COMMENT 'attempts in which the buyer was asked',
    accepted         UInt64                   COMMENT 'attempts that ended in a sale',
    rejected         UInt64                   COMMENT 'attempts that the buyer would not have',
    duplicate        UInt64                   COMMENT 'attempts that the buyer had already',
    error            UInt64                   COMMENT 'attempts that failed on the way',
    unknown          UInt64                   COMMENT 'attempts whose outcome nobody knows',
    skipped          UInt64                   COMMENT 'attempts in which the buyer was not asked after all: a cap, the deadline',
    acceptance_rate  Nullable(Float64)        COMMENT 'metric acceptance_rate',
    answer_p50_ms    Float64                  COMMENT 'half of the answers came within this time of the request',
    answer_p99_ms    Float64                  COMMENT '99 of 100 answers came within this time of the request'
) AS
SELECT
    toDate(occurred_at) AS day, vertical, buyer, campaign,
    countIf(outcome != 'skipped') AS asked,
    countIf(outcome = 'accepted') AS accepted,
    countIf(outcome = 'rejected') AS rejected,
    countIf(outcome = 'duplicate') AS duplicate,
    countIf(outcome = 'error') AS error,
    countIf(outcome = 'unknown') AS unknown,
    countIf(outcome = 'skipped') AS skipped,
    {metric:acceptance_rate} AS acceptance_rate,
    quantileTDigestIf(0.5)(buyer_latency_ms, outcome != 'skipped') AS answer_p50_ms,
    quantileTDigestIf(0.99)(buyer_latency_ms, outcome != 'skipped') AS answer_p99_ms
FROM {database}.lead_events FINAL
WHERE stage = 'attempt'
GROUP BY day, vertical, buyer, campaign
COMMENT 'How buyers answer, by day, vertical and campaign.'
