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
    {metric:revenue of money} AS revenue,
    {metric:cost of money} AS cost,
    {metric:returned of money} AS returned
FROM ({query:leads}) AS leads
LEFT JOIN (
    SELECT
        lead_id, toStartOfHour(received_at) AS hour,
        {metric:revenue} AS revenue, {metric:cost} AS cost, {metric:returned} AS returned
    FROM ({query:sales})
    GROUP BY lead_id, hour
) AS money ON money.lead_id = leads.lead_id AND money.hour = toStartOfHour(leads.received_at)
GROUP BY minute, vertical, source
