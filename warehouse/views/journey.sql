CREATE OR REPLACE VIEW {database}.journey{on_cluster} (
    lead_id          UUID                     COMMENT 'the lead',
    run              UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    occurred_at      DateTime64(3, 'UTC')     COMMENT 'when it happened',
    received_at      DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived; the column to ask for a time by',
    after_ms         Float32                  COMMENT 'milliseconds since the raw lead''s arrival',
    stage            String                   COMMENT 'received, validation, dedup, routing, offer, attempt, delivery, feedback or dead',
    outcome          String                   COMMENT 'what came of it',
    reason           String                   COMMENT 'why, as subject.condition; the first one where there are several',
    vertical         String                   COMMENT 'what it is a lead for',
    source           String                   COMMENT 'who sent it',
    buyer            String                   COMMENT 'who was asked, or bought it',
    campaign         String                   COMMENT 'the buyer''s order',
    price            Decimal(12, 4)           COMMENT 'what the buyer pays; 0 where nothing was sold',
    decision         UInt16                   COMMENT 'the how many-th decision about the lead in its run, from 0',
    attempt          UInt16                   COMMENT 'the place in the run: of a decision, or of a leg on its slip',
    release          String                   COMMENT 'content hash of the configuration that decided'
) AS
SELECT
    lead_id, run, occurred_at, received_at, latency_ms AS after_ms, stage, outcome, reason, vertical, source, buyer, campaign,
    price, decision, attempt, release
FROM {database}.lead_events FINAL
COMMENT 'Every step of every lead. Ask for one lead and ORDER BY run, occurred_at.'
