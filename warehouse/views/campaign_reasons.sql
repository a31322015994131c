CREATE OR REPLACE VIEW {database}.campaign_reasons{on_cluster} (
    hour         DateTime('UTC')          COMMENT 'of the raw leads'' arrival',
    vertical     String                   COMMENT 'whose campaigns they are',
    campaign     String                   COMMENT 'the campaign; empty where the release is not in the table releases',
    reason       String                   COMMENT 'chosen, or the first predicate that failed, as subject.condition',
    release      String                   COMMENT 'content hash of the configuration that decided',
    decisions    UInt64                   COMMENT 'decisions that found so; of a decision that was replayed, the last'
) AS
SELECT
    counted.hour AS hour,
    counted.vertical AS vertical,
    if(counted.named = '', ordered.campaign, counted.named) AS campaign,
    counted.reason AS reason,
    counted.release AS release,
    counted.decisions AS decisions
FROM {rollup:reasons} AS counted
LEFT JOIN (
    SELECT release, vertical, campaign, place
    FROM {database}.release_campaigns ARRAY JOIN campaigns AS campaign, arrayEnumerate(campaigns) AS place
) AS ordered
    ON ordered.release = counted.release AND ordered.vertical = counted.vertical AND ordered.place = counted.place
COMMENT 'Why each campaign was chosen or not, by hour: what the view evaluations has a row of a lead for, counted.'
