-- Events of leads {first} to {first} + {leads} - 1 of {all} that arrive evenly over {days} days up to the hour of {end},
-- in run {run}, of what was in the warehouse by {end}: about eight a lead, decided by its number, in a lead's real proportions.
INSERT INTO {database}.lead_events (event_id, lead_id, run, attempt, stage, outcome, reason, vertical, source, buyer, campaign,
    company, route, tier, decision, exclusive, price, payout, buyer_latency_ms, latency_ms, received_at, occurred_at,
    ingested_at, release, schema_version, attributes, _topic, _partition, _offset)
WITH
    toDateTime64(toDateTime({end}, 'UTC') - INTERVAL {days} DAY, 3, 'UTC') AS began,
    fromUnixTimestamp64Milli(toUnixTimestamp64Milli(occurred_at) + 250 + toInt64(h2 % 200)) AS came_at,
    ['solar', 'auto', 'mortgage'] AS verticals,
    ['rejected', 'duplicate', 'unrouted', 'delivered', 'undelivered', 'under way'] AS ends
SELECT
    reinterpretAsUUID(sipHash128(number, step.1, step.4, again)) AS event_id,
    lead AS lead_id, again AS run, step.4 AS attempt, step.1 AS stage, step.2 AS outcome, step.3 AS reason,
    if(stage = 'dead', '', vertical_) AS vertical, if(stage = 'dead', '', source_) AS source,
    if(campaign = '', '', concat('buyer-', toString(intDiv(toUInt16OrZero(substring(campaign, 10)), 2)))) AS buyer,
    if(stage IN ('routing', 'offer', 'attempt', 'delivery', 'feedback') AND outcome NOT IN ('unrouted', 'undelivered'),
        concat('campaign-', toString(campaigns[step.4 + 1])), '') AS campaign,
    if(buyer = '', '', concat('company-', substring(buyer, 7))) AS company,
    if(stage IN ('routing', 'offer', 'attempt', 'delivery'), concat(vertical_, '-route'), '') AS route,
    if(campaign = '' OR stage = 'feedback', '', if(step.4 = 0, 'first', 'open')) AS tier,
    0 AS decision, h % 4 = 0 AND campaign != '' AS exclusive,
    if(outcome IN ('delivered', 'return'), toDecimal64(8 + (h2 % 400) / 10, 4), 0) AS price,
    if(outcome = 'delivered', toDecimal64(4 + (h2 % 200) / 10, 4), 0) AS payout,
    if(stage = 'attempt', 20 + exp((sipHash64(number, step.4) % 1000) / 150), 0) AS buyer_latency_ms,
    step.5 + sipHash64(number, step.1) % 40 AS latency_ms,
    fromUnixTimestamp64Milli(toUnixTimestamp64Milli(began) + toInt64(number * 86400000 * {days} / {all})) AS received_at,
    fromUnixTimestamp64Milli(toUnixTimestamp64Milli(received_at) + toInt64(latency_ms) + again * 86400000) AS occurred_at,
    if({fresh}, now64(3), came_at) AS ingested_at,
    substring(hex(cityHash64(intDiv(number, 100000))), 1, 16) AS release, 1 AS schema_version,
    multiIf(
        stage = 'validation' AND outcome = 'validated', '{"warnings": [], "test": false}',
        stage = 'validation', concat('{"reasons": [{"reason": "', reason, '", "field": "phone", "detail": "length"}]}'),
        outcome = 'duplicate' AND stage = 'dedup', concat('{"duplicate_of": "', toString(lead), '", "first_seen_at": "',
            formatDateTime(received_at - INTERVAL h2 % 30 DAY, '%Y-%m-%dT%H:%i:%S.000000+00:00'), '", "key_set": ""}'),
        stage = 'routing', concat('{"slip": {"route": "', vertical_, '-route", "candidates": [', arrayStringConcat(arrayMap((n, i) -> concat(
            '{"campaign": "campaign-', toString(n), '", "buyer": "buyer-', toString(intDiv(n, 2)),
            '", "company": "company-', toString(intDiv(n, 2)), '", "price": "', toString(8 + (h2 % 400) / 10),
            '00", "exclusive": false, "tier": ', toString(least(i, 1)), '}'), campaigns, range(toUInt8(asked))), ', '),
            '], "tiers": [{"name": "first", "max_sales": null, "stop": false, "unsold": false}], "max_sales": 2, "deadline": null, "paid": false}, "trace": {"failed": [',
            arrayStringConcat(arrayMap(f -> concat('{"vertical": "', vertical_, '", "reason": "', f.1, '", "campaigns": "',
                lower(leftPad(hex(f.2 * 16), 6, '0')), '"}'), failed), ', '),
            '], "facts": {"standings": [], "sales": [], "refusals": [], "shares": [], "full": {}, "bids": [], "resumed_at": null}}}'),
        stage = 'offer', concat('{"cursor": ', toString(step.4), '}'),
        stage = 'attempt', concat('{"reference": "R-', hex(h2 + step.4), '", "http_status": 200, "posts": 1, "over": false}'),
        outcome = 'delivered', concat('{"reference": "R-', hex(h2), '", "declines": []}'),
        outcome = 'undelivered', concat('{"declines": [{"cursor": 0, "campaign": "campaign-', toString(campaigns[1]), '", "buyer": "buyer-', toString(intDiv(campaigns[1], 2)), '", "reason": "buyer.rejected"}]}'),
        '{}') AS attributes,
    step.6 AS _topic, h % 8 AS _partition, number AS _offset
FROM (
    SELECT number,
        reinterpretAsUUID(concat(reinterpretAsString(sipHash64(number, 1)), reinterpretAsString(sipHash64(number, 2)))) AS lead,
        sipHash64(number, 3) % 1000000 AS h, sipHash64(number, 4) AS h2,
        verticals[h % 3 + 1] AS vertical_, concat('source-', toString(intDiv(h, 3) % 10)) AS source_,
        multiIf(h < 120000, 1, h < 190000, 2, h < 270000, 3, h < 800000, 4, h < 999800, 5, 6) AS end,
        if(end < 4, 0, 1 + h2 % if(end = 4, 4, 5)) AS asked,
        -- Every third campaign is the vertical's; a lead is offered to some of them.
        arrayMap(i -> h % 3 + 3 * ((h2 + i * 7) % 20), range(toUInt8(asked))) AS campaigns,
        -- The others fail, a bit each: of those that are left, each reason is the first of half.
        bitXor(1048575, toUInt32(arraySum(arrayMap(n -> bitShiftLeft(toUInt32(1), 19 - intDiv(n, 3)), campaigns)))) AS all_failed,
        sipHash64(number, 5) AS h3,
        bitAnd(all_failed, toUInt32(h3)) AS by_state, bitXor(all_failed, by_state) AS in_state,
        bitAnd(in_state, toUInt32(bitShiftRight(h3, 20))) AS by_zip, bitXor(in_state, by_zip) AS in_zip,
        bitAnd(in_zip, toUInt32(bitShiftRight(h3, 32))) AS by_hours, bitXor(in_zip, by_hours) AS open,
        bitAnd(open, toUInt32(bitShiftRight(h3, 10))) AS by_cap, bitXor(open, by_cap) AS by_filter,
        arrayFilter(f -> f.2 != 0, [('filter.state', by_state), ('filter.zip', by_zip), ('schedule.closed', by_hours),
            ('cap.day', by_cap), ('filter.expression', by_filter)]) AS failed,
        {run} AS again
    FROM numbers({first}, {leads})
)
ARRAY JOIN arrayConcat(
    [('received', 'received', '', 0, 0, 'leads')],
    if(end = 1, [('validation', 'rejected', ['phone.invalid', 'email.invalid', 'zip.missing'][h2 % 3 + 1], 0, 5, 'leads.rejected')],
        [('validation', 'validated', '', 0, 5, 'leads.validated')]),
    if(end = 2, [('dedup', 'duplicate', 'duplicate.person', 0, 12, 'leads.duplicate')], if(end > 2, [('dedup', 'unique', '', 0, 12, 'leads.unique')], [])),
    if(end = 3, [('routing', 'unrouted', ['route.no_campaign', 'route.cap'][h2 % 2 + 1], 0, 25, 'leads.unrouted')],
        if(end > 3, [('routing', 'routed', '', 0, 25, 'leads.routed')], [])),
    arrayMap(i -> ('offer', 'offered', '', toUInt16(i), 60 + 150 * i, 'offers'), range(toUInt8(asked))),
    if(end = 6, [], arrayMap(i -> ('attempt', if(end = 4 AND i = asked - 1, 'accepted', ['rejected', 'duplicate', 'error', 'skipped', 'unknown'][if(h2 % 10 < 7, 1, 2 + h2 % 4)]), if(end = 4 AND i = asked - 1, '', 'buyer.rejected'), toUInt16(i), 140 + 150 * i, 'deliveries'), range(toUInt8(asked)))),
    if(end = 4, [('delivery', 'delivered', '', 0, 150 + 150 * asked, 'leads.delivered')], if(end = 5, [('delivery', 'undelivered', 'delivery.all_declined', 0, 160 + 150 * asked, 'leads.undelivered')], [])),
    if(end = 4 AND h2 % 25 = 0, [('feedback', 'return', 'lead.unreachable', 0, 86400000 + 60000 * (h2 % 9000), 'feedback')], [])
) AS step
WHERE came_at < toDateTime({end}, 'UTC')
