-- The other tables' rows of the events that lead_events has, in their real proportions; three verticals of 20 campaigns,
-- and a new release for every 100,000 leads, which changes six campaigns.
-- @stmt
INSERT INTO {database}.routing_evaluations (lead_id, run, decision, vertical, route, reason, campaigns, named, received_at,
    occurred_at, ingested_at, release, _topic, _partition, _offset)
WITH
    JSONExtract(attributes, 'trace', 'failed', 'Array(Tuple(vertical String, reason String, campaigns String))') AS failed,
    arrayMap(leg -> leg.1, JSONExtract(attributes, 'slip', 'candidates', 'Array(Tuple(campaign String))')) AS slip
SELECT
    lead_id, run, decision, found.1 AS vertical, route, found.2 AS reason, unhex(found.3) AS campaigns, found.4 AS named,
    received_at, occurred_at, ingested_at, release, _topic, _partition, _offset
FROM {database}.lead_events AS events
ARRAY JOIN arrayConcat(
    arrayMap(f -> (f.1, f.2, f.3, CAST([], 'Array(String)')), failed),
    if(empty(slip), [], [(events.vertical, 'chosen', '', slip)])
) AS found
WHERE stage = 'routing'
-- @stmt
INSERT INTO {database}.deliveries (event_id, lead_id, run, decision, attempt, vertical, source, campaign, buyer, company, route,
    tier, exclusive, outcome, reason, price, reference, http_status, posts, latency_ms, is_last, endpoint, idempotency_key,
    request_bytes, response_type, response_bytes, received_at, occurred_at, ingested_at, release, _topic, _partition, _offset)
WITH outcome != 'skipped' AS sent
SELECT
    event_id, lead_id, run, decision, attempt, vertical, source, campaign, buyer, company, route, tier, exclusive, outcome, reason,
    if(outcome = 'accepted', toDecimal64(8 + sipHash64(lead_id) % 400 / 10, 4), 0) AS price,
    if(outcome = 'accepted', JSONExtractString(attributes, 'reference'), '') AS reference,
    if(sent, 200, 0) AS http_status, sent AS posts, buyer_latency_ms AS latency_ms, outcome = 'accepted' AS is_last,
    if(sent, concat('https://leads.', buyer, '.example'), '') AS endpoint,
    if(sent, reinterpretAsUUID(sipHash128(lead_id, attempt)), toUUID('00000000-0000-0000-0000-000000000000')) AS idempotency_key,
    if(sent, 500 + sipHash64(lead_id) % 200, 0) AS request_bytes,
    if(sent, 'application/json', '') AS response_type, if(sent, 40 + sipHash64(event_id) % 60, 0) AS response_bytes,
    received_at, occurred_at, ingested_at, release, _topic, _partition, _offset
FROM {database}.lead_events
WHERE stage = 'attempt'
-- @stmt
INSERT INTO {database}.feedback (event_id, lead_id, run, attempt, vertical, source, campaign, buyer, kind, reason, amount, received_at,
    occurred_at, ingested_at, release, _topic, _partition, _offset)
SELECT
    event_id, lead_id, run, attempt, vertical, source, campaign, buyer, outcome AS kind, reason, price AS amount, received_at,
    occurred_at, ingested_at, release, _topic, _partition, _offset
FROM {database}.lead_events
WHERE stage = 'feedback'
-- A contact with a consent and a certificate, as most have.
-- @stmt
INSERT INTO {database}.contacts (lead_id, run, person, received_at, first_name, last_name, phone, email, zip, state, fields,
    consent_text_hash, consent_url, consent_ip, consent_at, consent_sellers, trustedform_cert_url, ingested_at, _topic, _partition,
    _offset)
WITH
    sipHash64(lead_id) AS h, toString(h % 100000) AS digits,
    ['James', 'Mary', 'Robert', 'Patricia', 'John', 'Jennifer', 'Michael', 'Linda', 'David', 'Elizabeth'] AS firsts,
    ['Smith', 'Johnson', 'Williams', 'Brown', 'Jones', 'Garcia', 'Miller', 'Davis', 'Rodriguez', 'Martinez'] AS lasts,
    ['CA', 'TX', 'FL', 'NY', 'PA', 'IL', 'OH', 'GA', 'NC', 'MI'] AS states
SELECT
    lead_id, run, lower(hex(sipHash128(lead_id))) AS person, received_at,
    firsts[h % 10 + 1] AS first_name, concat(lasts[intDiv(h, 10) % 10 + 1], substring(digits, 1, 2)) AS last_name,
    concat('+1', toString(2000000000 + h % 7999999999)) AS phone,
    lower(concat(first_name, '.', last_name, digits, '@example.com')) AS email,
    leftPad(digits, 5, '0') AS zip, states[h % 10 + 1] AS state,
    map('home_owner', if(h % 3 = 0, 'false', 'true'), 'monthly_bill', toString(60 + h % 300), 'credit', ['good', 'fair', 'poor'][h % 3 + 1]) AS fields,
    lower(hex(SHA256(toString(h % 20)))) AS consent_text_hash, concat('https://', source, '.example/quote') AS consent_url,
    IPv4NumToString(toUInt32(h)) AS consent_ip, received_at - INTERVAL 1 + h % 60 SECOND AS consent_at,
    [] AS consent_sellers, concat('https://cert.trustedform.com/', lower(hex(substring(SHA256(toString(lead_id)), 1, 20)))) AS trustedform_cert_url,
    ingested_at, _topic, _partition, _offset
FROM {database}.lead_events
WHERE stage = 'validation' AND outcome = 'validated'
-- Every other campaign has a cap a day and its buyer one a month, told of with each answer.
-- @stmt
INSERT INTO {database}.cap_ledger (campaign, buyer, cap, since, until, limit, used, full, occurred_at, ingested_at, _topic, _partition, _offset)
WITH
    toStartOfDay(occurred_at) AS day, toStartOfMonth(occurred_at) AS month,
    (toUnixTimestamp(occurred_at) - toUnixTimestamp(day)) / 86400 AS share
SELECT
    campaign, buyer, use.1 AS cap, use.2 AS since, use.3 AS until, use.4 AS limit, use.5 AS used, '' AS full, occurred_at, ingested_at,
    'capacity' AS _topic, cityHash64(campaign) % 8 AS _partition, _offset
FROM {database}.lead_events
ARRAY JOIN [
    ('day:accepted', formatDateTime(day, '%Y-%m-%dT%H:%iZ'), toDateTime64(day + INTERVAL 1 DAY, 3, 'UTC'),
        toDecimal64(5000, 4), toDecimal64(floor(4000 * share), 4)),
    ('buyer:month:spend', formatDateTime(month, '%Y-%m-%dT%H:%iZ'), toDateTime64(month + INTERVAL 1 MONTH, 3, 'UTC'),
        toDecimal64(2000000, 4), toDecimal64(round(60000 * (toDayOfMonth(occurred_at) - 1 + share), 1), 4))
] AS use
WHERE stage = 'attempt' AND outcome != 'skipped' AND toUInt16OrZero(substring(campaign, 10)) % 2 = 0
-- @stmt
INSERT INTO {database}.releases (kind, entity, release, document, occurred_at, _topic, _partition, _offset)
WITH
    number AS at, substring(hex(cityHash64(at)), 1, 16) AS release_, toDateTime64(toDateTime({end}, 'UTC') - INTERVAL {days} DAY, 3, 'UTC') AS began,
    -- A campaign's content is of the last release that changed it.
    arrayMap(n -> (n, lower(hex(sipHash64(n, intDiv(at + n % 10, 10))))), range(60)) AS campaigns
SELECT record.1 AS kind, record.2 AS entity, record.3 AS release, record.4 AS document,
    began + toIntervalSecond(intDiv(at * 100000 * 86400 * {days}, {all})) AS occurred_at, 'config' AS _topic, 0 AS _partition, at * 100 AS _offset
FROM numbers(intDiv({all} - 1, 100000) + 1)
ARRAY JOIN arrayConcat(
    arrayMap(c -> ('campaigns', concat('campaign-', toString(c.1)), c.2, concat('{"id":"campaign-', toString(c.1), '","buyer":"buyer-',
        toString(intDiv(c.1, 2)), '","vertical":"', ['solar', 'auto', 'mortgage'][c.1 % 3 + 1], '","priority":', toString(c.1),
        ',"states":["CA","TX","FL","NY"],"price":"', toString(8 + c.1), '.00","caps":[{"window":"day","limit":5000}],"delivery":{"kind":',
        '"direct_post","url":"https://leads.buyer-', toString(intDiv(c.1, 2)), '.example/leads","timeout_seconds":3}}')), campaigns),
    [('release', release_, release_, concat('{"entities":[', arrayStringConcat(arrayMap(
        c -> concat('["campaigns","campaign-', toString(c.1), '","', c.2, '"]'), campaigns), ','), ']}')),
    ('applied', toString(at + 1), release_, concat('{"author":"ann","message":"change ', toString(at + 1), '","previous":"',
        if(at = 0, '', substring(hex(cityHash64(at - 1)), 1, 16)), '"}'))]
) AS record
