"""Batches into tables: each insert with its token, tried again or decided anew for as long as the batch is ours."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError
from confluent_kafka import KafkaError, KafkaException

from schemas.record import KafkaRecord, Record
from warehouse.quoting import quote
from warehouse.sinking.abandoned import AbandonedError
from warehouse.sinking.failures import Failure, failure_of
from warehouse.sinking.intake import Batch
from warehouse.sinking.metrics import SinkMetrics
from warehouse.sinking.plans import Part, Pending, Plan
from warehouse.sinking.recovery import Action, Decision, Place, derived_token, recover
from warehouse.sinking.sunk_topics import SunkTopics
from warehouse.tables.body import REFUSED, fault_of
from warehouse.tables.statement import statement_of
from warehouse.tables.table import OFFSET, PARTITION, PLACE, TOPIC, Entry, Table

log = structlog.get_logger(__name__)

INSERT_SETTINGS: Final = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # No limit of partitions (months): a producer may write any timestamp, and a batch once refused would stay refused.
    "max_partitions_per_insert_block": 0,
}
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
ARRIVAL_SECONDS: Final = 1.0
"""How long ClickHouse may take to begin an insert that has reached it."""
ENDED_POLL_SECONDS: Final = 0.1
_ERROR_NAME: Final = re.compile(r"\(([A-Z][A-Z_]{3,})\)")


class SinkStoppedError(Exception):
    """The sink cannot go on; nothing of what it holds is committed. The message says what to do."""


class UnreadError(Exception):
    """ClickHouse cannot read all of a batch, and nobody has looked at what it holds yet."""


@dataclass(slots=True)
class _Work:
    """A batch on its way, with what other members have of it. ``alone``: no insert of it is under way. ``refused`` are
    records that a table did not take. ``read``: the values of its ``entries`` were looked at here, not only by
    ClickHouse."""

    pending: Pending
    records: tuple[KafkaRecord, ...]
    abandoned: threading.Event
    fresh: bool
    alone: bool = False
    refused: dict[Place, Record] = field(default_factory=dict)
    read: bool = field(init=False)
    entries: list[Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.look(thoroughly=not self.fresh)

    def look(self, *, thoroughly: bool) -> None:
        """Find the records that cannot be read. ``thoroughly``: by what they hold, which ClickHouse reads otherwise."""
        self.read = thoroughly
        self.entries = [(record, fault_of(record, thoroughly=thoroughly)) for record in self.records]

    @property
    def plan(self) -> Plan:
        return self.pending.plan


class Writer:
    """Inserts batches. Several threads may, each another batch."""

    def __init__(
        self,
        client: Client,
        database: str,
        tables: Sequence[Table],
        *,
        sink: str,
        cluster: str,
        safe_seconds: float,
        metrics: SinkMetrics,
        on_step: Callable[[str], None],
        others: Callable[[Iterable[Part], threading.Event], list[KafkaRecord] | None],
    ) -> None:
        """``others`` reads the records of parts that other members have; None where some are gone."""
        self._client, self._database, self._tables = client, database, tables
        self._sink, self._cluster, self._safe_seconds = sink, cluster, safe_seconds
        self._metrics, self._on_step, self._others = metrics, on_step, others
        self._topics = SunkTopics(client, database)
        self._doubted: set[str] = set()

    def prepare(self) -> None:
        """Look whether the tables are there.

        Raises:
            SinkStoppedError: a table is not, or has other columns.
        """
        for table in self._tables:
            names = ", ".join([*table.names, *PLACE])
            try:
                self._client.query(f"SELECT {names} FROM {self._name(table)} LIMIT 0")  # noqa: S608  # names of ours
            except Error as error:
                raise SinkStoppedError(
                    f"no table {self._name(table)} as it should be: run `leadline up` first; {str(error)[:300]}"
                ) from error

    def learn(self, topic_ids: Mapping[str, str]) -> None:
        """Note the topics' ids, before there is any row of theirs: :mod:`warehouse.sinking.sunk_topics`."""
        self._topics.learn(topic_ids)

    def highest(self, topic: str, topic_id: str, partition: int) -> int | None:
        """The highest offset of a partition in the first table that its topic goes to, None when there is none."""
        name = self._name(next(table for table in self._tables if topic in table.topics))
        found = self._client.query(
            f"SELECT max({OFFSET}), count() FROM {name}"  # noqa: S608  # names of ours
            f" WHERE {TOPIC} = {{topic:String}} AND {PARTITION} = {{p:UInt32}}"
            f" AND ingested_at >= {self._topics.since(topic, topic_id)}",
            parameters={"topic": topic, "p": partition},
        ).result_rows[0]
        return int(found[0]) if found[1] else None

    def write(self, batch: Batch) -> None:
        """Bring a batch into every table; the last one tells of what others have refused.

        ClickHouse reads what the records hold. Where it cannot, or may have tried before, they are read here too, so
        that those that nobody can read are told as what they are, in every table alike.

        Raises:
            AbandonedError: the batch was taken from this member.
            SinkStoppedError: ClickHouse does not take it, and trying again would not help.
        """
        work = self._gather(batch)
        for table in self._tables:
            try:
                self._write_table(work, table)
            except UnreadError:
                work.look(thoroughly=True)
                self._write_table(work, table)

    def doubt(self, batch: str) -> None:
        """Say, once, that materialized views may lack a batch."""
        if batch not in self._doubted:
            self._doubted.add(batch)
            self._metrics.views_in_doubt()
            log.warning("materialized views may lack a batch: rebuild them", batch=batch)

    def _gather(self, batch: Batch) -> _Work:
        pending, records = batch.pending, batch.records
        if pending.elsewhere:
            others = self._read_others(batch)
            if others is None:
                pending = pending.remains()
            else:
                records = tuple(sorted((*records, *others), key=_place))
        if not pending.whole and pending.awaits is None:  # and what others have of it nobody completes
            self.doubt(pending.plan.batch)
        return _Work(pending, records, batch.abandoned, batch.fresh)

    def _read_others(self, batch: Batch) -> list[KafkaRecord] | None:
        pause, since = FIRST_PAUSE_SECONDS, time.monotonic()
        while not batch.abandoned.is_set():
            try:
                return self._others(batch.pending.elsewhere, batch.abandoned)
            except KafkaException as error:
                cut_back = error.args[0].code() == KafkaError._PARTITION_EOF  # noqa: SLF001  # its public name
                if cut_back and time.monotonic() - since > self._safe_seconds:
                    return None  # a log that ends there for so long has lost its end
                log.warning("a batch's records in others' partitions, trying again", error=str(error)[:200])
                self._metrics.failed(Failure.TRANSIENT)
            batch.abandoned.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        raise AbandonedError

    def _write_table(self, work: _Work, table: Table) -> None:
        entries = table.entries(work.entries) + table.stand_ins(work.refused.values())
        if not entries:
            return
        sure, again, pause = work.fresh, False, FIRST_PAUSE_SECONDS
        while True:
            if work.abandoned.is_set():
                raise AbandonedError
            try:
                self._attempt(work, table, entries, sure=sure)
                self._on_step(f"inserted {table.name}")
                return
            except (AbandonedError, UnreadError):
                raise
            except Exception as error:
                failure = failure_of(error)
                if failure is Failure.SCHEMA and not again:
                    again = True
                elif failure is not Failure.TRANSIENT:
                    raise SinkStoppedError(
                        f"ClickHouse did not take {len(entries)} records for {self._name(table)} ({failure.value}): "
                        f"{_said(error)}"
                    ) from error
                log.warning("insert, trying again", records=len(entries), failure=failure.value, error=_said(error))
                self._metrics.failed(failure)
            sure = work.alone = False
            if work.abandoned.wait(pause):
                raise AbandonedError
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _attempt(self, work: _Work, table: Table, entries: list[Entry], *, sure: bool) -> None:
        """``sure``: nobody has tried before."""
        token = work.plan.token(self._sink, self._name(table), self._cluster)
        if sure:
            self._insert(work, table, entries, token)
            return
        expected = frozenset(_place(record) for record, _ in entries)
        age = time.time() - work.plan.at_ms / 1000

        def decide(present: frozenset[Place] | None) -> Decision:
            return recover(work.pending, expected, present, age_seconds=age, safe_seconds=self._safe_seconds)

        decision = decide(None)
        if decision.action is Action.COUNT:
            self._metrics.reconciled()
            self._await_end(work)
            decision = decide(self._present(work.plan, table))
            log.warning(
                "batch reconciled", table=table.name, age_seconds=round(age, 1), action=decision.action.value,
                missing=len(decision.missing), of=len(expected),
            )  # fmt: skip
        if decision.views_in_doubt:
            self.doubt(work.plan.batch)
        if decision.action is Action.INSERT:
            self._insert(work, table, entries, token)
        elif decision.action is Action.INSERT_MISSING:
            missing = [entry for entry in entries if _place(entry[0]) in decision.missing]
            self._insert(work, table, missing, derived_token(token, decision.missing))

    def _await_end(self, work: _Work) -> None:
        """Wait until no insert of this batch is under way: of another member, or of this one, given up. What is counted
        before that may come after all, under a token that is not ours."""
        if work.alone:
            return
        names = f"Settings['log_comment'] = {quote(work.plan.batch)} AND query_kind = 'Insert'"
        self._client.query("SELECT 1")  # it answers, so what had reached it while it did not begins now
        pause = ARRIVAL_SECONDS
        while True:
            if work.abandoned.wait(pause) or work.abandoned.is_set():
                raise AbandonedError
            pause = ENDED_POLL_SECONDS
            if not self._client.query(f"SELECT count() FROM system.processes WHERE {names}").result_rows[0][0]:  # noqa: S608
                work.alone = True
                return

    def _present(self, plan: Plan, table: Table) -> frozenset[Place]:
        where = " OR ".join(
            f"({TOPIC} = {quote(part.topic)} AND {PARTITION} = {part.partition}"
            f" AND {OFFSET} BETWEEN {part.first} AND {part.last}"
            f" AND ingested_at >= {self._topics.since(part.topic, part.topic_id)})"
            for part in plan.parts
            if part.topic in table.topics
        )
        found = self._client.query(
            f"SELECT DISTINCT {', '.join(PLACE)} FROM {self._name(table)} WHERE {where}"  # noqa: S608  # as above
        )
        return frozenset((str(topic), int(partition), int(offset)) for topic, partition, offset in found.result_rows)

    def _insert(self, work: _Work, table: Table, entries: Sequence[Entry], token: str) -> None:
        """Insert; records that the table refuses are found by halves, each under a token of its own, which the same
        plan gives again."""
        try:
            self._send(work, table, entries, token)
        except Exception as error:
            if failure_of(error) is not Failure.POISON:
                raise
            if not work.read:
                raise UnreadError from error
            if len(entries) > 1:
                middle = len(entries) // 2
                self._insert(work, table, entries[:middle], f"{token}:l")
                self._insert(work, table, entries[middle:], f"{token}:r")
                return
            record, reason = entries[0]
            if reason == REFUSED:
                raise SinkStoppedError(f"{self._name(table)} refuses even what stands in for a row") from error
            log.error(
                "row refused",
                table=table.name,
                error=_said(error),
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )
            self._metrics.refused()
            work.refused[_place(record)] = record
            if instead := table.entries([(record, REFUSED)]):
                self._insert(work, table, instead, f"{token}:refused")

    def _send(self, work: _Work, table: Table, entries: Sequence[Entry], token: str) -> None:
        rows = table.rows(entries)
        statement = statement_of(table, tuple(sorted({slot for _, _, _, slot, _ in rows})))
        block = statement.sql(self._database).encode() + statement.data(rows)
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token, "log_comment": work.plan.batch}
        if work.abandoned.is_set():  # as late as can be: another member may be at it
            raise AbandonedError
        self._client.raw_insert("", insert_block=block, settings=settings)

    def _name(self, table: Table) -> str:
        return f"{self._database}.{table.name}"


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset


def _said(error: Exception) -> str:
    """What went wrong, without ClickHouse's words: they quote the row that it refuses, and that may be a contact."""
    names = _ERROR_NAME.findall(str(error))
    code = getattr(error, "code", None)
    if code is None:
        return str(error)[:200] if isinstance(error, OperationalError) else type(error).__name__
    return f"code {code}, {names[-1]}" if names else f"code {code}"
