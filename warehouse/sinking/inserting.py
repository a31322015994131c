"""Batches into tables: each insert with its token, tried again or decided anew for as long as the batch is ours."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError

from schemas.record import KafkaRecord
from warehouse.sinking.failures import Failure, failure_of
from warehouse.sinking.lane import Batch
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.recovery import Action, Decision, Place, derived_token, recover
from warehouse.tables.content import content_of
from warehouse.tables.target import OFFSET, PARTITION, TOPIC, Row, Target

log = structlog.get_logger(__name__)

INSERT_SETTINGS: Final = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # No limit of partitions (months): a producer may write any timestamp, and a batch once refused would stay refused.
    "max_partitions_per_insert_block": 0,
}
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
_ERROR_NAME: Final = re.compile(r"\(([A-Z][A-Z_]{3,})\)")

Pair = tuple[KafkaRecord, Row]


class SinkStoppedError(Exception):
    """The sink cannot go on; nothing of what it holds is committed. The message says what to do."""


class AbandonedError(Exception):
    """The batch is another member's now."""


class Writer:
    """Inserts batches. Several threads may, each another batch."""

    def __init__(
        self,
        client: Client,
        database: str,
        targets: Sequence[Target],
        *,
        sink: str,
        cluster: str,
        safe_seconds: float,
        metrics: SinkMetrics,
        on_step: Callable[[str], None],
    ) -> None:
        self._client, self._database, self._targets = client, database, targets
        self._sink, self._cluster, self._safe_seconds = sink, cluster, safe_seconds
        self._metrics, self._on_step = metrics, on_step
        self._types: dict[str, Sequence[Any]] = {}
        self._by_topic: dict[str, list[Target]] = {}
        for target in targets:
            for topic in target.topics:
                self._by_topic.setdefault(topic, []).append(target)

    def prepare(self) -> None:
        """Learn the tables' columns, and load what the driver loads at its first insert: with it, pandas.

        Raises:
            SinkStoppedError: a table is not there, or has other columns.
        """
        for target in self._targets:
            try:
                context = self._client.create_insert_context(self._name(target), list(target.columns))
            except Error as error:
                raise SinkStoppedError(
                    f"no table {self._name(target)} as it should be: run `leadline up` first; {str(error)[:300]}"
                ) from error
            self._types[target.table] = context.column_types
            context.data = []

    def highest(self, topic: str, partition: int) -> int | None:
        """The highest offset of a partition in the first table that it has rows in, None when there are none."""
        name = self._name(next(target for target in self._targets if topic in target.topics))
        found = self._client.query(
            f"SELECT max({OFFSET}), count() FROM {name}"  # noqa: S608  # names of ours
            f" WHERE {TOPIC} = {{topic:String}} AND {PARTITION} = {{p:UInt32}}",
            parameters={"topic": topic, "p": partition},
        ).result_rows[0]
        return int(found[0]) if found[1] else None

    def write(self, batch: Batch) -> None:
        """Bring a batch into every table.

        Raises:
            AbandonedError: the batch was taken from this member.
            SinkStoppedError: ClickHouse does not take it, and trying again would not help.
        """
        pairs: dict[str, list[Pair]] = {target.table: [] for target in self._targets}
        for record in batch.records:
            content = content_of(
                record
            )  # let go of with its record: many of them at once would keep the collector busy
            for target in self._by_topic[record.topic]:
                pairs[target.table] += [(record, row) for row in target.rows_of(record, content)]
        for target in self._targets:
            if found := pairs.pop(target.table):
                self._write_table(batch, target, found)
                self._on_step(f"inserted {target.table}")

    def _write_table(self, batch: Batch, target: Target, pairs: list[Pair]) -> None:
        sure, refreshed, pause = batch.fresh, False, FIRST_PAUSE_SECONDS
        while True:
            if batch.abandoned.is_set():
                raise AbandonedError
            try:
                self._attempt(batch, target, pairs, sure=sure)
                return
            except Exception as error:
                failure = failure_of(error)
                if failure is Failure.SCHEMA and not refreshed:
                    self._types.pop(target.table, None)
                    refreshed = True
                elif failure is not Failure.TRANSIENT:
                    raise SinkStoppedError(
                        f"ClickHouse did not take {len(pairs)} rows of {self._name(target)} ({failure.value}): "
                        f"{_said(error)}"
                    ) from error
                log.warning("insert, trying again", rows=len(pairs), failure=failure.value, error=_said(error))
                self._metrics.failed(failure)
            sure = False
            if batch.abandoned.wait(pause):
                raise AbandonedError
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _attempt(self, batch: Batch, target: Target, pairs: list[Pair], *, sure: bool) -> None:
        """``sure``: nobody has tried before."""
        plan = batch.pending.plan
        token = plan.token(self._sink, self._name(target), self._cluster)
        if sure:
            self._insert(target, pairs, token)
            return
        expected = frozenset((record.topic, record.offset) for record, _ in pairs)
        age = time.time() - plan.at_ms / 1000

        def decide(present: frozenset[Place] | None) -> Decision:
            return recover(batch.pending, expected, present, age_seconds=age, safe_seconds=self._safe_seconds)

        decision = decide(None)
        if decision.action is Action.COUNT:
            self._metrics.reconciled()
            decision = decide(self._present(batch, target))
            log.warning(
                "batch reconciled", lane=plan.lane, age_seconds=round(age, 1), action=decision.action.value,
                missing=len(decision.missing), of=len(expected),
            )  # fmt: skip
        if decision.views_in_doubt:
            self._metrics.views_in_doubt()
            log.warning("materialized views may lack a batch: rebuild them", table=target.table, lane=plan.lane)
        if decision.action is Action.INSERT:
            self._insert(target, pairs, token)
        elif decision.action is Action.INSERT_MISSING:
            missing = [pair for pair in pairs if (pair[0].topic, pair[0].offset) in decision.missing]
            self._insert(target, missing, derived_token(token, decision.missing))

    def _present(self, batch: Batch, target: Target) -> frozenset[Place]:
        parts = batch.pending.plan.parts
        where = " OR ".join(
            f"({TOPIC} = {{t{n}:String}} AND {OFFSET} BETWEEN {part.first} AND {part.last})"
            for n, part in enumerate(parts)
        )
        found = self._client.query(
            f"SELECT DISTINCT {TOPIC}, {OFFSET} FROM {self._name(target)}"  # noqa: S608  # names and numbers of ours
            f" WHERE {PARTITION} = {batch.pending.plan.lane} AND ({where})",
            parameters={f"t{n}": part.topic for n, part in enumerate(parts)},
        )
        return frozenset((str(topic), int(offset)) for topic, offset in found.result_rows)

    def _insert(self, target: Target, pairs: Sequence[Pair], token: str) -> None:
        """Insert; rows that the table refuses are found by halves, each under a token of its own, which the same plan
        gives again."""
        try:
            self._send(target, [row for _, row in pairs], token)
        except Exception as error:
            if failure_of(error) is not Failure.POISON:
                raise
            if len(pairs) > 1:
                middle = len(pairs) // 2
                self._insert(target, pairs[:middle], f"{token}:l")
                self._insert(target, pairs[middle:], f"{token}:r")
                return
            record = pairs[0][0]
            log.error(
                "row refused",
                table=target.table,
                error=_said(error),
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )
            self._metrics.refused()
            row = target.refused(record)
            if row is None:  # its event is in lead_events, which says that it was there
                return
            if row == pairs[0][1]:
                raise SinkStoppedError(f"{self._name(target)} refuses even what stands in for a row") from error
            self._insert(target, [(record, row)], f"{token}:refused")

    def _send(self, target: Target, rows: Sequence[Row], token: str) -> None:
        name = self._name(target)
        types = self._types.get(target.table)
        if types is None:
            types = self._client.create_insert_context(name, list(target.columns)).column_types
            self._types[target.table] = types
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
        if target.only:
            statement = _filtered(target, name, [column.name for column in types], self._database)
            data = "\n".join(json.dumps(dict(zip(target.columns, row, strict=True)), default=str) for row in rows)
            self._client.raw_insert("", insert_block=f"{statement}\n{data}\n", settings=settings)
            return
        self._client.insert(
            name,
            list(zip(*rows, strict=True)),
            column_names=list(target.columns),
            column_types=types,
            column_oriented=True,
            settings=settings,
        )

    def _name(self, target: Target) -> str:
        return f"{self._database}.{target.table}"


def _said(error: Exception) -> str:
    """What went wrong, without ClickHouse's words: they quote the row that it refuses, and that may be a contact."""
    names = _ERROR_NAME.findall(str(error))
    code = getattr(error, "code", None)
    if code is None:
        return str(error)[:200] if isinstance(error, OperationalError) else type(error).__name__
    return f"code {code}, {names[-1]}" if names else f"code {code}"


def _filtered(target: Target, name: str, types: Sequence[str], database: str) -> str:
    """An insert of those rows that meet the target's condition when it is made."""
    columns = ", ".join(f"`{column}`" for column in target.columns)
    structure = ", ".join(f"`{column}` {of}" for column, of in zip(target.columns, types, strict=True))
    structure = structure.replace("'", "\\'")
    return (
        f"INSERT INTO {name} ({columns}) SELECT {columns} FROM input('{structure}')"  # noqa: S608  # names of ours
        f" WHERE {target.only.format(database=database)}"
        " SETTINGS max_threads = 1, date_time_input_format = 'best_effort' FORMAT JSONEachRow"
    )
