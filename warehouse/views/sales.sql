CREATE OR REPLACE VIEW {database}.sales{on_cluster} (
    lead_id          UUID                     COMMENT 'the lead',
    occurred_at      DateTime64(3, 'UTC')     COMMENT 'when it was sold',
    received_at      DateTime64(3, 'UTC')     COMMENT 'when it arrived',
    latency_ms       Float32                  COMMENT 'milliseconds from its arrival to this sale',
    vertical         String                   COMMENT 'what it is a lead for',
    source           String                   COMMENT 'who sent it',
    buyer            String                   COMMENT 'who bought it',
    company          String                   COMMENT 'the buyer''s parent company, or the buyer',
    campaign         String                   COMMENT 'the buyer''s order',
    route            String                   COMMENT 'the route that decided',
    tier             String                   COMMENT 'the group of the route',
    exclusive        Bool                     COMMENT 'sold to this campaign alone',
    outcome          String                   COMMENT 'delivered',
    price            Decimal(12, 4)           COMMENT 'what the buyer pays',
    payout           Decimal(12, 4)           COMMENT 'what the source is paid for this sale',
    is_returned      Bool                     COMMENT 'whether the buyer gave it back',
    returned_price   Decimal(12, 4)           COMMENT 'the price, where it was given back, else 0',
    returned_at      Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was given back'
) AS
SELECT
    lead_id, occurred_at, received_at, latency_ms, vertical, source, buyer, company, campaign, route, tier, exclusive,
    outcome, price, payout,
    isNotNull(returned_at) AS is_returned,
    if(is_returned, price, toDecimal64(0, 4)) AS returned_price,
    returned_at
FROM {rollup:sales}
COMMENT 'One row a sale, with what became of it.'
