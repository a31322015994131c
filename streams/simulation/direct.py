"""The pipeline on objects: the same stages as on the log, without one.

Each stage has one lane, whose tables are in memory. A lead goes through all of them before the next one comes, at one
moment of the clock; what a stage emits is handed on as it is, neither encoded nor written. Where leads come one by one,
:class:`streams.memory.runner.MemoryRunner` makes the same events on one partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from schemas.config.release import Configuration
from schemas.events import Event
from schemas.messages import MODELS, Capacity
from schemas.reasons import Reason
from streams.simulation.kept_tables import KeptTables
from streams.stage import Arrival, Context, EffectStage, Output, Stage

NEVER: Final = datetime.max.replace(tzinfo=UTC)
EVENTS: Final = frozenset(model for model in MODELS if issubclass(model, Event))


@dataclass(frozen=True, slots=True)
class Dead:
    """A lead that went to ``dead-letters``; ``detail`` is the type of what a stage raised, or a rule."""

    lead_id: UUID
    run: int
    stage: str
    reason: Reason
    detail: str


@dataclass(slots=True)
class CapacityHint:
    """The campaigns that are at a cap, as routing knows them from the ``capacity`` topic: at once."""

    full: Mapping[str, str] = field(default_factory=dict)
    _told: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _until: datetime = NEVER

    def tell(self, capacity: Capacity) -> None:
        """Take in a record of the topic."""
        if capacity.full is not None:
            self._told[capacity.campaign] = (capacity.full, capacity.until or NEVER)
        elif self._told.pop(capacity.campaign, None) is None:
            return
        self._show()

    def at(self, now: datetime) -> Mapping[str, str]:
        """The campaigns whose cap's window has not ended, each with the reason; one object until that changes."""
        if now >= self._until:
            self._told = {campaign: told for campaign, told in self._told.items() if now < told[1]}
            self._show()
        return self.full

    def _show(self) -> None:
        full = {campaign: reason for campaign, (reason, _) in self._told.items()}
        self.full = self.full if full == self.full else full
        self._until = min((until for _, until in self._told.values()), default=NEVER)


@dataclass(frozen=True, slots=True)
class _Lane:
    stage: Stage[Any]
    tables: KeptTables


class DirectRunner:
    """Runs stages on leads, under one release at a time. ``perform`` carries an effect out; ``observe`` is given every
    event in the order in which they come about, and what is dead.

    Raises:
        UnusableReleaseError: a stage cannot work by the release.
    """

    def __init__(
        self,
        stages: Sequence[Stage[Any]],
        configuration: Configuration,
        secret: bytes,
        observe: Callable[[Event | Dead], None],
        perform: Callable[[Any], Any] | None = None,
        version: str = "simulated",
    ) -> None:
        self._secret, self._version = secret, version
        self._perform, self._observe = perform, observe
        self._lanes = [_Lane(stage, KeptTables()) for stage in stages]
        self._readers = {spec.name: lane for lane in self._lanes for spec in lane.stage.reads}
        self._ticking = [lane for lane in self._lanes if lane.stage.tick_seconds is not None]
        self._waiting: deque[tuple[_Lane, Any]] = deque()
        self._hint = CapacityHint()
        self.switch(configuration)

    def switch(self, configuration: Configuration) -> None:
        """Put another release in force.

        Raises:
            UnusableReleaseError: a stage cannot work by it.
        """
        for lane in self._lanes:
            lane.stage.prepare(configuration)
        self._configuration = configuration

    def put(self, topic: str, arrival: Arrival, now: datetime) -> None:
        """Take what a stage would read from a topic, and go on until nothing is left to do."""
        self._waiting.append((self._readers[topic], arrival))
        self._rest(self._context(now))

    def tick(self, now: datetime) -> None:
        """Let the stages that tick do so, and go on until nothing is left to do."""
        for lane in self._ticking:
            try:
                outputs = lane.stage.tick(lane.tables, self._context(now))
            except Exception:  # what is due stays due, as in a worker
                lane.tables.undo()
                continue
            lane.tables.keep()
            self._emit(outputs)
        self._rest(self._context(now))

    def _context(self, now: datetime) -> Context:
        return Context(now, self._configuration, self._secret, self._version, full=self._hint.at(now))

    def _rest(self, context: Context) -> None:
        waiting = self._waiting
        while waiting:
            lane, arrival = waiting.popleft()
            if context.full is not self._hint.full:
                context = self._context(context.now)
            try:
                self._step(lane, arrival, context)
            except Exception as error:  # as everywhere, a lead that makes a stage fail is dead and stops no other
                lane.tables.undo()
                failed = Dead(arrival.lead_id, arrival.run, lane.stage.name, Reason.STAGE_FAILED, type(error).__name__)
                self._observe(failed)

    def _step(self, lane: _Lane, arrival: Any, context: Context) -> None:
        stage, tables = lane.stage, lane.tables
        if not isinstance(stage, EffectStage):
            outputs = stage.process((arrival,), tables, context)
            tables.keep()
            self._emit(outputs)
            return
        assert self._perform is not None  # noqa: S101  # whoever runs such a stage brings it
        plan = stage.plan((arrival,), tables, context)
        tables.keep()
        self._emit(plan.outputs)
        effects = deque(plan.effects)
        while effects:
            _, effect = effects.popleft()
            plan = stage.settle(((effect, self._perform(effect)),), tables, context)
            tables.keep()
            self._emit(plan.outputs)
            effects += plan.effects

    def _emit(self, outputs: Sequence[Output]) -> None:
        for topic, _, value, _ in outputs:
            # Anything but an exact comparison asks pydantic's metaclass, which takes as long as the rest of this.
            if type(value) is Capacity:
                self._hint.tell(value)
            elif type(value) in EVENTS:
                self._observe(value)  # type: ignore[arg-type]  # these are all of them
                lane = self._readers.get(topic)
                if lane is not None:
                    self._waiting.append((lane, value))
