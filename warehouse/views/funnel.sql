CREATE OR REPLACE VIEW {database}.funnel{on_cluster} (
    minute           DateTime('UTC')          COMMENT 'of the raw leads'' arrival; group by toStartOfHour(minute) or toDate(minute) and sum, for a lead is in one minute',
    vertical         String                   COMMENT 'what they are leads for',
    source           String                   COMMENT 'who sent them',
    received         UInt64                   COMMENT 'leads that arrived',
    validated        UInt64                   COMMENT 'leads that passed every rule',
    unique_leads     UInt64                   COMMENT 'leads that were no duplicates',
    routed           UInt64                   COMMENT 'leads that somebody qualified for',
    delivered        UInt64                   COMMENT 'leads that somebody bought',
    rejected         UInt64                   COMMENT 'leads that failed validation',
    duplicate        UInt64                   COMMENT 'leads that were there already',
    unrouted         UInt64                   COMMENT 'leads that nobody qualified for',
    undelivered      UInt64                   COMMENT 'leads that nobody on the slip took',
    dead             UInt64                   COMMENT 'records that could not be read or decided about',
    under_way        UInt64                   COMMENT 'leads without an end yet',
    revenue          Decimal(38, 4)           COMMENT 'metric revenue',
    cost             Decimal(38, 4)           COMMENT 'metric cost',
    returned         Decimal(38, 4)           COMMENT 'metric returned'
) AS
SELECT
    minute, vertical, source, received, validated, unique_leads, routed,
    delivered, rejected, duplicate, unrouted, undelivered, dead, under_way, revenue, cost,
    returned
FROM {rollup:funnel}
COMMENT 'Distinct leads by where they came and where they ended, by minute, vertical and source. received is the sum of the ends and those under way.'
