-- What of a minute's revenue buyers gave back. Without it the margin of sources, which is summed from the funnel, could not
-- be net of returns. Hours that settled without it were made by another query, so they count as open until they settle anew.
-- @stmt
ALTER TABLE {database}.rollup_funnel{on_cluster} ADD COLUMN IF NOT EXISTS
    returned         Decimal(38, 4)           COMMENT 'the price of those that were given back' CODEC(ZSTD)
