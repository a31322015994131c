CREATE OR REPLACE VIEW {database}.funnel_buyers{on_cluster} (
    minute           DateTime('UTC')          COMMENT 'of the raw leads'' arrival; group by toStartOfHour(minute) or toDate(minute) and sum, for a lead is in one minute',
    vertical         String                   COMMENT 'what they are leads for',
    source           String                   COMMENT 'who sent them',
    buyer            String                   COMMENT 'whom they were offered to',
    campaign         String                   COMMENT 'the buyer''s order',
    offered          UInt64                   COMMENT 'leads offered to the campaign; one that is offered to two is counted for each',
    asked            UInt64                   COMMENT 'leads that the buyer was asked about for the campaign',
    accepted         UInt64                   COMMENT 'leads that the buyer accepted',
    rejected         UInt64                   COMMENT 'leads that the buyer would not have, or had already',
    delivered        UInt64                   COMMENT 'leads sold to the campaign; a shared lead is counted for each that bought it',
    revenue          Decimal(38, 4)           COMMENT 'metric revenue'
) AS
SELECT
    minute, vertical, source, buyer, campaign, offered, asked, accepted, rejected, delivered, revenue
FROM {rollup:offers}
COMMENT 'The end of the funnel by buyer and campaign: distinct leads of each campaign by how far they came with it. A lead is in several campaigns, so these do not add up over campaigns to the leads of the view funnel.'
