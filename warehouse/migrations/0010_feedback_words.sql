-- What buyers and others write on `feedback` is kept as far as it is names and codes: their own words may be a person's.
-- @stmt
ALTER TABLE {database}.feedback{on_cluster}
    COMMENT COLUMN IF EXISTS kind 'return, disposition or conversion, by the buyer; erasure, by leadline erase; empty where it is no name',
    COMMENT COLUMN IF EXISTS reason 'why, as a code of the buyer''s; reason.free_text where it wrote words of its own, which are on the topic only'
