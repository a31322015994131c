"""The moments within an insert, seen in the folder of a table's parts; and what an engine that was killed then has."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from kit.sink_crashes.faults import Point
from warehouse.sinking.plans import Part, claim_of

_LOOK_SECONDS: Final = 0.0005
"""Between two months are some milliseconds, before the view some ten."""
_PART: Final = re.compile(r"\d{6}_(\d+)_\1_[01]")
_UNNAMED: Final = "tmp_insert_"


def await_moment(table: Path, point: Point, seconds: float) -> bool:
    """Return at that moment of an insert into a table by months; False where there was none for ``seconds``.

    The engine writes the months' parts under other names, and gives each its own when it is whole: the next one's
    folder is there by then. After the last it goes on with the views.
    """
    deadline = time.monotonic() + seconds
    known: set[str] | None = None
    while time.monotonic() < deadline:
        names = os.listdir(table)
        parts = {name for name in names if _PART.fullmatch(name)}
        goes_on = any(name.startswith(_UNNAMED) for name in names)
        if known is not None and parts - known and goes_on is (point is Point.MONTHS):
            return True
        known = parts
        time.sleep(_LOOK_SECONDS)
    return False


def points_of(client: Client, table: str, view: str, admin: AdminClient, group: str) -> set[Point]:
    """Where the inserts of planned batches were cut off, by what the table and its view have of them: each record is
    a row of both."""
    batches: defaultdict[str, list[Part]] = defaultdict(list)
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    for place in asked.topic_partitions:
        claim = claim_of(place.topic, "", place.partition, place.offset, place.metadata)
        if claim is not None:
            batches[claim.batch].append(claim.part)
    found = set()
    for parts in batches.values():
        where = " OR ".join(
            f"(_topic = '{part.topic}' AND _partition = {part.partition}"
            f" AND _offset BETWEEN {part.first} AND {part.last})"
            for part in parts
        )
        rows, seen = (
            client.query(f"SELECT count() FROM {name} WHERE {where}").result_rows[0][0] for name in (table, view)
        )
        records = sum(part.last - part.first + 1 for part in parts)
        if 0 < rows < records:
            found.add(Point.MONTHS)
        if rows == records > seen:
            found.add(Point.VIEW)
    return found
