CREATE OR REPLACE VIEW {database}.source_roi{on_cluster} (
    day              Date                     COMMENT 'of the leads'' arrival (UTC)',
    source           String                   COMMENT 'who sent them',
    vertical         String                   COMMENT 'what they are leads for',
    leads            UInt64                   COMMENT 'leads that arrived',
    sold             UInt64                   COMMENT 'leads that somebody bought',
    revenue          Decimal(38, 4)           COMMENT 'what buyers pay for them',
    cost             Decimal(38, 4)           COMMENT 'what the source is paid',
    margin           Decimal(38, 4)           COMMENT 'revenue less cost; returns are in the view revenue',
    revenue_per_lead Float64                  COMMENT 'revenue of a lead that arrived, sold or not',
    return_on_cost   Nullable(Float64)        COMMENT 'margin over cost'
) AS
SELECT
    toDate(minute) AS day, source, vertical,
    sum(funnel.received) AS leads,
    sum(funnel.delivered) AS sold,
    sum(funnel.revenue) AS revenue,
    sum(funnel.cost) AS cost,
    revenue - cost AS margin,
    toFloat64(revenue) / leads AS revenue_per_lead,
    toFloat64(margin) / nullIf(toFloat64(cost), 0) AS return_on_cost
FROM {database}.funnel AS funnel
GROUP BY day, source, vertical
COMMENT 'What each source''s leads brought and cost.'
