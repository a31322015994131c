"""Tables that live elsewhere: the embedded warehouse refuses those that would stop it from opening again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from kit.door import running

QUEUES = (
    "Kafka('h:9', 't', 'g', 'CSV')",
    "kafka('h:9', 't', 'g', 'CSV')",
    "Kafka SETTINGS kafka_broker_list = 'h:9', kafka_topic_list = 't', kafka_group_name = 'g', kafka_format = 'CSV'",
    "/* a */ `Kafka` ('h:9', 't', 'g', 'CSV')",
    "\"Kafka\" ('h:9', 't', 'g', 'CSV')",
    "`\\x4bafka` ('h:9', 't', 'g', 'CSV')",
    "`\\Kafka` ('h:9', 't', 'g', 'CSV')",
    "RabbitMQ SETTINGS rabbitmq_host_port = 'h:1', rabbitmq_exchange_name = 'e', rabbitmq_format = 'CSV'",
    "NATS SETTINGS nats_url = 'h:1', nats_subjects = 's', nats_format = 'CSV'",
)
ELSEWHERE = (
    "URL('http://127.0.0.1:1/', 'CSV')",
    "File(CSV)",
    "MySQL('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "PostgreSQL('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "MongoDB('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "Executable('x', 'CSV')",
    "EmbeddedRocksDB PRIMARY KEY n",
    "ODBC('a', 'b', 'c')",
    "JDBC('a', 'b', 'c')",
    "SQLite('/tmp/never.db', 't')",
    "HDFS('hdfs://127.0.0.1:1/x', 'CSV')",
    "S3('http://127.0.0.1:1/bucket/x', 'CSV')",
    "Redis('127.0.0.1:1') PRIMARY KEY n",
    "Buffer(default, t, 1, 1, 1, 1, 1, 1, 1)",
)
DATABASES = ("PostgreSQL('127.0.0.1:1', 'd', 'u', 'p')", "S3('http://127.0.0.1:1/bucket')", "Filesystem('/tmp')")


def test_kafka_rabbitmq_and_nats_tables_are_refused_and_the_database_reopens(tmp_path: Path) -> None:
    with running(tmp_path / "db", tmp_path / "ready") as server:
        server.value("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        server.value("INSERT INTO kept VALUES (7)")
        for number, engine in enumerate(QUEUES):
            for create in (
                f"CREATE TABLE q{number} (n UInt64) ENGINE = {engine}",
                f"CREATE OR REPLACE TABLE q{number} (n UInt64) ENGINE {engine}",
                f"ATTACH TABLE q{number} (n UInt64) ENGINE = {engine}",
                f"CREATE MATERIALIZED VIEW q{number} ENGINE = {engine} AS SELECT 1 AS n",
            ):
                answer = server.send(body=create.encode())
                assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (501, "48"), create
                assert b"LEADLINE_CLICKHOUSE_URL" in answer.body
        bound = "CREATE TABLE q (n UInt64) ENGINE = {e:Identifier}"
        assert server.send(body=bound.encode(), param_e="Kafka").status != 200
        assert server.send("SELECT 'ENGINE = Kafka', 1 AS engine, 2 AS kafka").status == 200
        assert server.stop(signal.SIGTERM) == 0
    with running(tmp_path / "db", tmp_path / "ready") as server:
        assert server.value("SELECT n FROM kept") == "7"
        assert server.value("SHOW TABLES") == "kept"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_database_reopens_with_tables_whose_data_is_out_of_reach(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "db", tmp_path / "ready") as server:
        made = 0
        for at, engine in enumerate(ELSEWHERE):
            made += server.send(body=f"CREATE TABLE t{at} (n UInt64) ENGINE = {engine}".encode()).status == 200
        for at, engine in enumerate(DATABASES):
            made += server.send(body=f"CREATE DATABASE d{at} ENGINE = {engine}".encode()).status == 200
        assert made > len(ELSEWHERE) // 2
        server.stop(number)
    with running(tmp_path / "db", tmp_path / "ready") as server:
        assert server.value("SELECT 1") == "1"
