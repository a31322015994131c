SELECT
    toStartOfHour(received_at) AS hour,
    toStartOfHour(occurred_at) AS event_hour,
    vertical, stage,
    count() AS events,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(latency_ms) AS latencies
FROM {database}.lead_events FINAL
WHERE run = 0 AND (stage IN ('validation', 'dedup', 'routing') OR (stage = 'delivery' AND outcome = 'delivered'))
    AND toStartOfHour(received_at) IN {hours}
GROUP BY hour, event_hour, vertical, stage
