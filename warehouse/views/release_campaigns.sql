CREATE OR REPLACE VIEW {database}.release_campaigns{on_cluster} (
    release      String                   COMMENT 'content hash of the configuration',
    vertical     String                   COMMENT 'the vertical',
    campaigns    Array(String)            COMMENT 'its campaigns, best priority first, then by id: the order of a trace''s bits'
) AS
SELECT
    parts.release AS release,
    JSONExtractString(bodies.document, 'vertical') AS vertical,
    arrayMap(pair -> pair.2, arraySort(groupArray((
        if(JSONHas(bodies.document, 'priority'), JSONExtractInt(bodies.document, 'priority'), 100),
        bodies.entity
    )))) AS campaigns
FROM (
    SELECT made.release AS release, arrayJoin(JSONExtract(made.document, 'entities', 'Array(Array(String))')) AS part
    FROM (SELECT * FROM {database}.releases FINAL WHERE kind = 'release') AS made
) AS parts
INNER JOIN (SELECT * FROM {database}.releases FINAL WHERE kind = 'campaigns') AS bodies
    ON bodies.entity = parts.part[2] AND bodies.release = parts.part[3]
WHERE parts.part[1] = 'campaigns'
GROUP BY release, vertical
COMMENT 'The campaigns of each release by vertical, in the order in which routing looks at them.'
