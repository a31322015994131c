"""A sink that ClickHouse refuses a row says so without what the row holds: ClickHouse's own words quote it.

A contact has no row that could stand in for it, so it is left out.
"""

from __future__ import annotations

import sys

import pytest
from kit.events import MARK, event
from kit.full_stack import wait_until
from kit.sink_world import World

from schemas.events import LeadValidated

pytestmark = pytest.mark.stack

SINK = """
import functools, sys, warehouse.sink
warehouse.sink.SinkConfig = functools.partial(warehouse.sink.SinkConfig, group=sys.argv.pop())
from leadline.main import main
main()
"""
"""``leadline sink`` in a group of its own."""


def test_a_refused_contact_is_not_quoted_in_the_log(world: World) -> None:
    contacts = f"{world.database}.contacts"
    world.client.command(f"ALTER TABLE {contacts} ADD CONSTRAINT short CHECK length(phone) < 3")
    refused, taken = event(LeadValidated), event(LeadValidated)
    assert isinstance(taken, LeadValidated)
    taken = taken.model_copy(update={"lead": taken.lead.model_copy(update={"phone": None})})
    world.send([refused, taken])
    with world.sink(sys.executable, "-c", SINK, "sink", world.group) as process:
        world.wait()
        found = f"SELECT lead_id FROM {contacts}"
        wait_until(lambda: world.client.query(found).result_rows == [(taken.lead_id,)], "the other contact", 60)
        assert process.poll() is None
        process.terminate()
        assert process.wait(15) == 0
    said = world.log.read_text()
    assert "row refused" in said
    assert "VIOLATED_CONSTRAINT" in said
    assert "Traceback" not in said
    assert MARK.lower() not in said.lower()
