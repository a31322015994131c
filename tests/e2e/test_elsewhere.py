"""Kafka and ClickHouse elsewhere: one setting each, and the local part is not started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit.backends import CHOICE, Provider, backends, provider_named
from kit.full_stack import elsewhere, full_stack, wait_until

from connectors.sandbox.traffic import DEFAULT_MIX, generate

pytestmark = pytest.mark.stack


def test_the_pipeline_runs_on_a_kafka_and_a_clickhouse_that_it_did_not_start(tmp_path: Path) -> None:
    traffic = generate(5, DEFAULT_MIX.scaled(100))
    provider = provider_named(os.environ.get(CHOICE, Provider.LOCAL))
    with (
        backends(provider, tmp_path / "elsewhere") as found,
        full_stack(tmp_path / "home", **elsewhere(found)) as stack,
    ):
        assert stack.state.kafka_bootstrap == found.kafka_bootstrap
        assert not {"kafka", "warehouse"} & set(stack.state.services)
        stack.send(traffic.records)
        wait_until(lambda: stack.funnel().ended == traffic.expected.raw, "every lead has come to an end")
        funnel = stack.funnel()
        assert (funnel.rejected, funnel.duplicate, funnel.delivered, funnel.dead) == (
            traffic.expected.rejected,
            traffic.expected.duplicate,
            traffic.expected.delivered,
            traffic.expected.dead,
        )
