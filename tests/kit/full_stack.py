"""The whole stack as `leadline up` runs it, in a home of its own, and what tests read from it on every side."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.kafka import clients
from connectors.kafka.log_reader import as_record, partitions_of, read_range
from connectors.kafka.producer import AckedProducer
from kit.backends import CHOICE, Backends, Provider, backends, provider_named
from leadline.stack.background import running_stack
from leadline.stack.services import Endpoints
from leadline.stack.state import StackState, read_state
from schemas.record import KafkaRecord
from schemas.topics import LEADS
from warehouse import queries
from warehouse.client import connect

REPOSITORY = Path(__file__).parents[2]
JARS = REPOSITORY / ".leadline" / "maven"


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """Poll a condition to a deadline; its truthy value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; at the end: {value!r}")
        time.sleep(0.05)


def share_jars(home: Path) -> None:
    """Let a home use the checkout's jars, so that they are downloaded once."""
    JARS.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "maven").exists():
        (home / "maven").symlink_to(JARS)


def noon_configuration(folder: Path) -> Path:
    """The demo configuration with every campaign in a zone where it is about noon: no cap's day ends during a test."""
    offset = (12 - datetime.now(UTC).hour) % 24
    zone = f"Etc/GMT-{offset}" if offset <= 12 else f"Etc/GMT+{24 - offset}"
    text = (REPOSITORY / "deploy" / "local" / "config.yaml").read_text()
    path = folder / "config.yaml"
    path.write_text(re.sub(r"time_zone: .*", f"time_zone: {zone}", text))
    return path


@dataclass(frozen=True)
class FullStack:
    """A running stack and its four sides: the topics, the warehouse, the buyers and the command."""

    home: Path
    endpoints: Endpoints
    environment: dict[str, str]

    @property
    def state(self) -> StackState:
        state = read_state(self.home)
        assert state is not None, "the supervisor is gone"
        return state

    @property
    def kafka(self) -> str:
        assert self.endpoints.kafka_bootstrap is not None
        return self.endpoints.kafka_bootstrap

    def send(self, values: tuple[bytes, ...]) -> None:
        """Produce raw values to `leads`, without keys, as an upstream would."""
        producer = AckedProducer(self.kafka)
        for value in values:
            producer.produce(LEADS.name, None, value)
        producer.flush()

    def records(self, topic: str) -> list[KafkaRecord]:
        """Every record of a topic."""
        consumer = clients.reader(self.kafka)
        partitions = partitions_of(consumer, topic)
        consumer.close()
        return [as_record(m) for p in partitions for batch in read_range(self.kafka, topic, p) for m in batch]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows from the warehouse."""
        assert self.endpoints.clickhouse_url is not None
        return [tuple(row) for row in connect(self.endpoints.clickhouse_url).query(sql).result_rows]

    def funnel(self) -> queries.Funnel:
        assert self.endpoints.clickhouse_url is not None
        return queries.funnel(connect(self.endpoints.clickhouse_url), "leadline")

    def outcomes(self) -> dict[str, str]:
        """Each lead's end in its last run that has one, from ClickHouse; a lead with two ends fails."""
        rows = self.query(
            "SELECT toString(lead_id), groupUniqArrayIf(outcome, run = last) FROM (SELECT lead_id, outcome, run,"
            " max(run) OVER (PARTITION BY lead_id) AS last FROM leadline.lead_events FINAL"
            " WHERE outcome IN ('rejected', 'duplicate', 'unrouted', 'delivered', 'undelivered', 'dead')"
            " AND stage IN ('validation', 'dedup', 'routing', 'delivery', 'dead')) GROUP BY lead_id"
        )
        several = {lead: ends for lead, ends in rows if len(ends) != 1}
        assert not several, f"leads with more than one end: {several}"
        return {str(lead): str(ends[0]) for lead, ends in rows}

    def received(self) -> dict[str, Any]:
        """What the sandbox buyers say they received."""
        with urllib.request.urlopen(f"{self.endpoints.sandbox_url}/received", timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
        return document

    def leadline(self, *arguments: str) -> Any:
        """Run the command with --json and give back what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "leadline", *arguments, "--json"],
            env={**os.environ, **self.environment, "LEADLINE_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait_for_rest(self, seconds: float = 120.0) -> None:
        """Wait until no stage and no sink has anything left to read."""

        def at_rest() -> bool:
            lags = self.leadline("status")["lag_records"]
            return len(lags) == 5 and not any(lags.values())

        wait_until(at_rest, "every lag is 0", seconds)


@contextmanager
def full_stack(home: Path, **environment: str) -> Iterator[FullStack]:
    """Run everything in `home` until the block ends; Kafka and ClickHouse from where LEADLINE_TEST_STACK says."""
    share_jars(home)
    settings = {"LEADLINE_CONFIG": str(noon_configuration(home)), **environment}
    with ExitStack() as stack:
        provider = provider_named(os.environ.get(CHOICE, Provider.LOCAL))
        if provider is not Provider.LOCAL and "LEADLINE_KAFKA_BOOTSTRAP" not in environment:
            settings |= elsewhere(stack.enter_context(backends(provider, home / "backends")))
        endpoints = stack.enter_context(running_stack(home, None, environment=settings))
        yield FullStack(home, endpoints, settings)


def elsewhere(found: Backends) -> dict[str, str]:
    """The settings of a Kafka and a ClickHouse that the stack does not start itself."""
    return {"LEADLINE_KAFKA_BOOTSTRAP": found.kafka_bootstrap, "LEADLINE_CLICKHOUSE_URL": found.clickhouse_url}


def accepted_leads(received: dict[str, Any]) -> Counter[str]:
    """How often buyers accepted each lead as a new one."""
    arrivals = received["arrivals"]
    return Counter(a["lead_id"] for a in arrivals if a["new"] and a["status"] == "accepted")
