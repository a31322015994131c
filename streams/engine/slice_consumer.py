"""Faust's consumer with a batched data plane: one message per slice, an ordered run of records of one partition.

Faust's per-record path (a future, a task and an event each) is what bounds it to a few thousand records a second. Here
``getmany`` yields one message for a slice. Faust and aiokafka keep the group: membership, assignment and commits. Its
partitions are read by librdkafka, whose fetches cost the interpreter next to nothing. A slice is cut when its lane
takes it, from all that has arrived by then: slices adapt to the load.

Acknowledging a slice lets the next be announced; what is committed is what the lane says is done, by :meth:`advance`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from connectors.kafka.partition_reader import Batch, PartitionReader
from schemas.record import KafkaRecord

log = structlog.get_logger(__name__)

RECORDS_PER_SLICE: Final = 1000
BYTES_PER_SLICE: Final = 4 * 1024 * 1024
RECORDS_WAITING: Final = 4 * RECORDS_PER_SLICE
BYTES_WAITING: Final = 2 * BYTES_PER_SLICE
"""A partition with this much waiting is not read on: memory stays bounded when the stage is slow."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one partition in the order of their offsets. ``follows`` is the offset behind the slice before it,
    or where the reading began; None when that was the beginning of the log."""

    follows: int | None
    records: list[KafkaRecord]


@dataclass(frozen=True, slots=True)
class Announced:
    """The value of a message: records of a partition wait. ``cut`` takes the slice, which is empty if they are void."""

    cut: Callable[[], Slice]


@dataclass(slots=True)
class Waiting:
    """Records of a partition that have arrived and are in no slice."""

    records: list[KafkaRecord] = field(default_factory=list)
    size: int = 0

    @property
    def a_slice(self) -> bool:
        """A lane would have enough with them."""
        return len(self.records) >= RECORDS_PER_SLICE or self.size >= BYTES_PER_SLICE

    @property
    def full(self) -> bool:
        """No more should come."""
        return len(self.records) >= RECORDS_WAITING or self.size >= BYTES_WAITING

    def add(self, records: list[KafkaRecord]) -> None:
        """What has arrived behind them."""
        self.records += records
        self.size += _size(records)

    def take(self) -> list[KafkaRecord]:
        """The first of them, as many as one slice takes."""
        count = len(self.records)
        if count > RECORDS_PER_SLICE or self.size > BYTES_PER_SLICE:
            count = _records_of_a_slice(self.records)
        taken, self.records = self.records[:count], self.records[count:]
        self.size -= _size(taken)
        return taken


NOTHING: Final = Waiting()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Assigns by range, so that equal partition numbers of a stage's topics meet in one worker; fetches nothing."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)  # noqa: SLF001  # Faust has no setting for it
        # aiokafka lets a consumer leave the group that has not fetched for long. Ours is always fetching, elsewhere.
        consumer._subscription.fetch_context().__enter__()  # noqa: SLF001
        return consumer

    async def on_thread_stop(self) -> None:
        """Stop aiokafka's consumer, and with it the thread."""
        # A request that is cancelled while its connection closes ends aiokafka's stop, which has left the group by
        # then; passed on, it would end the thread without telling Faust, who waits a minute for it.
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    async def fetch_nothing(self, partitions: set[TP]) -> None:
        """Of an assignment that has just begun."""
        await self.call_thread(self._pause, partitions)

    async def _pause(self, partitions: set[TP]) -> None:
        consumer = self._ensure_consumer()
        consumer.pause(*(partitions & set(consumer.assignment())))


class SliceConsumer(driver.Consumer):
    """See the module.

    Those without a body are the engine's: ``before_revoke`` brings what is in flight to rest, ``before_flow`` restores
    state before the first record of an assignment is delivered, ``in_flow`` knows that records flow, ``next_of``
    knows the offset a partition is to be read from (the group's committed offset is a hint only), and ``fail`` ends the
    process.
    """

    bootstrap: str
    before_revoke: Callable[[set[TP]], Awaitable[None]]
    before_flow: Callable[[set[TP], int], Awaitable[None]]
    in_flow: Callable[[], None]
    next_of: Callable[[TP], int | None]
    fail: Callable[[BaseException], None]
    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = PartitionReader(self.bootstrap)
        self._reading = 0
        self._room = threading.Event()
        self._arrival = asyncio.Event()
        self._forget_slices()

    def _forget_slices(self) -> None:
        self._waiting: dict[TP, Waiting] = {}
        self._announced: set[TP] = set()
        self._advanced: dict[TP, int] = {}
        self._passed: dict[TP, int] = {}
        self._ends: dict[TP, int] = {}
        self._expected: dict[TP, int | None] = {}
        self._handed: dict[TP, int | None] = {}

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
        await self._thread.fetch_nothing(assigned)
        await self.before_flow(assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to where the lanes are, else to the committed offsets."""
        await self.end_reading()
        await super().perform_seek()
        for tp in self.assignment():
            following = self.next_of(tp)
            self._expected[tp] = self._committed_offset.get(tp) if following is None else following
        self._handed = dict(self._expected)
        self._advanced = {tp: offset for tp, offset in self._expected.items() if offset is not None}

    def resume_flow(self) -> None:
        """Let records flow: Faust calls it once an assignment is settled."""
        super().resume_flow()
        if self._handed:
            self._read_on()
        self.in_flow()

    def stop_flow(self) -> None:
        """Let no more records flow."""
        super().stop_flow()
        self._reading += 1
        self._room.set()
        self._reader.halt()
        self._arrival.set()

    async def on_stop(self) -> None:
        """End the reading, too."""
        await self.end_reading()
        self._arrival.set()
        await super().on_stop()
        await asyncio.get_running_loop().run_in_executor(None, self._reader.close)

    def _read_on(self) -> None:
        self._reading += 1
        loop, reading = asyncio.get_running_loop(), self._reading

        def deliver(batch: Batch) -> None:
            self._room.clear()
            if reading == self._reading:
                loop.call_soon_threadsafe(self._arrived, reading, batch)
                self._room.wait()

        def failed(error: Exception) -> None:
            loop.call_soon_threadsafe(self.fail, error)

        self._waiting.clear()
        self._expected = dict(self._handed)
        self._reader.start({(tp.topic, tp.partition): offset for tp, offset in self._handed.items()}, deliver, failed)

    async def end_reading(self) -> None:
        """Announce nothing more, and forget what has arrived, until the flow is resumed."""
        self._reading += 1
        self._room.set()
        await asyncio.get_running_loop().run_in_executor(None, self._reader.stop)
        self._waiting.clear()

    def _arrived(self, reading: int, batch: Batch) -> None:
        if reading != self._reading:  # its assignment is gone, or is read anew
            return
        for place, records in batch.records.items():
            tp = TP(*place)
            self._waiting.setdefault(tp, Waiting()).add(records)
            self._expected[tp] = records[-1].offset + 1
        self._passed.update((TP(*place), offset) for place, offset in batch.reached.items())
        self._ends.update((TP(*place), offset) for place, offset in batch.ends.items())
        if batch.records:
            self._arrival.set()
        self._make_room()

    def _make_room(self) -> None:
        """Hold the reader while a partition is full; but while others starve, leave out the full ones instead, which
        costs what was fetched of them ahead."""
        full = {(tp.topic, tp.partition) for tp, waiting in self._waiting.items() if waiting.full}
        starving = bool(full) and any(tp not in self._waiting for tp in self._expected)
        paused = {place for place in self._reader.paused if self._waiting.get(TP(*place), NOTHING).a_slice}
        self._reader.paused = frozenset(paused | full if starving else paused)
        if starving or not full:
            self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        # Faust's own starts two tasks a message, to notice a flow that stops while a stream is full. Ours never are.
        while not (self.should_stop or fetcher.should_stop):
            async for _, message in self.getmany(timeout=1.0):
                await self.callback(message)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Slices that are ready, in turn over the partitions."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust does
        if not self._waiting.keys() - self._announced:
            self._arrival.clear()
            await self._arrival.wait()
        generation = self.app.consumer_generation_id
        for tp in list(self._waiting):
            if tp in self._announced:
                continue
            # Both change while this generator is suspended, which a type checker cannot know.
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            yield tp, self._announce(tp, generation)

    def _cut(self, tp: TP, reading: int) -> Slice:
        waiting = self._waiting.get(tp)
        if waiting is None or reading != self._reading:
            return Slice(None, [])
        records = waiting.take()
        if not waiting.records:
            del self._waiting[tp]
        if self._reader.paused or not self._room.is_set():
            self._make_room()
        found = Slice(self._handed.get(tp), records)
        self._handed[tp] = records[-1].offset + 1
        return found

    def _announce(self, tp: TP, generation: int) -> ConsumerMessage:
        self._announced.add(tp)
        first = self._waiting[tp].records[0]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000.0,
            0,
            None,
            None,
            cast(bytes, Announced(functools.partial(self._cut, tp, self._reading))),  # the engine's schema hands it on
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust would miss aiokafka's fetches. What does not move shows in the lag."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Offsets inside a slice are no gap, and Faust's book-keeping would take the slice itself for acknowledged.
        return

    def ack(self, message: Message) -> bool:
        """A lane has begun a slice: the next may come."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        self._announced.discard(message.tp)
        if self._waiting_for_ack is not None and not self._waiting_for_ack.done():
            self._waiting_for_ack.set_result(None)  # wakes whoever waits for the flow to be empty
        if message.tp in self._waiting:
            self._arrival.set()
        return True

    def advance(self, tp: TP, following: int) -> None:
        """Everything before an offset is done and durable."""
        if tp in self._expected:
            self._advanced[tp] = following

    def behind(self, tp: TP) -> tuple[int, int | None]:
        """Records of a partition that are not done, and the timestamp of the oldest one that waits here."""
        done = self._new_offset(tp)
        waiting = self._waiting.get(tp)
        oldest = waiting.records[0].timestamp if waiting else None
        return 0 if done is None else max(self._ends.get(tp, done) - done, 0), oldest

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._advanced if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        following = self._advanced.get(tp)
        if following is not None and following == self._expected.get(tp) and tp not in self._waiting:
            # Behind the last record there may be transaction markers. Not to count as lag they are committed too.
            return max(following, self._passed.get(tp, 0))
        return following


def _size(records: list[KafkaRecord]) -> int:
    return sum(len(record.value or b"") for record in records)


def _records_of_a_slice(records: list[KafkaRecord]) -> int:
    size = 0
    for count, record in enumerate(records[:RECORDS_PER_SLICE]):
        size += len(record.value or b"")
        if size > BYTES_PER_SLICE and count:
            return count
    return min(len(records), RECORDS_PER_SLICE)


class SliceTransport(driver.Transport):
    """Faust's Kafka transport with the slice consumer. The engine makes a subclass with its own callbacks."""

    Consumer = SliceConsumer
