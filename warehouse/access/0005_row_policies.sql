-- Rows by tenant: here the analysts of one vertical, `auto`, who see its rows only, of every table that says whose a row
-- is (of routing_evaluations: whose campaigns were tried). They have those tables and the views that read nothing else;
-- rollup_hours, which those ask, has hours only.
-- For another tenant make its role as in 0002, name it in the quota and in the policy for everybody else (ALTER … TO ALL
-- EXCEPT both), and write the last two statements again.
CREATE ROW POLICY IF NOT EXISTS leadline_everything ON
    leadline.lead_events, leadline.deliveries, leadline.feedback, leadline.routing_evaluations, leadline.rollup_answers,
    leadline.rollup_funnel, leadline.rollup_leads, leadline.rollup_offers, leadline.rollup_reasons,
    leadline.rollup_sales, leadline.rollup_times
    FOR SELECT USING 1 TO ALL EXCEPT leadline_analyst_auto;
-- @stmt
CREATE ROW POLICY IF NOT EXISTS leadline_auto ON
    leadline.lead_events, leadline.deliveries, leadline.feedback, leadline.routing_evaluations, leadline.rollup_answers,
    leadline.rollup_funnel, leadline.rollup_leads, leadline.rollup_offers, leadline.rollup_reasons,
    leadline.rollup_sales, leadline.rollup_times
    FOR SELECT USING vertical = 'auto' TO leadline_analyst_auto;
-- @stmt
-- After the policies, so that there is no moment without them.
GRANT
    SELECT ON leadline.lead_events, SELECT ON leadline.deliveries, SELECT ON leadline.feedback,
    SELECT ON leadline.routing_evaluations, SELECT ON leadline.rollup_answers, SELECT ON leadline.rollup_funnel,
    SELECT ON leadline.rollup_leads, SELECT ON leadline.rollup_offers, SELECT ON leadline.rollup_reasons,
    SELECT ON leadline.rollup_sales, SELECT ON leadline.rollup_times, SELECT ON leadline.rollup_hours,
    SELECT ON leadline.rollup_horizon,
    SELECT ON leadline.acceptance, SELECT ON leadline.duplicates, SELECT ON leadline.freshness,
    SELECT ON leadline.funnel, SELECT ON leadline.funnel_buyers, SELECT ON leadline.journey, SELECT ON leadline.leads,
    SELECT ON leadline.revenue, SELECT ON leadline.sales, SELECT ON leadline.source_roi,
    SELECT ON leadline.speed_to_lead, SELECT ON leadline.unsold_reasons
    TO leadline_analyst_auto;
