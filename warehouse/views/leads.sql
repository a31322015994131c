CREATE OR REPLACE VIEW {database}.leads{on_cluster} (
    lead_id          UUID                     COMMENT 'the lead',
    vertical         String                   COMMENT 'what it is a lead for',
    source           String                   COMMENT 'who sent it',
    received_at      DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived',
    run              UInt32                   COMMENT 'the last run it was in: 0 for live traffic, else a replay',
    status           String                   COMMENT 'rejected, duplicate, unrouted, delivered, undelivered or dead; empty while it is under way',
    reason           String                   COMMENT 'why it ended so, as subject.condition; empty for one that was delivered',
    route            String                   COMMENT 'the route of its last decision',
    decisions        UInt64                   COMMENT 'how often it was decided about',
    attempts         UInt64                   COMMENT 'how many campaigns were asked',
    sales            UInt64                   COMMENT 'how many bought it',
    buyers           Array(String)            COMMENT 'who bought it',
    price            Decimal(38, 4)           COMMENT 'what all of them pay: the metric revenue, of this lead',
    payout           Decimal(38, 4)           COMMENT 'what its source is paid: the metric cost, of this lead',
    first_sold_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'when the first of them had it',
    speed_to_lead_ms Nullable(Float64)        COMMENT 'milliseconds from its arrival to its first sale',
    updated_at       DateTime64(3, 'UTC')     COMMENT 'its last event'
) AS
SELECT
    lead_id, vertical, source, received_at, run, status, reason, route, decisions, attempts, sales, buyers, price, payout,
    first_sold_at, speed_to_lead_ms, updated_at
FROM {rollup:leads}
COMMENT 'One row a lead: where it stands, who bought it and for how much. One that its producer sent again in another hour has a row of each hour.'
