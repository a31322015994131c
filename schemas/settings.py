"""Every setting of Leadline, read from the environment (``LEADLINE_*``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a process needs to know before it starts.

    Kafka and ClickHouse elsewhere are one setting each: with ``kafka_bootstrap`` or ``clickhouse_url``
    set, the local part is not started. Ports are first choices: a taken one makes the local stack pick another.
    """

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".leadline"), description="Folder of everything the local stack writes.")
    kafka_bootstrap: str | None = Field(default=None, description="host:port[,host:port…] of a Kafka cluster.")
    clickhouse_url: str | None = Field(
        default=None, repr=False, description="http(s)://[user:password@]host:port of a ClickHouse HTTP interface."
    )
    clickhouse_database: str = Field(default="leadline", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    clickhouse_cluster: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$",
        description="A cluster of the ClickHouse server: tables are made on all of it, replicated.",
    )
    clickhouse_tokens: Path | None = Field(
        default=None,
        description="File of the tokens that the embedded warehouse asks for, one `role name hash` a line.",
    )
    config: Path | None = Field(default=None, description="Verticals, buyers and campaigns (YAML).")
    sandbox_config: Path | None = Field(default=None, description="Behaviour of the sandbox buyers (YAML).")
    sandbox_url: str | None = Field(default=None, description="Where the sandbox buyer listens.")

    kafka_port: int = Field(default=9092, ge=1, le=65535)
    clickhouse_port: int = Field(default=8123, ge=1, le=65535)
    intake_port: int = Field(default=8080, ge=1, le=65535)
    sandbox_port: int = Field(default=8090, ge=1, le=65535)

    metrics_host: str = Field(default="127.0.0.1", description="Address of a worker's metrics page.")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of a worker's metrics page: none when unset, any when 0."
    )
    session_timeout_seconds: float = Field(
        default=6.0,
        ge=1,
        le=300,
        description="A worker that Kafka has not heard of for this long loses its partitions; Kafka's own least is 6.",
    )
    transactions_in_flight: int = Field(
        default=2, ge=1, description="Transactions of one worker at once; more where the brokers are far away."
    )
    state: Literal["memory", "rocksdb"] = Field(
        default="memory",
        description="Where a stage's tables are: rocksdb is for more than memory holds, and restarts from the tail.",
    )
    dead_letter_run: int = Field(
        default=200, ge=1, description="Dead letters in a row that stop a worker: then it is the stage that is broken."
    )
    dead_letter_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of the last 1,000 records; more dead letters stop a worker."
    )

    sink_accept_gaps: bool = Field(
        default=False,
        description="Let the sink go on where records are gone from the log that it has not read; else it stops.",
    )

    partitions: int = Field(default=4, ge=1, le=1024, description="Partitions of every person-keyed topic.")
    replication_factor: int = Field(default=1, ge=1, le=7)
    pseudonym_key: SecretStr | None = Field(
        default=None, description="Secret of the person HMAC, at least 16 bytes. Kept in the home folder when unset."
    )
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    ready_file: Path | None = Field(default=None, description="Written by a process once it does its work.")
