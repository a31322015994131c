"""A worker whose stage counts: the n-th record of a key makes the output n, so a repeat or a loss shows in the output.

``--stage counting`` decides alone; ``--stage effects`` performs an effect for every record before it counts it. The
idempotency key of an effect names the process that decided it: a record that was decided twice has two.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import os
import signal
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from leadline import logs
from schemas.config.release import Configuration
from schemas.record import Record
from schemas.settings import Settings
from schemas.topics import Key, TopicSpec
from streams.engine.worker import Engine, WorkerConfig
from streams.stage import Context, EffectStage, Guarantee, Output, Plan, Stage
from streams.tables import Tables, TableSpec

COUNTS: Final = TableSpec("counts", int)
INTENTS: Final = TableSpec("intents", str)

EFFECT_MILLISECONDS: Final = 40
"""What an effect takes at most. They differ, so that records are done out of order."""
FAILING_ONE_IN: Final = 200
"""So many effects fail after they were performed, the first time."""


class Kind(StrEnum):
    """Which stage a worker runs."""

    COUNTING = "counting"
    EFFECTS = "effects"


@dataclass(frozen=True)
class Counted:
    """An output's value: the record was the ``n``-th of its key for the stage, and the ``sent``-th for the producer.

    ``place`` is the record's partition and offset. ``decided`` is the idempotency key of its effect, and ``settled_by``
    the process that counted it; both are empty where there are no effects.
    """

    n: int
    sent: int
    place: tuple[int, int]
    decided: str = ""
    settled_by: str = ""

    def dump(self) -> bytes:
        """As it is in the topic."""
        return json.dumps([self.n, self.sent, self.place, self.decided, self.settled_by]).encode()

    @classmethod
    def load(cls, data: bytes) -> Counted:
        """Read back what :meth:`dump` wrote."""
        n, sent, place, decided, settled_by = json.loads(data)
        return cls(n, sent, (place[0], place[1]), decided, settled_by)


@dataclass(frozen=True, slots=True)
class Effect:
    """What is performed for a record under an idempotency key."""

    key: str
    sent: int
    place: tuple[int, int]
    decided: str
    attempt: int = 0


def _count(tables: Tables, key: str) -> int:
    counts = tables[COUNTS]
    n = (counts.get(key) or 0) + 1
    counts[key] = n
    return n


class Counting(Stage[Any]):
    """One output for each record: the how-manieth of its key it was."""

    tables = (COUNTS,)
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, source: str, output: str) -> None:
        self.name = name
        self.reads = (TopicSpec(source, Key.ANY, "numbers by key"),)
        self.writes = (TopicSpec(output, Key.ANY, "counts by key"),)

    def decode(self, record: Record) -> Record:
        """The record itself."""
        return record

    def process(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> list[Output]:
        """Count."""
        topic = self.writes[0].name
        outputs = []
        for record in arrivals:
            key = (record.key or b"").decode()
            counted = Counted(_count(tables, key), int(record.value or b""), (record.partition, record.offset))
            outputs.append(Output(topic, record.key, counted.dump()))
        return outputs


class CountingEffects(EffectStage[Any, Effect, bool]):
    """The same, with an effect for every record: its intent is stored under the record's place, and found there when
    the record comes again."""

    tables = (COUNTS, INTENTS)
    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, source: str, output: str) -> None:
        self.name = name
        self.reads = (TopicSpec(source, Key.ANY, "numbers by key"),)
        self.writes = (TopicSpec(output, Key.ANY, "counts by key"),)

    def decode(self, record: Record) -> Record:
        """The record itself."""
        return record

    def order(self, arrival: Record) -> bytes | None:
        """By key, so that a key's records are counted in their order."""
        return arrival.key

    def plan(self, arrivals: Sequence[Record], tables: Tables, context: Context) -> Plan[Effect]:
        """Store an intent for each record, unless one is there."""
        intents = tables[INTENTS]
        plan: Plan[Effect] = Plan()
        for record in arrivals:
            place = (record.partition, record.offset)
            decided = intents.get(_text(place))
            if decided is None:
                decided = intents[_text(place)] = f"{_text(place)}@{context.version}"
            key = (record.key or b"").decode()
            plan.effects.append((record, Effect(key, int(record.value or b""), place, decided)))
        return plan

    def settle(self, results: Sequence[tuple[Effect, bool]], tables: Tables, context: Context) -> Plan[Effect]:
        """Count what is performed; try again, under the same idempotency key, what may not be."""
        plan: Plan[Effect] = Plan()
        topic = self.writes[0].name
        for effect, performed in results:
            if not performed:
                plan.effects.append((effect, replace(effect, attempt=effect.attempt + 1)))
                continue
            del tables[INTENTS][_text(effect.place)]
            counted = Counted(_count(tables, effect.key), effect.sent, effect.place, effect.decided, context.version)
            plan.outputs.append(Output(topic, effect.key.encode(), counted.dump()))
        return plan

    def unknown(self, effect: Effect) -> bool:
        """Not known to be performed."""
        return False

    def limit_seconds(self, effect: Effect) -> float:
        """Shorter than a freeze: a worker that wakes finds its effects overdue."""
        return 4.0


class LineWriter:
    """Performs an effect: some milliseconds, then a line in a file that all workers append to."""

    def __init__(self, path: Path) -> None:
        # Without a buffer a line is one append, which neither another worker nor a kill can split.
        self._file = path.open("ab", buffering=0)

    async def __call__(self, effect: Effect) -> bool:
        """Perform it."""
        chance = zlib.crc32(effect.decided.encode())
        await asyncio.sleep(chance % EFFECT_MILLISECONDS / 1000)
        self._file.write(f"{_text(effect.place)} {effect.decided}\n".encode())
        if effect.attempt == 0 and chance % FAILING_ONE_IN == 0:
            raise ConnectionResetError("performed, and nobody heard")
        return True


def _text(place: tuple[int, int]) -> str:
    return f"{place[0]}-{place[1]}"


def main() -> None:
    """Count until told to stop."""
    parser = argparse.ArgumentParser()
    for option in ("bootstrap", "source", "output", "group"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--stage", type=Kind, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--session-seconds", type=float, required=True)
    parser.add_argument("--effects", type=Path, required=True)
    options = parser.parse_args()
    process = f"{options.data.name}.{os.getpid()}.{datetime.now(UTC).timestamp():.0f}"
    logs.configure(Settings(), process=process)
    stage = {Kind.COUNTING: Counting, Kind.EFFECTS: CountingEffects}[options.stage](
        options.group, options.source, options.output
    )
    configuration = Configuration(verticals=(), buyers=(), campaigns=())
    engine = Engine(
        stage,
        WorkerConfig(options.bootstrap, options.group, options.data, options.partitions, options.session_seconds),
        context=lambda: Context(datetime.now(UTC), configuration, b"", process),
        make_performer=lambda: LineWriter(options.effects),
        on_ready=lambda: (options.data / "ready").write_text(str(os.getpid())),
    )
    signal.signal(signal.SIGQUIT, lambda *_: _tell_where(engine))
    engine.run()


def _tell_where(engine: Engine) -> None:
    """Write where each task of Faust's two loops is, and each thread: for a worker that hangs."""
    thread = getattr(engine.app.consumer, "_thread", None)
    for loop in (engine.app.loop, getattr(thread, "thread_loop", None)):
        for task in asyncio.all_tasks(loop) if loop is not None else ():
            task.print_stack(file=sys.stderr)
    faulthandler.dump_traceback()


if __name__ == "__main__":
    main()
