"""Records into every table as the sink writes them, without a Kafka between."""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from schemas.record import KafkaRecord
from warehouse.sinking.inserting import Writer
from warehouse.sinking.lane import Batch, Lane
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.plans import Part, Pending, Plan
from warehouse.sinking.targets import TARGETS


class WrittenTables:
    """The tables of a database, and how far each topic is written: a record gets its topic's next offset."""

    def __init__(self, client: Client, database: str) -> None:
        self._writer = Writer(
            client,
            database,
            TARGETS,
            sink="sink",
            cluster="cluster",
            safe_seconds=60,
            metrics=SinkMetrics(),
            on_step=lambda step: None,
        )
        self._writer.prepare()
        self._ends: dict[str, int] = {}

    def add(self, records: Sequence[KafkaRecord], *, fresh: bool = True) -> None:
        """Write records as one batch; one that is not ``fresh`` as a batch of long ago that is made again."""
        placed, parts = [], []
        for topic in sorted({record.topic for record in records}):
            begin = self._ends.get(topic, 0)
            found = [record for record in records if record.topic == topic]
            placed += [record._replace(partition=0, offset=begin + n) for n, record in enumerate(found)]
            self._ends[topic] = begin + len(found)
            parts.append(Part(topic, "id", 0, begin, self._ends[topic] - 1))
        self._writer.write(
            Batch(Lane(0, {}, []), Pending(Plan("b", 1, tuple(parts)), whole=True), tuple(placed), fresh)
        )
