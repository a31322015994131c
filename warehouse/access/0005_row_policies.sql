-- Rows by tenant: here the analysts of one vertical, `auto`, who see its rows only.
-- For another tenant write the other three statements again, and name its role in the policy for everybody else too.
CREATE ROLE IF NOT EXISTS leadline_analyst_auto SETTINGS PROFILE 'leadline_analyst';
-- @stmt
CREATE ROW POLICY IF NOT EXISTS leadline_everything ON leadline.lead_events
    FOR SELECT USING 1 TO ALL EXCEPT leadline_analyst_auto;
-- @stmt
GRANT SELECT ON leadline.lead_events TO leadline_analyst_auto;
-- @stmt
CREATE ROW POLICY IF NOT EXISTS leadline_auto ON leadline.lead_events
    FOR SELECT USING vertical = 'auto' TO leadline_analyst_auto;
