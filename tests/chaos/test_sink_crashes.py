"""Sinks and their engine killed and frozen at each point of a batch: each record is in the tables and their views once.

`make chaos-sink` is the long run of the same.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from kit.full_stack import share_jars
from kit.sink_crashes.faults import FEW, STEPS, Point, planned
from kit.sink_crashes.run import Crashes

from leadline.stack.background import running_stack

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(300)]


def test_each_record_once_in_rows_places_and_views(tmp_path_factory: pytest.TempPathFactory) -> None:
    home: Path = tmp_path_factory.mktemp("sink")
    share_jars(home)
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        plan = planned(5, len(FEW), FEW)
        outcome = Crashes(endpoints.kafka_bootstrap, home / "sink", seed=5).run(plan)
    print("\n".join(outcome.lines()))
    assert not outcome.problems, f"{outcome.lines()}\n{(home / 'sink' / 'sinks.log').read_text()[-4000:]}"
    assert not Counter(plan) - outcome.faults
    assert {fault.point for fault in outcome.faults} >= {*STEPS, Point.MONTHS, Point.VIEW}
