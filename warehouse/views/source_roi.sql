CREATE OR REPLACE VIEW {database}.source_roi{on_cluster} (
    day              Date                     COMMENT 'of the leads'' arrival (UTC)',
    source           String                   COMMENT 'who sent them',
    vertical         String                   COMMENT 'what they are leads for',
    leads            UInt64                   COMMENT 'leads that arrived',
    sold             UInt64                   COMMENT 'leads that somebody bought',
    revenue          Decimal(38, 4)           COMMENT 'metric revenue',
    returned         Decimal(38, 4)           COMMENT 'metric returned',
    cost             Decimal(38, 4)           COMMENT 'metric cost',
    margin           Decimal(38, 4)           COMMENT 'metric margin',
    revenue_per_lead Nullable(Float64)        COMMENT 'metric revenue_per_lead',
    return_on_cost   Nullable(Float64)        COMMENT 'metric return_on_cost'
) AS
SELECT
    toDate(arrived.minute) AS day, arrived.source AS source, arrived.vertical AS vertical,
    sum(arrived.leads) AS leads,
    sum(arrived.sold) AS sold,
    {metric:revenue of arrived} AS revenue,
    {metric:returned of arrived} AS returned,
    {metric:cost of arrived} AS cost,
    {metric:margin of arrived} AS margin,
    {metric:revenue_per_lead of arrived} AS revenue_per_lead,
    {metric:return_on_cost of arrived} AS return_on_cost
FROM (
    SELECT minute, source, vertical, received AS leads, delivered AS sold, revenue, returned, cost FROM {database}.funnel
) AS arrived
GROUP BY day, source, vertical
COMMENT 'What each source''s leads brought and cost, by the day of their arrival; the view revenue has the same money by the day of the sale.'
