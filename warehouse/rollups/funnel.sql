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
    countIf(leads.status = '') AS under_way,
    sum(leads.price) AS revenue,
    sum(leads.payout) AS cost
FROM ({query:leads}) AS leads
GROUP BY minute, vertical, source
