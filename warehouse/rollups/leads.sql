SELECT
    events.lead_id AS lead_id,
    argMaxIf(events.vertical, moment, events.vertical != '') AS vertical,
    argMaxIf(events.source, moment, events.source != '') AS source,
    min(events.received_at) AS received_at,
    max(events.run) AS run,
    toBool(max(events.outcome = 'validated')) AS validated,
    toBool(max(events.outcome = 'unique')) AS unique_lead,
    toBool(max(events.outcome = 'routed')) AS routed,
    if(sales > 0, 'delivered', argMaxIf(ended, moment, ended != '')) AS status,
    if(sales > 0, '', argMaxIf(events.reason, moment, ended != '')) AS reason,
    argMaxIf(events.route, toUInt64(events.run) * 65536 + events.attempt, events.stage = 'routing') AS route,
    countIf(events.stage = 'routing') AS decisions,
    countIf(events.stage = 'attempt' AND events.outcome != 'skipped') AS attempts,
    {metric:sales} AS sales,
    arraySort(groupUniqArrayIf(events.buyer, ended = 'delivered')) AS buyers,
    {metric:revenue} AS price,
    {metric:cost} AS payout,
    minOrNullIf(events.occurred_at, ended = 'delivered') AS first_sold_at,
    minOrNullIf(toFloat64(events.latency_ms), ended = 'delivered') AS speed_to_lead_ms,
    max(events.occurred_at) AS updated_at
FROM (
    SELECT
        -- What a buyer says later is its own word: it must not pass for an outcome of a stage, least of all for a sale.
        * REPLACE (if(stage = 'feedback', '', outcome) AS outcome),
        {metric:lead_end} AS ended,
        -- The order of a lead's events, (run, occurred_at, stage, attempt), as one number: tuples compare far slower.
        indexOf(['attempt', 'dead', 'dedup', 'delivery', 'feedback', 'offer', 'received', 'routing', 'validation'], stage)
            * 65536 + attempt AS place,
        bitShiftLeft(toUInt128(run), 96)
            + bitShiftLeft(toUInt128(toUnixTimestamp64Milli(occurred_at)), 32) + place AS moment
    FROM {database}.lead_events FINAL
    WHERE toStartOfHour(received_at) IN {hours}
) AS events
GROUP BY events.lead_id, toStartOfHour(events.received_at)
