SELECT
    decided.hour AS hour,
    decided.release AS release,
    decided.found.1 AS vertical,
    decided.found.2 AS reason,
    decided.found.4 AS named,
    -- As the view evaluations does. Names come as it is asked: a release may come after what it decided.
    arrayJoin(if(notEmpty(named), [toUInt32(0)], arrayFlatten(arrayMap(
        at -> arrayMap(
            bit -> toUInt32(least(8 * length(decided.bits), 8 * at + 64) - bit),
            bitPositionsToArray(reinterpretAsUInt64(reverse(substring(decided.bits, at + 1, 8))))
        ),
        range(0, length(decided.bits), 8)
    )))) AS place,
    count() AS decisions
FROM (
    SELECT
        toStartOfHour(events.received_at) AS hour,
        events.release AS release,
        arrayJoin(arrayConcat(
            JSONExtract(
                events.attributes, 'trace', 'failed',
                'Array(Tuple(vertical String, reason String, campaigns String, named String))'
            ),
            arrayMap(
                leg -> (toString(events.vertical), 'chosen', '', leg),
                arrayDistinct(JSONExtract(events.attributes, 'slip', 'candidates', 'Array(Tuple(campaign String))').campaign)
            )
        )) AS found,
        unhex(found.3) AS bits
    FROM (
        SELECT release, vertical, received_at, attributes FROM {database}.lead_events FINAL
        WHERE stage = 'routing' AND toStartOfHour(received_at) IN {hours}
    ) AS events
) AS decided
GROUP BY hour, release, vertical, reason, named, place
