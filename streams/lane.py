"""A lane: one partition number of a stage, as a state machine without a broker, a clock or a socket.

Records go in by :meth:`Lane.put` and results of effects by :meth:`Lane.give`. A runner asks for a :class:`Step`,
writes it, commits it, and then performs the effects it asks for; a step that is not written is never committed, and
its lane is thrown away. Both runners drive this very lane, so what holds in memory under ten thousand crash histories
holds on Kafka for all that is not Kafka's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final

from schemas.config.history import UnknownReleaseError
from schemas.reasons import Reason
from schemas.record import Record
from streams import execution
from streams.dead_letter_limit import DeadLetterLimit
from streams.execution import Intent, Item, Run
from streams.leases import LaneLeases, Lease, ReleaseGoneError
from streams.position import Position, Progress
from streams.stage import Context, EffectStage, Guarantee, Output, Stage
from streams.tables import Change, Tables

RECORDS_PER_STEP: Final = 1000
RECORDS_IN_HAND: Final = 2000
"""From the oldest record whose effects are not settled to the newest one begun: what one stuck effect may hold up."""

FINISHED: Final = -1
"""In place of a count of pending effects: an item is finished once, though it may come up more than once."""


@dataclass(slots=True)
class Step:
    """What is written together: table changes, outputs and positions. Then the intents are performed.

    ``tick_failed`` says that the stage's tick came up and raised.
    """

    at: datetime
    taken: Counter[str]
    changes: list[Change]
    outputs: list[Output]
    positions: dict[str, Position]
    intents: list[Intent]
    dead: list[Item]
    settled: int
    tick_failed: bool = False

    @property
    def records(self) -> int:
        """Records that were begun."""
        return self.taken.total()


@dataclass
class Lane:
    """See the module. ``positions`` are by topic, as the changelog has them; ``stage`` reads those topics.
    ``topic_ids`` and ``ends`` are as :class:`LaneLeases` takes them.

    Raises:
        TypeError: a deterministic stage ticks. What it made then would not follow from its input.
    """

    stage: Stage[Any]
    tables: Tables
    positions: Mapping[str, Position] = field(default_factory=dict)
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    records_in_hand: int = RECORDS_IN_HAND
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        topics = [spec.name for spec in self.stage.reads]
        deterministic = self.stage.guarantee is Guarantee.DETERMINISTIC
        if deterministic and self.stage.tick_seconds is not None:
            raise TypeError(f"stage {self.stage.name} ticks, and is not exactly once")
        self._leases = LaneLeases(self.tables, topics, self.topic_ids, self.ends) if deterministic else None
        # Most stages' arrivals name no release: to ask each of theirs would cost a tenth of the engine's time.
        self._naming = type(self.stage).release_of is not Stage.release_of
        self._ticked_at: datetime | None = None
        self._progress = {topic: Progress(self.positions.get(topic)) for topic in topics}
        self._queue: deque[Sequence[Record]] = deque()
        self._waiting = 0
        self._held: list[Item] = []
        self._busy: set[Any] = set()
        self._results: list[tuple[Intent, Any]] = []
        self._in_flight = 0
        self._effects = isinstance(self.stage, EffectStage)
        self._external = {spec.name for spec in self.stage.reads if spec.external}
        # Of results, apart: records that are decided well would hide that all of their results fail.
        self._results_limit = DeadLetterLimit(self.limit.run, self.limit.share, self.limit.window)

    @property
    def waiting(self) -> int:
        """Records that are not begun."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Effects asked for and not settled."""
        return self._in_flight

    @property
    def idle(self) -> bool:
        """Nothing is in hand and nothing waits."""
        return not (self._queue or self._held or self._in_flight)

    def next(self, topic: str) -> int | None:
        """The offset that a topic's group may commit: all before it is done and written."""
        return self._progress[topic].next

    def oldest_ms(self, topic: str) -> int | None:
        """The timestamp of the oldest record that is in hand or waits; None when there is none."""
        waiting = (records[0].timestamp for records in self._queue if records[0].topic == topic)
        found = [moment for moment in (self._progress[topic].oldest_ms, next(waiting, None)) if moment is not None]
        return min(found, default=None)

    def put(self, records: Sequence[Record]) -> None:
        """Records of one topic in the order of their offsets."""
        self._queue.append(records)
        self._waiting += len(records)

    def discard_waiting(self) -> None:
        """Forget what is not begun: another owner reads it, or this one again."""
        self._queue.clear()
        self._waiting = 0

    def give(self, intent: Intent, result: Any) -> None:
        """What came of an effect."""
        self._results.append((intent, result))

    def expect_tick(self) -> None:
        """Let the next step tick, whatever its time."""
        self._ticked_at = None

    def step(self, context: Context, most: int = RECORDS_PER_STEP) -> Step | None:
        """All that can be done now, with ``most`` new records; None when there is nothing.

        Raises:
            DeadLetterLimitError: nearly everything fails.
            ReleaseGoneError: records that a release has decided come again, and it cannot be had.
        """
        self.tables.expire(self.stage.tables, context.now)
        run, results = Run(), self._results
        finished: list[Item] = []
        if results:
            self._results = []
            assert isinstance(self.stage, EffectStage)  # noqa: S101  # only such a stage has effects
            execution.settle(self.stage, results, self.tables, run, context)
            dead = [n for n, (intent, _) in enumerate(results) if intent.item.dead is not None]
            self._results_limit.observe(len(results), dead)
            self._in_flight -= len(results)
            for intent, _ in results:
                intent.item.pending -= 1
        tick_failed = self._tick(run, context)
        taken, counts, lease = self._take(most, context)
        items = self._in_turn(execution.decode(self.stage, taken, run, context))
        if items and lease is not None:
            self._process_leased(items, lease, run, context)
        elif items:
            execution.process(self.stage, items, self.tables, run, context)
        changes = self.tables.changes()
        # Records that were all done before a restart are passed over too: the position moves, and more can come.
        if not (counts or items or results or run.outputs or tick_failed or self.tables.dirty):
            return None
        self._watch(taken, items, run)
        for intent in run.intents:
            intent.item.pending += 1
        self._in_flight += len(run.intents)
        if self._effects:
            for item in [*run.dead, *items, *(intent.item for intent, _ in results)]:
                if item.pending == 0:
                    item.pending = FINISHED
                    finished.append(item)
        return Step(
            at=context.now,
            taken=counts,
            changes=changes,
            outputs=run.outputs,
            positions=self._finish(finished, counts),
            intents=run.intents,
            dead=run.dead,
            settled=len(results),
            tick_failed=tick_failed,
        )

    def commit(self, step: Step, following: int | None = None) -> None:
        """The step is written; ``following`` is the offset behind its last changelog record, where that is known."""
        self.tables.commit(step.at, following, step.positions)
        if self._leases is not None:
            self._leases.commit()

    def _tick(self, run: Run, context: Context) -> bool:
        """Whether the stage's tick came up and failed."""
        seconds = self.stage.tick_seconds
        if seconds is None:
            return False
        last, self._ticked_at = self._ticked_at, context.now
        if last is not None and 0 <= (context.now - last).total_seconds() < seconds:
            self._ticked_at = last
            return False
        return not execution.tick(self.stage, self.tables, run, context)

    def _process_leased(self, items: Sequence[Item], lease: Lease, run: Run, context: Context) -> None:
        """Decide each item by the release that it names, else by the lease's."""
        try:
            leased = context.under(lease.release)
        except (UnknownReleaseError, ValueError) as error:
            raise ReleaseGoneError(
                f"stage {self.stage.name} has decided records by release {lease.release}, must decide them again by it,"
                f" and cannot have it: {error}. `leadline config history` lists the releases there are; put it in force"
                " once more from its file with `leadline config apply`, then the present one, and start this worker"
            ) from error
        if not self._naming:
            execution.process(self.stage, items, self.tables, run, leased)
            return
        named = ((self.stage.release_of(item.arrival) or lease.release, item) for item in items)
        for release, group in groupby(named, itemgetter(0)):
            try:
                under = context.under(release)
            except (UnknownReleaseError, ValueError):  # of a time before the topic, or of another version
                under = leased
            execution.process(self.stage, [item for _, item in group], self.tables, run, under)

    def _take(self, most: int, context: Context) -> tuple[list[Record], Counter[str], Lease | None]:
        """Records to begin, counted by topic, and the lease that they are under: one, where there are leases."""
        if self._effects:
            room = self.records_in_hand - sum(progress.span for progress in self._progress.values())
            if all(progress.idle for progress in self._progress.values()):
                room = max(room, 1)  # done before a restart, when more could be in hand: nothing else would make room
            most = min(most, room)
        taken: list[Record] = []
        counts: Counter[str] = Counter()
        lease: Lease | None = None
        while self._queue and len(taken) < most:
            records, room = self._queue.popleft(), most - len(taken)
            progress = self._progress[records[0].topic]
            if self._leases is not None:
                first = max(records[0].offset, progress.end)
                found = self._leases.take(records[0].topic, first, context.configuration.release)
                if found is None or (lease is not None and lease.release != found.release):
                    self._queue.appendleft(records)
                    break
                lease = found
                if records[-1].offset >= found.end:
                    room = min(room, bisect_left(records, found.end, key=attrgetter("offset")))
            if len(records) > room:
                self._queue.appendleft(records[room:])
                records = records[:room]
            self._waiting -= len(records)
            if self._effects:
                wanted: Sequence[Record] = [r for r in records if progress.admit(r.offset, r.timestamp)]
            else:
                wanted = progress.pass_over(records)
            taken += wanted
            counts[records[0].topic] += len(wanted)
        return taken, counts, lease

    def _in_turn(self, fresh: list[Item]) -> list[Item]:
        """The items whose turn it is: none whose order an earlier one holds, in flight or before it."""
        if not self._effects:
            return fresh
        ready, held = [], []
        for item in [*self._held, *fresh]:
            if item.order is None:
                ready.append(item)
            elif item.order in self._busy:
                held.append(item)
            else:
                self._busy.add(item.order)
                ready.append(item)
        self._held = held
        return ready

    def _finish(self, items: Sequence[Item], taken: Iterable[str]) -> dict[str, Position]:
        topics = set(taken)
        if self._effects:
            for item in items:
                topics.add(item.record.topic)
                self._progress[item.record.topic].finish(item.record.offset)
                if item.order is not None:
                    self._busy.discard(item.order)
        found = {topic: self._progress[topic].settle() for topic in topics}
        return {topic: position for topic, position in found.items() if position is not None}

    def _watch(self, taken: Sequence[Record], items: Sequence[Item], run: Run) -> None:
        decided = taken
        if self._effects:  # a record that waits for its turn counts when that comes
            fresh, held = {id(record) for record in taken}, {id(item.record) for item in self._held}
            earlier = [item.record for item in items if id(item.record) not in fresh]
            decided = [*earlier, *(record for record in taken if id(record) not in held)]
        if not decided:
            return
        # Undecodable bytes from outside are that sender's fault, not this stage's.
        faults = (i for i in run.dead if i.dead is Reason.STAGE_FAILED or i.record.topic not in self._external)
        dead = {id(item.record) for item in faults}
        self.limit.observe(len(decided), [n for n, record in enumerate(decided) if id(record) in dead] if dead else ())
