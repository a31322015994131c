CREATE OR REPLACE VIEW {database}.funnel{on_cluster} (
    minute           DateTime('UTC')          COMMENT 'of the raw leads'' arrival; group by toStartOfHour(minute) or toDate(minute) and sum, for a lead is in one minute',
    vertical         String                   COMMENT 'what they are leads for',
    source           String                   COMMENT 'who sent them',
    received         UInt64                   COMMENT 'leads that arrived',
    validated        UInt64                   COMMENT 'leads that passed every rule',
    unique_leads     UInt64                   COMMENT 'leads that were no duplicates',
    routed           UInt64                   COMMENT 'leads that somebody qualified for',
    delivered        UInt64                   COMMENT 'leads that somebody bought',
    rejected         UInt64                   COMMENT 'leads that failed validation',
    duplicate        UInt64                   COMMENT 'leads that were there already',
    unrouted         UInt64                   COMMENT 'leads that nobody qualified for',
    undelivered      UInt64                   COMMENT 'leads that nobody on the slip took',
    dead             UInt64                   COMMENT 'records that could not be read or decided about',
    under_way        UInt64                   COMMENT 'leads without an end yet'
) AS
SELECT
    toStartOfMinute(leads.received_at) AS minute,
    leads.vertical AS vertical,
    leads.source AS source,
    count() AS received,
    countIf(leads.validated) AS validated,
    countIf(leads.unique_lead) AS unique_leads,
    countIf(leads.routed) AS routed,
    countIf(leads.status = 'delivered') AS delivered,
    countIf(leads.status = 'rejected') AS rejected,
    countIf(leads.status = 'duplicate') AS duplicate,
    countIf(leads.status = 'unrouted') AS unrouted,
    countIf(leads.status = 'undelivered') AS undelivered,
    countIf(leads.status = 'dead') AS dead,
    countIf(leads.status = '') AS under_way
FROM (
    SELECT
        events.lead_id AS lead_id,
        min(events.received_at) AS received_at,
        anyIf(events.vertical, events.vertical != '') AS vertical,
        anyIf(events.source, events.source != '') AS source,
        max(events.outcome = 'validated') AS validated,
        max(events.outcome = 'unique') AS unique_lead,
        max(events.outcome = 'routed') AS routed,
        if(
            max(ended = 'delivered'), 'delivered',
            argMaxIf(ended, (events.run, events.occurred_at, events.stage), ended != '')
        ) AS status
    FROM (
        SELECT *, {metric:lead_end} AS ended
        FROM {database}.lead_events FINAL
    ) AS events
    GROUP BY events.lead_id
) AS leads
GROUP BY minute, vertical, source
COMMENT 'Distinct leads by where they came and where they ended, by minute, vertical and source. received is the sum of the ends and those under way.'
