SELECT
    toStartOfHour(received_at) AS hour,
    toDate(occurred_at) AS day,
    vertical, buyer, campaign,
    countIf(outcome != 'skipped') AS asked,
    countIf(outcome = 'accepted') AS accepted,
    countIf(outcome = 'rejected') AS rejected,
    countIf(outcome = 'duplicate') AS duplicate,
    countIf(outcome = 'error') AS error,
    countIf(outcome = 'unknown') AS unknown,
    countIf(outcome = 'skipped') AS skipped,
    quantilesDDStateIf(0.01, 0.5, 0.99)(buyer_latency_ms, outcome != 'skipped') AS latencies
FROM {database}.lead_events FINAL
WHERE stage = 'attempt' AND toStartOfHour(received_at) IN {hours}
GROUP BY hour, day, vertical, buyer, campaign
