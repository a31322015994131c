CREATE OR REPLACE VIEW {database}.caps{on_cluster} (
    campaign     String                   COMMENT 'the campaign',
    buyer        String                   COMMENT 'whose it is',
    cap          String                   COMMENT 'which cap: window:counts, with the source where it is one source''s, and buyer: before it where it is the buyer''s',
    limit        Decimal(12, 4)           COMMENT 'leads, or an amount of money',
    used         Decimal(12, 4)           COMMENT 'of the window that is open now, in the same unit; 0 where the last one told of is over',
    left         Decimal(12, 4)           COMMENT 'limit less used',
    use          Float64                  COMMENT 'metric cap_use',
    is_full      Bool                     COMMENT 'whether this cap lets nothing through',
    window_ends  Nullable(DateTime64(3, 'UTC')) COMMENT 'when the open window ends; NULL: never, or none is open yet',
    told_at      DateTime64(3, 'UTC')     COMMENT 'when the campaign last told of it'
) AS
SELECT
    latest.campaign AS campaign,
    latest.buyer AS buyer,
    latest.cap AS cap,
    latest.most AS limit,
    if(is_over, toDecimal64(0, 4), latest.taken) AS used,
    latest.most - used AS left,
    {metric:cap_use} AS use,
    used >= latest.most AS is_full,
    if(is_over, NULL, latest.ends) AS window_ends,
    latest.told AS told_at
FROM (
    SELECT
        ledger.campaign AS campaign,
        ledger.cap AS cap,
        argMax(ledger.buyer, (ledger.occurred_at, ledger._offset)) AS buyer,
        argMax(ledger.limit, (ledger.occurred_at, ledger._offset)) AS most,
        argMax(ledger.used, (ledger.occurred_at, ledger._offset)) AS taken,
        tupleElement(argMax(tuple(ledger.until), (ledger.occurred_at, ledger._offset)), 1) AS ends,
        max(ledger.occurred_at) AS told,
        ifNull(ends <= now64(3), false) AS is_over
    FROM {database}.cap_ledger AS ledger
    -- Found by the primary key, so that little of a long ledger is read.
    WHERE (ledger.campaign, ledger.cap, ledger.occurred_at) IN (
        SELECT campaign, cap, max(occurred_at) FROM {database}.cap_ledger GROUP BY campaign, cap
    )
    GROUP BY ledger.campaign, ledger.cap
) AS latest
COMMENT 'Each cap''s use against its limit, now. The ledger of delivery decides; this is what it last told.'
