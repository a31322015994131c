-- What each role may do in the database `leadline`. An analyst reads the tables that the embedded warehouse's analysts
-- read (TABLES in warehouse/embedded/analyst.py), one grant each, so that a new table is nobody's until it is named.
GRANT SELECT ON leadline.lead_events TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.replays TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.schema_migrations TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.ingested TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.sink_gaps TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.sunk_topics TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.acceptance TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.completeness TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.duplicates TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.freshness TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.funnel TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.journey TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.leads TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.revenue TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.sales TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.source_roi TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.speed_to_lead TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.unsold_reasons TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.deliveries TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.feedback TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.dead_letters TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.routing_evaluations TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.cap_ledger TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.releases TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.caps TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.evaluations TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.release_campaigns TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.campaign_reasons TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.release_history TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.funnel_buyers TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_horizon TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_hours TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_answers TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_funnel TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_leads TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_offers TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_reasons TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_sales TO leadline_analyst;
-- @stmt
GRANT SELECT ON leadline.rollup_times TO leadline_analyst;
-- @stmt
GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS ON leadline.* TO leadline_analyst;
-- @stmt
GRANT SELECT, INSERT ON leadline.* TO leadline_sink;
-- @stmt
-- A sink that makes a batch again waits until no other is at it.
GRANT SELECT ON system.processes TO leadline_sink;
-- @stmt
GRANT SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SHOW ON leadline.* TO leadline_admin;
-- @stmt
-- `leadline erase` waits for inserts and mutations that run, and proves by parts what it deleted.
GRANT SELECT ON system.processes, SELECT ON system.mutations, SELECT ON system.parts, SELECT ON system.detached_parts
    TO leadline_admin;
-- @stmt
-- On a cluster, it does so on each replica; tables are made there ON CLUSTER.
GRANT SYSTEM SYNC REPLICA ON leadline.* TO leadline_admin;
-- @stmt
GRANT CLUSTER, REMOTE ON *.* TO leadline_admin;
