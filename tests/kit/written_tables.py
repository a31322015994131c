"""Records into the warehouse's tables as the sink writes them, without a Kafka between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from clickhouse_connect.driver.client import Client

from schemas.record import KafkaRecord
from warehouse.sinking.inserting import Writer
from warehouse.sinking.intake import Batch
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.plans import Part, Pending, Plan
from warehouse.sinking.tables import TABLES
from warehouse.tables.table import Table


class WrittenTables:
    """Tables of a database, and how far each topic is written."""

    def __init__(self, client: Client, database: str, tables: Sequence[Table] = TABLES) -> None:
        self.metrics = SinkMetrics()
        self._writer = Writer(
            client,
            database,
            tables,
            sink="kit",
            cluster="cluster",
            safe_seconds=60,
            metrics=self.metrics,
            on_step=lambda step: None,
            others=lambda parts, abandoned: None,
        )
        self._writer.prepare()
        self._ends: dict[str, int] = {}

    def add(self, records: Iterable[KafkaRecord], *, fresh: bool = True) -> list[KafkaRecord]:
        """Write records at their topics' next offsets in partition 0, and return them there, in the order given."""
        placed = []
        for record in records:
            offset = self._ends.get(record.topic, 0)
            self._ends[record.topic] = offset + 1
            placed.append(record._replace(partition=0, offset=offset))
        self.put(placed, fresh=fresh)
        return placed

    def learn(self, topic_ids: Mapping[str, str]) -> None:
        """The topics are those of these ids."""
        self._writer.learn(topic_ids)

    def put(self, records: Iterable[KafkaRecord], *, fresh: bool = True, topic_id: str = "id") -> None:
        """Write records of different places at theirs, as one batch; one that is not ``fresh`` as a batch of long ago
        that is made again."""
        found = sorted(records, key=itemgetter(0, 1, 2))
        parts = []
        for (topic, partition), of in groupby(found, key=itemgetter(0, 1)):
            offsets = [record.offset for record in of]
            parts.append(Part(topic, topic_id, partition, offsets[0], offsets[-1]))
        if parts:
            self._writer.write(Batch(Pending(Plan("b", 1, tuple(parts)), whole=True), tuple(found), fresh))
