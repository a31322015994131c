CREATE OR REPLACE VIEW {database}.evaluations{on_cluster} (
    lead_id      UUID                     COMMENT 'the lead',
    run          UInt32                   COMMENT '0 for live traffic, else the replay''s number',
    decision     UInt16                   COMMENT 'the how many-th decision about the lead in its run, from 0',
    received_at  DateTime64(3, 'UTC')     COMMENT 'when the raw lead arrived',
    occurred_at  DateTime64(3, 'UTC')     COMMENT 'when it was decided',
    vertical     String                   COMMENT 'whose campaigns they are',
    route        String                   COMMENT 'the route that decided',
    campaign     String                   COMMENT 'the campaign; empty where the release is not in the table releases',
    reason       String                   COMMENT 'chosen, or the first predicate that failed, as subject.condition',
    release      String                   COMMENT 'content hash of the configuration that decided'
) AS
SELECT
    found.lead_id AS lead_id, found.run AS run, found.decision AS decision, found.received_at AS received_at,
    found.occurred_at AS occurred_at, found.vertical AS vertical, found.route AS route,
    arrayJoin(if(found.reason = 'chosen', CAST(found.named, 'Array(String)'), arrayMap(
        place -> arrayElement(ordered.campaigns, place),
        -- Eight bytes at a time: many times as fast as bit by bit.
        arrayFlatten(arrayMap(
            at -> arrayMap(
                bit -> least(8 * length(found.campaigns), 8 * at + 64) - bit,
                bitPositionsToArray(reinterpretAsUInt64(reverse(substring(found.campaigns, at + 1, 8))))
            ),
            range(0, length(found.campaigns), 8)
        ))
    ))) AS campaign,
    found.reason AS reason,
    found.release AS release
FROM (SELECT * FROM {database}.routing_evaluations FINAL) AS found
LEFT JOIN {database}.release_campaigns AS ordered
    ON ordered.release = found.release AND ordered.vertical = found.vertical
COMMENT 'One row a lead, decision and campaign of its vertical: why each was chosen or not. Counted by hour, for questions over days, in campaign_reasons.'
