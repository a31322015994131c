"""Crash histories of the whole pipeline in memory: what must hold does, and what is broken on purpose is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kit.builders import context
from kit.histories import again, tell_all
from kit.history import GEORGIA, History
from kit.history_checks import check

from connectors.outbound.contract import Answer
from schemas import topics
from schemas.events import Event, Offer, Outcome
from schemas.record import KafkaRecord
from streams.changelog import Entry, Restored, entries_of
from streams.dedup.stage import Dedup
from streams.delivery import counters, ledger
from streams.delivery import stage as delivery_stage
from streams.delivery.ledger import Status
from streams.delivery.stage import DeliveryStage, Post
from streams.lane import Lane, Step
from streams.leases import LEASES
from streams.memory.faults import Point
from streams.memory.log import FencedError, MemoryLog
from streams.memory.worker import MemoryWorker
from streams.position import Position
from streams.routing.stage import Routing
from streams.stage import Context, Guarantee, Stage
from streams.tables import Tables
from streams.topology import PIPELINE

HISTORIES = int(os.environ.get("LEADLINE_TEST_HISTORIES", "1000"))
ENOUGH = 600
"""Histories within which whatever is broken must show."""
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.timeout(600)
def test_every_history_comes_to_the_ends_that_it_must() -> None:
    tally = tell_all(HISTORIES, workers=2)
    told = "\n".join(f"{failure}\nhave it again: {again(seed)}" for seed, failure in sorted(tally.failures.items())[:3])
    assert not tally.failures, (
        f"{len(tally.failures)} of {tally.histories} failed, {sorted(tally.failures)[:20]}\n{told}"
    )
    assert not tally.missing, f"never happened: {tally.missing}\n{tally}"


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_a_history(seed: int) -> None:
    histories = [History(seed).run() for _ in range(2)]
    assert histories[0].simulation.trace == histories[1].simulation.trace
    assert histories[0].fingerprint() == histories[1].fingerprint() != History(seed + 1).run().fingerprint()


def test_a_seed_is_the_same_history_in_another_process() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-m", "kit.histories", "--seed", "77", "--trace"],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": "tests", "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert History(77).run().fingerprint() in told[0]


# What is broken on purpose. Each is a rule that the engine or a stage keeps; without it, the checks must fail.


class Unfenced(MemoryLog):
    """A former owner may go on writing transactions."""

    def check_epoch(self, transactional_id: str, epoch: int) -> None:
        return


class Uncommitted(MemoryLog):
    """Readers see open transactions."""

    def read(self, topic: str, partition: int, offset: int = 0, limit: int = sys.maxsize) -> Sequence[KafkaRecord]:
        slots = self._partition(topic, partition).slots
        return [record for record in slots[offset:] if record is not None][:limit]


class WithoutPositions(MemoryWorker):
    """The position is not part of the transaction."""

    def transaction_records(self, step: Step) -> Iterator[Entry]:
        return entries_of(step)


class WithoutRestore(MemoryWorker):
    """A successor knows nothing."""

    def open_lane(self, restored: Restored) -> Lane:
        return super().open_lane(Restored(Tables(), restored.positions))


class WithoutDone(MemoryWorker):
    """A successor knows how far all was done, but not what was done beyond."""

    def open_lane(self, restored: Restored) -> Lane:
        for topic, position in restored.positions.items():
            restored.positions[topic] = type(position)(position.next)
        return super().open_lane(restored)


class PositionFirst(MemoryWorker):
    """A deterministic stage's position advances before its outputs are acknowledged."""

    def write_acknowledged(self, step: Step) -> Iterator[Point]:
        for topic, position in step.positions.items():
            self.log.advance(self.group, topic, self.partition, position.next, self._generation)
        yield from super().write_acknowledged(step)


class EffectFirst(MemoryWorker):
    """Effects start before their intents are durable."""

    def write_transaction(self, step: Step) -> Iterator[Point]:
        if step.intents:
            self.perform(self, step.intents)
            step.intents = []
        yield from super().write_transaction(step)


class LateChangelog(MemoryWorker):
    """A deterministic stage's worker does not mind that it stood still."""

    def check_awake(self) -> None:
        return


class WithoutLeases(MemoryWorker):
    """A successor decides again by the release that is in force when it comes."""

    def open_lane(self, restored: Restored) -> Lane:
        for spec in self.stage.reads:
            del restored.tables[LEASES][f"{spec.name}@{spec.name}"]
        restored.tables.commit()
        return super().open_lane(restored)


class LeaseWithOutputs(MemoryWorker):
    """What a lease is for may be written before the lease is."""

    def _next_step(self, lane: Lane) -> Step | None:
        step = super()._next_step(lane)
        if step is not None and not step.outputs and any(change.table is LEASES for change in step.changes):
            lane.commit(step)
            return super()._next_step(lane) or step
        return step


class DedupOfNow(Dedup):
    """A lead is judged by the release of now, though validation may have written it twice."""

    def release_of(self, arrival: Event) -> str | None:
        return None


class Changing(History):
    """The configuration changes while leads come."""

    changes = 1.0


class RoutingAtLeastOnce(Routing):
    """Decisions are written before the position, not with it."""

    guarantee = Guarantee.DETERMINISTIC
    tick_seconds = None


class DeliveryAtLeastOnce(DeliveryStage):
    """Outcomes are written before the position, not with it."""

    guarantee = Guarantee.DETERMINISTIC
    tick_seconds = None


class SilenceIsNo(DeliveryStage):
    """A buyer that does not answer has not taken the lead."""

    def unknown(self, effect: Post) -> Answer:
        return Answer(Outcome.ERROR)


class ReservationsFail(DeliveryStage):
    """What a crash left under way is taken for failed."""

    def _decide(self, offer: Offer, tables: Tables, context: Context) -> ledger.Entry | Post:
        key = ledger.key_of(offer)
        entry = tables[ledger.LEDGER].get(key)
        if entry is not None and entry.status is Status.RESERVED:
            counters.write(tables, key, entry.model_copy(update={"status": Status.ERROR}))
        return super()._decide(offer, tables, context)


class Returning(History):
    """One person's leads over days, all of a backlog."""

    kinds = (GEORGIA[:1],)
    backlog = 1.0


def found_in(histories: Iterator[History]) -> str | None:
    """What the checks say of the first history that they do not let pass."""
    for history in histories:
        try:
            history.run()
            check(history)
        except FencedError:
            raise
        except (AssertionError, KeyError, RuntimeError) as error:
            return f"seed {history.seed}: {error}"
    return None


def broken(**instead: Any) -> Iterator[History]:
    return (History(seed, **instead) for seed in range(ENOUGH))


def with_stage(stage: Stage[Any]) -> list[Stage[Any]]:
    return [stage if stage.name == other.name else other for other in PIPELINE]


@pytest.mark.parametrize("log", [Unfenced, Uncommitted])
def test_a_log_that_is_broken_is_found(log: type[MemoryLog]) -> None:
    assert found_in(broken(log=log))


@pytest.mark.parametrize(
    "worker",
    [WithoutPositions, WithoutRestore, WithoutDone, PositionFirst, EffectFirst],
)
def test_a_worker_that_is_broken_is_found(worker: type[MemoryWorker]) -> None:
    assert found_in(broken(worker=worker))


def test_a_changelog_that_is_written_late_is_found() -> None:
    """Why a deterministic stage's worker must not write after it stood still: the entry of a person who came back would
    be as it was before that."""
    assert found_in(Returning(seed, worker=LateChangelog) for seed in range(ENOUGH))
    assert not found_in(Returning(seed) for seed in range(ENOUGH // 4))


@pytest.mark.parametrize("worker", [WithoutLeases, LeaseWithOutputs])
def test_a_deterministic_stage_that_forgets_its_release_is_found(worker: type[MemoryWorker]) -> None:
    assert found_in(Changing(seed, worker=worker) for seed in range(ENOUGH))
    assert not found_in(Changing(seed) for seed in range(ENOUGH // 2))


def test_a_stage_that_judges_a_repeat_by_another_release_is_found() -> None:
    assert found_in(Changing(seed, stages=with_stage(DedupOfNow())) for seed in range(2 * ENOUGH))


@pytest.mark.parametrize("stage", [RoutingAtLeastOnce, DeliveryAtLeastOnce, SilenceIsNo, ReservationsFail])
def test_a_stage_that_is_broken_is_found(stage: type[Stage[Any]]) -> None:
    assert found_in(broken(stages=with_stage(stage())))


def test_an_error_that_counts_after_a_lost_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_stage, "_status", lambda post, answer: Status(answer.outcome.value))
    assert found_in(broken())


def test_a_cap_that_forgets_reservations_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "COUNTED", frozenset({Status.ACCEPTED}))
    assert found_in(broken())


def test_records_that_were_all_done_before_a_restart_are_passed_over() -> None:
    lane = Lane(DeliveryStage(), Tables(), {topics.OFFERS.name: Position(1, ((2, 4), (5, 6)))})
    for offset in (2, 3):  # 1 is a marker
        lane.put([KafkaRecord(topics.OFFERS.name, 0, offset, 0, None, b"")])
    step = lane.step(context())
    assert step is not None
    assert (step.records, step.positions) == (0, {topics.OFFERS.name: Position(4, ((5, 6),))})
    lane.commit(step)
    assert (lane.next(topics.OFFERS.name), lane.step(context())) == (4, None)
