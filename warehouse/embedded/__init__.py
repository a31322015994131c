"""The embedded warehouse server: chDB (ClickHouse's engine as a library) behind ClickHouse's HTTP interface.

``python -m warehouse.embedded --path DIR --port N`` serves the database in DIR to every HTTP client of ClickHouse:
clickhouse-connect, curl, JDBC tools, Grafana (protocol http).
"""
