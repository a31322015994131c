-- How much of the server a role may take over time.
CREATE QUOTA IF NOT EXISTS leadline_analyst KEYED BY user_name
    FOR INTERVAL 1 minute MAX queries = 300, errors = 100, execution_time = 120,
    FOR INTERVAL 1 hour MAX queries = 5000, read_rows = 200000000000, execution_time = 1800
    TO leadline_analyst, leadline_analyst_auto;
