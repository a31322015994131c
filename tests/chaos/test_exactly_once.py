"""Workers killed, frozen past their session, added and removed, and Kafka restarted, under load: exactly once.

`make chaos` is the long run of the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.chaos.plan import Fault, Plan
from kit.chaos.run import run
from kit.counting_worker import Kind
from kit.full_stack import share_jars

from leadline.stack.background import running_stack

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for a Kafka of its own: it will be killed."""
    home = tmp_path_factory.mktemp("chaos")
    share_jars(home)
    return home


@pytest.fixture(scope="module")
def bootstrap(home: Path) -> Iterator[str]:
    """The address of that Kafka."""
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        yield endpoints.kafka_bootstrap


@pytest.mark.parametrize("kind", Kind)
async def test_every_record_counts_once(kind: Kind, home: Path, bootstrap: str) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1_000_000)))
    plan = Plan(kind, seed, faults=8, every=(8.0, 6.0, 9.0, 40.0), seconds_at_most=240.0)
    report = await run(plan, bootstrap, home, home / kind)
    print("\n".join(report.lines()))
    assert not report.problems, f"again: CHAOS_SEED={seed} pytest tests/chaos -k {kind}\n" + "\n".join(report.lines())
    assert report.faults.total() >= plan.faults
    assert set(report.faults) == set(Fault)
    assert report.fenced
