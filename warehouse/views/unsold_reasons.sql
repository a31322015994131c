CREATE OR REPLACE VIEW {database}.unsold_reasons{on_cluster} (
    day              Date                     COMMENT 'of the leads'' arrival (UTC)',
    vertical         String                   COMMENT 'what the leads are for',
    source           String                   COMMENT 'who sent them',
    status           String                   COMMENT 'unrouted or undelivered',
    reason           String                   COMMENT 'why, as subject.condition',
    leads            UInt64                   COMMENT 'how many'
) AS
SELECT toDate(received_at) AS day, vertical, source, status, reason, count() AS leads
FROM {database}.leads
WHERE status IN ('unrouted', 'undelivered')
GROUP BY day, vertical, source, status, reason
COMMENT 'Leads that nobody bought, by why.'
