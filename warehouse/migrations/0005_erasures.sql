-- Who is erased. A tombstone is written before anything is deleted: the sink passes over what it names, so that no batch
-- made again and no replay brings a row back. Nothing here says who it was: a pseudonym needs the key and the phone.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.erased{on_cluster} (
    lead_id     UUID                    COMMENT 'a lead of a person who was erased',
    erased_at   DateTime64(3, 'UTC')    COMMENT 'when that was asked for',
    certificate UUID                    COMMENT 'the erasure'
)
ENGINE = {engine:ReplacingMergeTree(erased_at)}
ORDER BY lead_id
SETTINGS {window}
-- Leads of the person that came until then are erased, also those that no table knew of. Later ones are a new matter.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.erased_persons{on_cluster} (
    person      String                  COMMENT 'pseudonym of a phone or an email',
    until       DateTime64(3, 'UTC')    COMMENT 'leads that were received until then are erased',
    certificate UUID                    COMMENT 'the erasure'
)
ENGINE = {engine:ReplacingMergeTree(until)}
ORDER BY person
SETTINGS {window}
-- The certificates. One that is started and not finished is gone on with when the same person is asked for again.
-- @stmt
CREATE TABLE IF NOT EXISTS {database}.erasures{on_cluster} (
    id              UUID                    COMMENT 'its number',
    state           LowCardinality(String)  COMMENT 'started or finished',
    asked_at        DateTime64(3, 'UTC')    COMMENT 'when it was asked for',
    finished_at     DateTime64(3, 'UTC')    COMMENT 'when it was verified; 1970 before that',
    asked_by        String                  COMMENT 'the operator, as the system or --by names them',
    found_by        LowCardinality(String)  COMMENT 'what was known of the person: lead, phone or email',
    leads           UInt32                  COMMENT 'leads of the person',
    rows            UInt64                  COMMENT 'rows of contacts that were deleted',
    parts           UInt32                  COMMENT 'files of contacts that were checked or removed, as parts',
    topics_until    DateTime64(3, 'UTC')    COMMENT 'when the last topic has dropped what it holds',
    certificate     String                  COMMENT 'the certificate as JSON, free of personal data',
    changed_at      DateTime64(3, 'UTC')    DEFAULT now64(3) COMMENT 'when that was so'
)
ENGINE = {engine:ReplacingMergeTree(changed_at)}
ORDER BY id
SETTINGS {window}
