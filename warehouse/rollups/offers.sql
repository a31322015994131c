SELECT
    toStartOfMinute(legs.received_at) AS minute,
    legs.vertical AS vertical,
    legs.source AS source,
    legs.buyer AS buyer,
    legs.campaign AS campaign,
    sum(legs.offered) AS offered,
    sum(legs.asked) AS asked,
    sum(legs.accepted) AS accepted,
    sum(legs.rejected) AS rejected,
    sum(legs.delivered) AS delivered,
    {metric:revenue of legs} AS revenue
FROM (
    SELECT
        min(events.received_at) AS received_at,
        events.vertical AS vertical,
        events.source AS source,
        events.buyer AS buyer,
        events.campaign AS campaign,
        max(events.stage = 'offer') AS offered,
        max(events.stage = 'attempt' AND events.outcome != 'skipped') AS asked,
        max(events.stage = 'attempt' AND events.outcome = 'accepted') AS accepted,
        max(events.stage = 'attempt' AND events.outcome IN ('rejected', 'duplicate')) AS rejected,
        max(events.stage = 'delivery') AS delivered,
        {metric:revenue} AS revenue
    FROM (
        SELECT * FROM {database}.lead_events FINAL
        WHERE (stage IN ('offer', 'attempt') OR (stage = 'delivery' AND outcome = 'delivered'))
            AND toStartOfHour(received_at) IN {hours}
    ) AS events
    GROUP BY
        events.lead_id, toStartOfHour(events.received_at), events.vertical, events.source, events.buyer, events.campaign
) AS legs
GROUP BY minute, vertical, source, buyer, campaign
