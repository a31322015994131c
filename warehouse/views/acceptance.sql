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
    answer_p50_ms    Float64                  COMMENT 'metric answer_p50',
    answer_p99_ms    Float64                  COMMENT 'metric answer_p99'
) AS
SELECT
    day, vertical, buyer, campaign,
    sum(answers.asked) AS asked,
    sum(answers.accepted) AS accepted,
    sum(answers.rejected) AS rejected,
    sum(answers.duplicate) AS duplicate,
    sum(answers.error) AS error,
    sum(answers.unknown) AS unknown,
    sum(answers.skipped) AS skipped,
    {metric:acceptance_rate of answers} AS acceptance_rate,
    {metric:answer_p50} AS answer_p50_ms,
    {metric:answer_p99} AS answer_p99_ms
FROM {rollup:answers} AS answers
GROUP BY day, vertical, buyer, campaign
COMMENT 'How buyers answer, by day, vertical and campaign.'
