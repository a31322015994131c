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
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from connectors.kafka.partition_reader import Batch, PartitionReader, Place
from schemas.record import KafkaRecord
from streams.engine.arrivals import Arrivals, Slice

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """The value of a message: records of a partition wait. ``cut`` takes the slice, which is empty if they are void."""

    cut: Callable[[], Slice]


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
        self._room = threading.Event()
        self._arrival = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        self._arrivals = Arrivals({})
        self._announced: set[TP] = set()
        self._done: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End what is in flight, commit, and forget the rest."""
        await self.before_revoke(revoked)
        await super().on_partitions_revoked(revoked)
        self._forget()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Restore, then let records flow."""
        self._forget()
        await self._thread.fetch_nothing(assigned)
        await self.before_flow(assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to where the lanes are, else to the committed offsets."""
        await self.end_reading()
        await super().perform_seek()
        offsets: dict[Place, int | None] = {}
        for tp in self.assignment():
            following = self.next_of(tp)
            offsets[tp] = self._committed_offset.get(tp) if following is None else following
        self._arrivals = Arrivals(offsets)
        self._done = {TP(*place): offset for place, offset in offsets.items() if offset is not None}

    def resume_flow(self) -> None:
        """Let records flow: Faust calls it once an assignment is settled."""
        super().resume_flow()
        if offsets := self._arrivals.taken:
            self._read(Arrivals(offsets))
        self.in_flow()

    def stop_flow(self) -> None:
        """Let no more records flow."""
        super().stop_flow()
        self._halt()
        self._arrival.set()

    async def on_stop(self) -> None:
        """End the reading, too."""
        await self.end_reading()
        self._arrival.set()
        await super().on_stop()
        await asyncio.get_running_loop().run_in_executor(None, self._reader.close)

    async def end_reading(self) -> None:
        """Announce nothing more, and forget what has arrived, until the flow is resumed."""
        self._halt()
        await asyncio.get_running_loop().run_in_executor(None, self._reader.stop)

    def _halt(self) -> None:
        self._arrivals.clear()
        self._arrivals = Arrivals(self._arrivals.taken)  # what is still delivered is another's
        self._reader.halt()
        self._room.set()

    def _read(self, arrivals: Arrivals) -> None:
        self._arrivals, loop = arrivals, asyncio.get_running_loop()

        def deliver(batch: Batch) -> None:
            self._room.clear()
            if arrivals is self._arrivals:
                loop.call_soon_threadsafe(self._arrived, arrivals, batch)
                self._room.wait()

        def failed(error: Exception) -> None:
            loop.call_soon_threadsafe(self.fail, error)

        self._reader.start(arrivals.taken, deliver, failed)

    def _arrived(self, arrivals: Arrivals, batch: Batch) -> None:
        if arrivals is not self._arrivals:  # its assignment is gone, or is read anew
            return
        arrivals.add(batch)
        if batch.records:
            self._arrival.set()
        self._make_room()

    def _make_room(self) -> None:
        room = self._arrivals.make_room()
        self._reader.paused = self._arrivals.paused
        if room:
            self._room.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        # Faust's own starts two tasks a message, to notice a flow that stops while a stream is full. Ours never are.
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(timeout=1.0):
                    await self.callback(message)
        except asyncio.CancelledError:
            if not self.app.should_stop:  # Faust takes it for a crash
                raise

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Slices that are ready, in turn over the partitions."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust does
        if not self._arrivals.waiting - self._announced:
            self._arrival.clear()
            await self._arrival.wait()
        generation = self.app.consumer_generation_id
        for place in self._arrivals.waiting - self._announced:
            # Both change while this generator is suspended, which a type checker cannot know.
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            tp = TP(*place)
            if (first := self._arrivals.first(tp)) is not None:
                yield tp, self._announce(tp, first, generation)

    def _announce(self, tp: TP, first: KafkaRecord, generation: int) -> ConsumerMessage:
        self._announced.add(tp)
        announced = Announced(functools.partial(self._cut, self._arrivals, tp))
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000.0,
            0,
            None,
            None,
            cast(bytes, announced),  # the engine's schema hands it on as it is
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    def _cut(self, arrivals: Arrivals, tp: TP) -> Slice:
        found = arrivals.take(tp)
        if arrivals is self._arrivals and (arrivals.paused or not self._room.is_set()):
            self._make_room()
        return found

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
        if message.tp in self._arrivals.waiting:
            self._arrival.set()
        return True

    def advance(self, tp: TP, following: int) -> None:
        """Everything before an offset is done and durable."""
        if tp in self._arrivals.taken:
            self._done[tp] = following

    def behind(self, tp: TP) -> tuple[int, int | None]:
        """Records of a partition that are not done, and the timestamp of the oldest one that waits here."""
        done, first = self._new_offset(tp), self._arrivals.first(tp)
        records = 0 if done is None else max(self._arrivals.end(tp) - done, 0)
        return records, None if first is None else first.timestamp

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._done if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        done = self._done.get(tp)
        return None if done is None else self._arrivals.committable(tp, done)


class SliceTransport(driver.Transport):
    """Faust's Kafka transport with the slice consumer. The engine makes a subclass with its own callbacks."""

    Consumer = SliceConsumer
