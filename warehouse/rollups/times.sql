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
UNION ALL
-- To a lead's end, one time a lead: its first sale's, for a sale stands, or else its last end's.
SELECT
    hour, finish.2 AS event_hour, finish.3 AS vertical, 'end' AS stage,
    count() AS events,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(finish.1) AS latencies
FROM (
    SELECT
        hour,
        if(max(ended = 'delivered'), minIf(moment, ended = 'delivered'), max(moment)) AS finish
    FROM (
        SELECT
            toStartOfHour(received_at) AS hour, lead_id, {metric:lead_end} AS ended,
            (latency_ms, toStartOfHour(occurred_at), vertical) AS moment
        FROM {database}.lead_events FINAL
        WHERE run = 0 AND stage IN ('validation', 'dedup', 'routing', 'delivery', 'dead') AND ended != ''
            AND toStartOfHour(received_at) IN {hours}
    )
    GROUP BY hour, lead_id
)
GROUP BY hour, event_hour, vertical
