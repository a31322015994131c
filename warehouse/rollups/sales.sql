SELECT
    sold.lead_id AS lead_id, sold.attempt AS attempt, sold.occurred_at AS occurred_at, sold.received_at AS received_at,
    sold.latency_ms AS latency_ms, sold.vertical AS vertical, sold.source AS source, sold.buyer AS buyer,
    sold.company AS company, sold.campaign AS campaign, sold.route AS route, sold.tier AS tier,
    sold.exclusive AS exclusive, sold.outcome AS outcome, sold.price AS price, sold.payout AS payout,
    given_back.returned_at AS returned_at
FROM (
    SELECT *, toStartOfHour(received_at) AS hour FROM {database}.lead_events FINAL
    WHERE stage = 'delivery' AND outcome = 'delivered' AND toStartOfHour(received_at) IN {hours}
) AS sold
LEFT JOIN (
    SELECT toStartOfHour(received_at) AS hour, lead_id, campaign, toNullable(min(occurred_at)) AS returned_at
    FROM {database}.lead_events FINAL
    WHERE stage = 'feedback' AND outcome = 'return' AND toStartOfHour(received_at) IN {hours}
    GROUP BY hour, lead_id, campaign
) AS given_back USING (hour, lead_id, campaign)
