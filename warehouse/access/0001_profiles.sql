-- Limits of a ClickHouse server's users, by role. Run as an administrator, in the order of the files' numbers.
-- readonly = 1 refuses writes, DDL, other settings and table functions that reach out; max_execution_time stays
-- changeable because Grafana's and Go's clients set it with every query.
CREATE SETTINGS PROFILE IF NOT EXISTS leadline_analyst SETTINGS
    max_execution_time = 30 MIN 1 MAX 30 CHANGEABLE_IN_READONLY,
    max_memory_usage = 2147483648 READONLY,
    max_result_rows = 1000000 READONLY,
    max_result_bytes = 1073741824 READONLY,
    max_rows_to_read = 2000000000 READONLY,
    result_overflow_mode = 'throw' READONLY,
    timeout_overflow_mode = 'throw' READONLY,
    readonly = 1 READONLY;
-- @stmt
CREATE SETTINGS PROFILE IF NOT EXISTS leadline_sink SETTINGS
    async_insert = 0 READONLY,
    deduplicate_blocks_in_dependent_materialized_views = 1 READONLY,
    max_execution_time = 120;
-- @stmt
CREATE SETTINGS PROFILE IF NOT EXISTS leadline_admin SETTINGS max_memory_usage = 8589934592;
