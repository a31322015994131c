CREATE OR REPLACE VIEW {database}.revenue{on_cluster} (
    day              Date                     COMMENT 'of the sale (UTC)',
    vertical         String                   COMMENT 'what the leads are for',
    source           String                   COMMENT 'who sent them',
    buyer            String                   COMMENT 'who bought them',
    campaign         String                   COMMENT 'the buyer''s order',
    sales            UInt64                   COMMENT 'metric sales',
    revenue          Decimal(38, 4)           COMMENT 'metric revenue',
    returns          UInt64                   COMMENT 'metric returns',
    returned         Decimal(38, 4)           COMMENT 'metric returned',
    cost             Decimal(38, 4)           COMMENT 'metric cost',
    margin           Decimal(38, 4)           COMMENT 'metric margin'
) AS
SELECT
    toDate(occurred_at) AS day, vertical, source, buyer, campaign,
    {metric:sales} AS sales,
    {metric:revenue} AS revenue,
    {metric:returns} AS returns,
    {metric:returned} AS returned,
    {metric:cost} AS cost,
    {metric:margin} AS margin
FROM {database}.sales
GROUP BY day, vertical, source, buyer, campaign
COMMENT 'Money by day, vertical, source, buyer and campaign, from final rows.'
