-- Roles; a user is made with CREATE USER name IDENTIFIED WITH sha256_hash BY '…' DEFAULT ROLE leadline_analyst.
CREATE ROLE IF NOT EXISTS leadline_analyst SETTINGS PROFILE 'leadline_analyst';
-- @stmt
CREATE ROLE IF NOT EXISTS leadline_sink SETTINGS PROFILE 'leadline_sink';
-- @stmt
CREATE ROLE IF NOT EXISTS leadline_admin SETTINGS PROFILE 'leadline_admin';
-- @stmt
-- An example of a tenant's analysts, whose rows are chosen in 0005.
CREATE ROLE IF NOT EXISTS leadline_analyst_auto SETTINGS PROFILE 'leadline_analyst';
