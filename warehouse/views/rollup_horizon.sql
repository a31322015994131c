CREATE OR REPLACE VIEW {database}.rollup_horizon{on_cluster} (
    version          UInt64                   COMMENT 'the latest of the rollups'' versions',
    hours            Array(DateTime('UTC'))   COMMENT 'hours of arrival that are not settled: views compute them as they are asked, from final rows'
) AS
WITH (
    SELECT (max(last), max(told_to), groupArrayIf(hour, NOT settled_now))
    FROM (
        SELECT
            hour,
            max(version) AS last,
            max(up_to) AS told_to,
            argMax(settled AND definition = '{definition}', (version, settled)) AS settled_now
        FROM {database}.rollup_hours
        GROUP BY hour
    ) AS states
) AS noted
SELECT
    noted.1 AS version,
    arrayDistinct(arrayConcat(noted.3, (
        SELECT groupUniqArray(toStartOfHour(received_at)) FROM {database}.lead_events WHERE ingested_at >= noted.2
    ))) AS hours
COMMENT 'Which hours the views take from rollups: all that have settled. One row.'
