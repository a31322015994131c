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
    price            Decimal(38, 4)           COMMENT 'what all of them pay',
    payout           Decimal(38, 4)           COMMENT 'what its source is paid',
    first_sold_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'when the first of them had it',
    speed_to_lead_ms Nullable(Float64)        COMMENT 'milliseconds from its arrival to its first sale',
    updated_at       DateTime64(3, 'UTC')     COMMENT 'its last event'
) AS
SELECT
    events.lead_id AS lead_id,
    anyIf(events.vertical, events.vertical != '') AS vertical,
    anyIf(events.source, events.source != '') AS source,
    min(events.received_at) AS received_at,
    max(events.run) AS run,
    if(sales > 0, 'delivered', argMaxIf(ended, (events.run, events.occurred_at, events.stage), ended != '')) AS status,
    if(sales > 0, '', argMaxIf(events.reason, (events.run, events.occurred_at, events.stage), ended != '')) AS reason,
    argMaxIf(events.route, (events.run, events.attempt), events.stage = 'routing') AS route,
    countIf(events.stage = 'routing') AS decisions,
    countIf(events.stage = 'attempt' AND events.outcome != 'skipped') AS attempts,
    countIf(ended = 'delivered') AS sales,
    groupUniqArrayIf(events.buyer, ended = 'delivered') AS buyers,
    sumIf(events.price, ended = 'delivered') AS price,
    sumIf(events.payout, ended = 'delivered') AS payout,
    minOrNullIf(events.occurred_at, ended = 'delivered') AS first_sold_at,
    minOrNullIf(events.latency_ms, ended = 'delivered') AS speed_to_lead_ms,
    max(events.occurred_at) AS updated_at
FROM (
    SELECT *, {metric:lead_end} AS ended
    FROM {database}.lead_events FINAL
) AS events
GROUP BY events.lead_id
COMMENT 'One row a lead: where it stands, who bought it and for how much.'
