CREATE OR REPLACE VIEW {database}.release_history{on_cluster} (
    number       UInt64                   COMMENT 'the how many-th time that a release was put in force, from 1',
    release      String                   COMMENT 'content hash of the configuration',
    applied_at   DateTime64(3, 'UTC')     COMMENT 'when',
    replaced_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'when the next one was put in force; NULL: it is in force now',
    author       String                   COMMENT 'by whom',
    message      String                   COMMENT 'why, in their words',
    previous     String                   COMMENT 'the release before it; empty for the first'
) AS
SELECT
    toUInt64OrZero(made.entity) AS number,
    made.release AS release,
    made.occurred_at AS applied_at,
    leadInFrame(toNullable(made.occurred_at)) OVER (
        ORDER BY toUInt64OrZero(made.entity) ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS replaced_at,
    JSONExtractString(made.document, 'author') AS author,
    JSONExtractString(made.document, 'message') AS message,
    JSONExtractString(made.document, 'previous') AS previous
FROM (SELECT * FROM {database}.releases FINAL WHERE kind = 'applied') AS made
COMMENT 'Which configuration was in force since when, and who put it there.'
