CREATE OR REPLACE VIEW {database}.duplicates{on_cluster} (
    lead_id          UUID                     COMMENT 'the lead that came later',
    duplicate_of     UUID                     COMMENT 'the lead that was there',
    rule             String                   COMMENT 'the rule that they agree by',
    key_set          String                   COMMENT 'the name of the key set that they agree in',
    vertical         String                   COMMENT 'what it is a lead for',
    source           String                   COMMENT 'who sent the later one',
    received_at      DateTime64(3, 'UTC')     COMMENT 'when the later one arrived',
    first_seen_at    DateTime64(3, 'UTC')     COMMENT 'when the first one arrived'
) AS
SELECT
    lead_id,
    toUUIDOrZero(JSONExtractString(attributes, 'duplicate_of')) AS duplicate_of,
    reason AS rule,
    JSONExtractString(attributes, 'key_set') AS key_set,
    vertical, source, received_at,
    parseDateTime64BestEffortOrZero(JSONExtractString(attributes, 'first_seen_at'), 3, 'UTC') AS first_seen_at
FROM {database}.lead_events FINAL
WHERE stage = 'dedup' AND outcome = 'duplicate'
COMMENT 'One row a duplicate, with the lead it repeats.'
