"""Offsets that are gone from the log unread: which they are, and a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

from warehouse.sinking.beginning import Beginning
from warehouse.sinking.plans import Claim

TABLE: Final = "sink_gaps"
COLUMNS: Final = ("topic", "topic_id", "partition", "first", "last", "why", "lost", "accepted")
DEAD_PLAN: Final = "the records of a planned batch are gone: the tables may have all, some or none of their rows"


@dataclass(frozen=True, slots=True)
class Gap:
    """The offsets ``first <= offset <= last`` of one partition. One that is not ``lost`` may be in the tables."""

    topic: str
    topic_id: str
    partition: int
    first: int
    last: int
    why: str
    lost: bool

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}]: {self.why}, "
            f"and the offsets from {self.first} to {self.last} are gone from the log"
        )


def gaps_of(topic: str, topic_id: str, partition: int, low: int, start: Beginning, claim: Claim | None) -> list[Gap]:
    """What is gone of a partition that begins at ``start`` and whose log begins at ``low``: what nobody has read, and
    what was planned, so that nobody knows how far its rows came."""
    found = []
    if start.lost is not None:
        first, end = start.lost
        found.append(Gap(topic, topic_id, partition, first, end - 1, start.note, lost=True))
    if claim is not None:
        last = min(claim.part.last, (low if start.lost is None else start.lost[0]) - 1)
        if last >= claim.part.first:
            found.append(Gap(topic, topic_id, partition, claim.part.first, last, DEAD_PLAN, lost=False))
    return found


def note_gaps(client: Client, database: str, gaps: Sequence[Gap], *, sink: str, cluster: str, accepted: bool) -> None:
    """A row for each gap, once however often it is found. One that has grown, or is accepted at last, takes the place
    of its row before.

    Raises:
        clickhouse_connect.driver.exceptions.Error: ClickHouse does not take it.
    """
    for gap in gaps:
        going_on = accepted or not gap.lost
        place = f"{gap.topic_id}:{gap.partition}:{gap.first}-{gap.last}"
        client.insert(
            f"{database}.{TABLE}",
            [[gap.topic, gap.topic_id, gap.partition, gap.first, gap.last, gap.why, gap.lost, going_on]],
            column_names=list(COLUMNS),
            settings={"async_insert": 0, "insert_deduplication_token": f"{sink}/{cluster}:{place}:{going_on:d}"},
        )
