"""Sinks and their engine killed and frozen, wherever they are: each record is in the tables and their views once.

``python -m kit.sink_crashes`` is the long run of the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.full_stack import share_jars
from kit.sink_crashes import Crashes

from leadline.stack.background import running_stack

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(300)]


def test_each_record_once_in_rows_places_and_views(tmp_path_factory: pytest.TempPathFactory) -> None:
    home: Path = tmp_path_factory.mktemp("sink")
    share_jars(home)
    with running_stack(home, {"kafka"}) as endpoints:
        assert endpoints.kafka_bootstrap is not None
        outcome = Crashes(endpoints.kafka_bootstrap, home / "sink", seed=5).run(faults=6)
    assert outcome.exact, f"{outcome}\n{(home / 'sink' / 'sinks.log').read_text()[-4000:]}"
