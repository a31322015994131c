"""Faust's consumer with a batched data plane: one message per slice, an ordered run of records of one partition.

Faust's per-record path (a future, a task and an event each) is what bounds it to a few thousand records a second. Here
``getmany`` yields one message whose value is a list of records. At most one slice of a partition waits for its lane,
and what arrives meanwhile becomes the next, larger slice: slices adapt to the load.

Acknowledging a slice makes room for the next; what is committed is what the lane says is done, by :meth:`advance`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

log = structlog.get_logger(__name__)

FETCH_WAIT_MS: Final = 50
RECORDS_PER_SLICE: Final = 1000
BYTES_PER_SLICE: Final = 4 * 1024 * 1024
RECORDS_WAITING: Final = 4 * RECORDS_PER_SLICE
BYTES_WAITING: Final = 2 * BYTES_PER_SLICE
"""A partition with this much waiting is not fetched from: memory stays bounded when the stage is slow."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Assigns by range, so that equal partition numbers of a stage's topics meet in one worker.

    ``fetched`` is how far the last fetch has come in each partition, over transaction markers that hold no record;
    ``ends`` is where their committed records end.
    """

    fetched: Mapping[TP, int] = MappingProxyType({})
    ends: Mapping[TP, int] = MappingProxyType({})

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for these. A broker has one fetch of ours in flight, so an idle partition's long poll
        # would keep a busy one waiting.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        # Faust reads committed records only where it handles transactions itself, and those are broken.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer

    async def on_thread_stop(self) -> None:
        """Stop aiokafka's consumer, and with it the thread."""
        # A fetch that is cancelled while its connection closes ends aiokafka's stop, which has left the group by then;
        # passed on, it would end the thread without telling Faust, who waits a minute for it.
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(consumer, *args, **kwargs)
        subscription = consumer._subscription.subscription  # noqa: SLF001
        if subscription is not None and subscription.assignment is not None:
            states = {TP(*tp): subscription.assignment.state_value(tp) for tp in subscription.assignment.tps}
            self.fetched = {tp: state.position for tp, state in states.items() if state.has_valid_position}
            self.ends = {tp: state.lso for tp, state in states.items() if state.lso is not None}
        return records


class SliceConsumer(driver.Consumer):
    """See the module.

    Those without a body are the engine's: ``before_revoke`` brings what is in flight to rest, ``before_flow`` restores
    state before the first record of an assignment is delivered, ``in_flow`` knows that records flow, and ``next_of``
    knows the offset a partition is to be read from: the group's committed offset is a hint only.
    """

    before_revoke: Callable[[set[TP]], Awaitable[None]]
    before_flow: Callable[[set[TP], int], Awaitable[None]]
    in_flow: Callable[[], None]
    _thread: ConsumerThread
    next_of: Callable[[TP], int | None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forget_slices()
        self._room: asyncio.Future[None] | None = None
        self._fetch: asyncio.Task[Any] | None = None
        self._fetch_generation = 0

    def _forget_slices(self) -> None:
        self._waiting: dict[TP, list[Any]] = {}
        self._untaken: set[TP] = set()
        self._advanced: dict[TP, int] = {}
        self._passed: Mapping[TP, int] = {}
        self._expected: dict[TP, int] = {}
        self._gaps: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End what is in flight, commit, and forget the rest."""
        await self.before_revoke(revoked)
        await super().on_partitions_revoked(revoked)
        self._forget_slices()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Restore, then let records flow."""
        self._forget_slices()
        await self.before_flow(assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Slices that are ready, in turn over the partitions.

        The fetch goes on in the background: a partition whose lane is busy does not keep the others waiting.
        """
        generation = self.app.consumer_generation_id
        if self._fetch is None:
            self._fetch = asyncio.ensure_future(self._wait_next_records(timeout))
            self._fetch_generation = generation
        if not self._waiting.keys() - self._untaken:
            self._room = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._fetch, self._room}, return_when=asyncio.FIRST_COMPLETED)
        records = None
        if self._fetch.done():
            fetched, self._fetch = self._fetch, None
            if self._fetch_generation == generation:  # else it belongs to an assignment that is gone
                records, _ = fetched.result()
        if self.should_stop:
            return
        if not self.flow_active:
            self._waiting.clear()
            await self._seek_to_committed()
            return
        for tp, found in records.items() if records else ():
            if expected := await self._as_expected(tp, found):
                self._waiting.setdefault(tp, []).extend(expected)
        if records is not None:
            self._passed = self._thread.fetched
        for tp in list(self._waiting):
            if tp in self._untaken:
                continue
            # Both change while this generator is suspended, which a type checker cannot know.
            if not self.flow_active or self.app.consumer_generation_id != generation:  # type: ignore[redundant-expr]
                return
            yield tp, self._take_slice(tp, generation)

    async def on_stop(self) -> None:
        """End the fetch that is under way, too."""
        if self._fetch is not None:
            self._fetch.cancel()
        await super().on_stop()

    async def _seek_to_committed(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # as Faust does: the next assignment seeks again
            log.warning("seek failed while the flow was stopped", error=str(error))

    def resume_flow(self) -> None:
        """Let records flow: Faust calls it once an assignment is settled."""
        super().resume_flow()
        self.in_flow()

    async def perform_seek(self) -> None:
        """Go to where the lanes are, else to the committed offsets; what was fetched before is void."""
        self._waiting.clear()
        await super().perform_seek()
        self._expected = {tp: offset for tp, offset in self._committed_offset.items() if offset is not None}
        for tp in self.assignment():
            following = self.next_of(tp)
            if following is not None and following != self._expected.get(tp):
                await self._seek(tp, following)
                self._read_offset[tp] = self._expected[tp] = following
        self._advanced = dict(self._expected)

    async def _as_expected(self, tp: TP, records: list[Any]) -> list[Any]:
        """The records that may come next.

        A fetch that was in flight over a rebalance can deliver records from elsewhere. Those below the next offset are
        dropped; when the first is above it, seek back and fetch again, once: a gap that comes back the same is real
        (transaction markers and compaction leave such gaps).
        """
        expected = self._expected.get(tp)
        if expected is not None:
            records = [record for record in records if record.offset >= expected]
            if records and records[0].offset > expected and self._gaps.get(tp) != records[0].offset:
                self._gaps[tp] = records[0].offset
                log.info("gap in a fetch, fetching again", tp=str(tp), expected=expected, got=records[0].offset)
                await self._seek(tp, expected)
                return []
        if records:
            self._expected[tp] = records[-1].offset + 1
        return records

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        full = {tp for tp, records in self._waiting.items() if _is_full(records)}
        if full and active_partitions is not None:
            active_partitions = active_partitions - full
            if not active_partitions:
                return {}
        return await super()._getmany(active_partitions, timeout)

    def _take_slice(self, tp: TP, generation: int) -> ConsumerMessage:
        records = self._waiting[tp]
        count = _records_of_a_slice(records)
        chunk, rest = records[:count], records[count:]
        if rest:
            self._waiting[tp] = rest
        else:
            del self._waiting[tp]
        first = chunk[0]
        self._untaken.add(tp)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000.0,
            first.timestamp_type,
            None,
            None,
            cast(bytes, chunk),  # the slice itself; the engine's schema hands it on as it is
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Offsets inside a slice are no gap, and Faust's book-keeping would take the slice itself for acknowledged.
        return

    def ack(self, message: Message) -> bool:
        """A lane has begun a slice: the next may come."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        self._untaken.discard(message.tp)
        if self._waiting_for_ack is not None and not self._waiting_for_ack.done():
            self._waiting_for_ack.set_result(None)  # wakes whoever waits for the flow to be empty
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return True

    def advance(self, tp: TP, following: int) -> None:
        """Everything before an offset is done and durable."""
        if tp in self._expected:
            self._advanced[tp] = following

    def behind(self, tp: TP) -> tuple[int, int | None]:
        """Records of a partition that are not done, and the timestamp of the oldest one that waits here."""
        done = self._new_offset(tp)
        records = 0 if done is None else max(self._thread.ends.get(tp, done) - done, 0)
        return records, next((record.timestamp for record in self._waiting.get(tp, ())), None)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._advanced if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        following = self._advanced.get(tp)
        if following is not None and following == self._expected.get(tp) and tp not in self._waiting:
            # Behind the last record there may be transaction markers. Not to count as lag they are committed too.
            return max(following, self._passed.get(tp, 0))
        return following


def _is_full(records: list[Any]) -> bool:
    return len(records) >= RECORDS_WAITING or sum(len(record.value or b"") for record in records) >= BYTES_WAITING


def _records_of_a_slice(records: list[Any]) -> int:
    size = 0
    for count, record in enumerate(records[:RECORDS_PER_SLICE]):
        size += len(record.value or b"")
        if size > BYTES_PER_SLICE and count:
            return count
    return min(len(records), RECORDS_PER_SLICE)


class SliceTransport(driver.Transport):
    """Faust's Kafka transport with the slice consumer. The engine makes a subclass with its own callbacks."""

    Consumer = SliceConsumer
